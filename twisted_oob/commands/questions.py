"""Questions on a terminal, while the reactor goes on.

The terminal stays in the mode that it has: it gives a whole line at a time, which can be edited,
and Ctrl-C is a signal. So there is nothing to restore, whatever ends the process. The descriptor is
read only while a question waits.

========  =============================================  =====================================
state     what happens                                   leads to
========  =============================================  =====================================
waiting   another question is being asked; they take     asked, in the order they came;
          turns                                          answered, if its answer is known by
                                                         then; gone, if its Deferred is
                                                         cancelled
asked     the question is on the last line. What was     answered, at a line that is an answer;
          typed before that is thrown away: it would     asked, at any other line; answered
          answer what nobody had read                    with NO, at the end of the input
                                                         (Ctrl-D); gone, as above
gone      the question is taken off the terminal         (CancelledError)
answered                                                 (its Answer)
========  =============================================  =====================================

If the terminal itself is gone, every question is answered with NO.
"""

from __future__ import annotations

import os
import termios
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

_ERASE: Final = "\r\x1b[K"
"""Goes to the beginning of the line and clears it (ECMA-48 EL)."""
_LONGEST_LINE: Final = 4096  # bytes; what a terminal keeps of a line (termios(3))


class Answer(Enum):
    """What somebody says to an offer."""

    YES = "yes"
    NO = "no"
    ALWAYS = "always"
    QUIT = "quit"


Known = Callable[[], Answer | None]

_HINT: Final = "[y]es, [N]o, [a]lways, [q]uit"
_ANSWERS: Final = {"": Answer.NO} | {
    text: answer for answer in Answer for text in (answer.value, answer.value[0])
}


class _Question:
    __slots__ = ("answered", "known", "text")

    def __init__(self, text: str, known: Known, canceller: Callable[[_Question], None]) -> None:
        self.text = text
        self.known = known
        self.answered: Deferred[Answer] = Deferred(lambda _: canceller(self))


@implementer(IReadDescriptor)
class Questions:
    """Asks one question at a time.

    Args:
        reactor: Tells when a line is there (IReactorFDSet).
        descriptor: The file descriptor of the terminal that answers are read from.
        output: Where the questions are written; a terminal, too, or else a lost question can't
            disappear from it.
        before: Called before a question is written: it takes what is on the terminal's last line
            away, such as a progress bar.
    """

    def __init__(
        self,
        reactor: Any,
        descriptor: int,
        output: TextIO,
        *,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._output = output
        self._erase = _ERASE if output.isatty() else "\n"
        self._before = before
        self._waiting: deque[_Question] = deque()
        self._asked: _Question | None = None
        self._gone = False

    @property
    def open(self) -> bool:
        """Whether a question is on the terminal."""
        return self._asked is not None

    def ask(self, text: str, known: Known = lambda: None) -> Deferred[Answer]:
        """Ask a question when it is its turn.

        Args:
            text: The question, safe for a terminal, without its question mark and the choices.
            known: Called when it is its turn. It returns the answer if there is no more need to
                ask, as an earlier question's answer covers it; else None.

        Returns:
            A Deferred that fires with the Answer. Cancelled, it takes the question back.
        """
        question = _Question(text, known, self._take_back)
        self._waiting.append(question)
        self._next()
        return question.answered

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let something else be written: the question leaves the last line meanwhile."""
        question = self._asked
        if question is not None:
            self._write(self._erase)
        try:
            yield
        finally:
            if question is not None:
                self._prompt(question)

    def fileno(self) -> int:
        """Return the descriptor that the reactor watches (IFileDescriptor)."""
        return self._descriptor

    def logPrefix(self) -> str:  # noqa: N802  (ILoggingContext)
        """Return what the log calls us (ILoggingContext)."""
        return "questions"

    def doRead(self) -> None:  # noqa: N802  (IReadDescriptor)
        """Read a line (IReadDescriptor)."""
        try:
            line = os.read(self._descriptor, _LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            # EIO: the terminal is gone, or we were put into the background as an orphan.
            self._lose()
            return
        if not line:
            self._write("\n")
            self._end(Answer.NO)
            return
        # A word that is not UTF-8 is no answer.
        answer = _ANSWERS.get(line.decode(errors="replace").strip().lower())
        if answer is not None:
            self._end(answer)
        elif self._asked is not None:
            self._prompt(self._asked)

    def connectionLost(self, reason: Any) -> None:
        """Answer what waits: the reactor found the descriptor unusable (IFileDescriptor)."""
        self._lose()

    def _next(self) -> None:
        """Ask the first question that still needs an answer, unless one is being asked."""
        while self._asked is None and self._waiting:
            question = self._waiting.popleft()
            answer = Answer.NO if self._gone else question.known()
            if answer is not None:
                question.answered.callback(answer)
                continue
            try:
                termios.tcflush(self._descriptor, termios.TCIFLUSH)
            except termios.error:
                self._gone = True
                question.answered.callback(Answer.NO)
                continue
            self._asked = question
            self._prompt(question)
            self._reactor.addReader(self)

    def _prompt(self, question: _Question) -> None:
        self._before()
        self._write(f"{question.text}? {_HINT}: ")

    def _end(self, answer: Answer) -> None:
        question, self._asked = self._asked, None
        self._reactor.removeReader(self)
        if question is not None:
            # Before the next one is asked: this answer may be that one's, too.
            question.answered.callback(answer)
        self._next()

    def _take_back(self, question: _Question) -> None:
        if question is not self._asked:
            self._waiting.remove(question)
            return
        self._write(self._erase)
        self._asked = None
        self._reactor.removeReader(self)
        self._next()

    def _lose(self) -> None:
        self._gone = True
        self._end(Answer.NO)

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
