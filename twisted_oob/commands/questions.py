"""Questions on a terminal, while the reactor goes on.

The terminal stays in the mode that it has: it gives a whole line at a time, which can be edited,
and Ctrl-C is a signal. So there is nothing to restore, whatever ends the process. The descriptor is
read only while a question waits.

========  =============================================  =====================================
state     what happens                                   leads to
========  =============================================  =====================================
waiting   another question is being asked; they take     asked, in the order they came;
          turns                                          gone, if its Deferred is cancelled
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

import errno
import os
import termios
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from typing import Any, Final, TextIO

from twisted.internet.defer import Deferred, succeed
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


_HINT: Final = "[y]es, [N]o, [a]lways, [q]uit"
_ANSWERS: Final = {"": Answer.NO} | {
    text: answer for answer in Answer for text in (answer.value, answer.value[0])
}


class _Question:
    __slots__ = ("answered", "text")

    def __init__(self, text: str, canceller: Callable[[_Question], None]) -> None:
        self.text = text
        self.answered: Deferred[Answer] = Deferred(lambda _: canceller(self))


@implementer(IReadDescriptor)
class Questions:
    """Asks one question at a time.

    Args:
        reactor: Tells when a line is there (IReactorFDSet).
        descriptor: The file descriptor of the terminal that answers are read from.
        output: Where the questions are written; a terminal, too, or else a lost question can't
            disappear from it.
        aside: Makes a context for what is written, in which nothing else is on the last line of the
            terminal, such as a progress bar.
    """

    def __init__(
        self,
        reactor: Any,
        descriptor: int,
        output: TextIO,
        *,
        aside: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._output = output
        self._erase = _ERASE if output.isatty() else "\n"
        self._outer_aside = aside
        self._waiting: deque[_Question] = deque()
        self._gone = False

    @property
    def open(self) -> bool:
        """Whether a question is on the terminal."""
        return bool(self._waiting)

    def ask(self, text: str) -> Deferred[Answer]:
        """Ask a question when it is its turn.

        Args:
            text: The question, safe for a terminal, without its question mark and the choices.

        Returns:
            A Deferred that fires with the Answer. Cancelled, it takes the question back.
        """
        if self._gone:
            return succeed(Answer.NO)
        question = _Question(text, self._take_back)
        self._waiting.append(question)
        if len(self._waiting) == 1:
            self._begin()
        return question.answered

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let something else be written: the question leaves the last line meanwhile."""
        if not self._waiting:
            with self._outer_aside():
                yield
            return
        self._write(self._erase)
        try:
            with self._outer_aside():
                yield
        finally:
            self._prompt()

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
        except OSError as error:
            # EIO: the terminal is gone, or we were put into the background as an orphan.
            self._lose(error)
            return
        if not line:
            self._write("\n")
            self._end(Answer.NO)
            return
        # A word that is not UTF-8 is no answer.
        answer = _ANSWERS.get(line.decode(errors="replace").strip().lower())
        if answer is None:
            self._prompt()
        else:
            self._end(answer)

    def connectionLost(self, reason: Any) -> None:
        """Answer what waits: the reactor found the descriptor unusable (IFileDescriptor)."""
        self._lose(OSError(errno.EIO, str(reason)))

    def _begin(self) -> None:
        try:
            termios.tcflush(self._descriptor, termios.TCIFLUSH)
        except termios.error as error:
            self._lose(OSError(errno.EIO, str(error)))
            return
        self._prompt()
        self._reactor.addReader(self)

    def _prompt(self) -> None:
        with self._outer_aside():
            self._write(f"{self._waiting[0].text}? {_HINT}: ")

    def _end(self, answer: Answer) -> None:
        question = self._waiting.popleft()
        self._reactor.removeReader(self)
        if self._waiting:
            self._begin()
        # At last: whoever waits may ask the next one at once, which then has its place in the row.
        question.answered.callback(answer)

    def _take_back(self, question: _Question) -> None:
        if self._waiting[0] is not question:
            self._waiting.remove(question)
            return
        self._write(self._erase)
        self._waiting.popleft()
        self._reactor.removeReader(self)
        if self._waiting:
            self._begin()

    def _lose(self, _error: OSError) -> None:
        self._gone = True
        self._reactor.removeReader(self)
        waiting, self._waiting = self._waiting, deque()
        for question in waiting:
            question.answered.callback(Answer.NO)

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
