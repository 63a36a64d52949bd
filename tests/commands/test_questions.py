"""Questions, asked on a terminal of the test's own."""

from __future__ import annotations

import io
import os
import pty
import termios

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReadDescriptor
from zope.interface.verify import verifyObject

from tests.support.waiting import in_time
from twisted_oob.commands.questions import Answer, Questions


class Screen(io.StringIO):
    """What a terminal would show, as text that is written to it."""

    def __init__(self):
        super().__init__()
        self._wanted = []

    def isatty(self):
        return True

    def write(self, text):
        super().write(text)
        for wanted in list(self._wanted):
            words, times, found = wanted
            if self.getvalue().count(words) >= times:
                self._wanted.remove(wanted)
                found.callback(None)

    def shows(self, words, times=1):
        """Fire as soon as something was written so many times."""
        found = Deferred()
        self._wanted.append((words, times, found))
        self.write("")
        return in_time(found, 5)

    @property
    def last(self):
        """The last line, as it is seen."""
        return self.getvalue().rpartition("\n")[2].rpartition("\x1b[K")[2]


class Terminal:
    def __init__(self, reactor):
        self.keyboard, self.descriptor = pty.openpty()
        self.screen = Screen()
        self.questions = Questions(reactor, self.descriptor, self.screen)

    def types(self, text):
        os.write(self.keyboard, text.encode())

    def hang_up(self):
        os.close(self.keyboard)
        self.keyboard = None

    def close(self):
        os.close(self.descriptor)
        if self.keyboard is not None:
            os.close(self.keyboard)


@pytest.fixture
def terminal():
    from twisted.internet import reactor

    made = Terminal(reactor)
    yield made
    assert made.questions not in reactor.getReaders()
    made.close()


def test_it_is_what_a_reactor_reads_from(terminal):
    assert verifyObject(IReadDescriptor, terminal.questions)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("y\n", Answer.YES),
        ("YES\n", Answer.YES),
        ("  y \n", Answer.YES),
        ("n\n", Answer.NO),
        ("no\n", Answer.NO),
        ("\n", Answer.NO),
        ("\x04", Answer.NO),
        ("a\n", Answer.ALWAYS),
        ("always\n", Answer.ALWAYS),
        ("q\n", Answer.QUIT),
        ("quit\n", Answer.QUIT),
        ("n\x7fy\n", Answer.YES),  # the terminal's own editing
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_answer(terminal, typed, answer):
    asked = terminal.questions.ask("Take it")
    assert terminal.screen.last == "Take it? [y]es, [N]o, [a]lways, [q]uit: "
    assert terminal.questions.open
    terminal.types(typed)
    assert await asked is answer
    assert not terminal.questions.open


@pytest_twisted.ensureDeferred
async def test_what_is_no_answer_is_asked_again(terminal):
    asked = terminal.questions.ask("Take it")
    for times, typed in enumerate(("maybe\n", "\udcff\n", "yy\n"), 2):
        os.write(terminal.keyboard, os.fsencode(typed))
        await terminal.screen.shows("Take it? ", times)
    terminal.types("y\n")
    assert await asked is Answer.YES


@pytest_twisted.ensureDeferred
async def test_questions_take_turns(terminal):
    first, second = terminal.questions.ask("First"), terminal.questions.ask("Second")
    assert "Second" not in terminal.screen.getvalue()
    terminal.types("y\n")
    assert await first is Answer.YES
    await terminal.screen.shows("Second? ")
    terminal.types("n\n")
    assert await second is Answer.NO


@pytest_twisted.ensureDeferred
async def test_what_was_typed_before_a_question_does_not_answer_it(terminal):
    terminal.types("y\ny\n")
    first, second = terminal.questions.ask("First"), terminal.questions.ask("Second")
    terminal.types("n\ny\n")
    assert await first is Answer.NO
    await terminal.screen.shows("Second? ")
    terminal.types("q\n")
    assert await second is Answer.QUIT


@pytest_twisted.ensureDeferred
async def test_a_question_that_is_taken_back_disappears(terminal):
    first, second = terminal.questions.ask("First"), terminal.questions.ask("Second")
    terminal.types("y")  # half an answer, which is not for the next one
    first.cancel()
    with pytest.raises(CancelledError):
        await first
    assert terminal.screen.last.startswith("Second? ")
    assert terminal.screen.getvalue().endswith("\r\x1b[K" + terminal.screen.last)
    terminal.types("n\n")
    assert await second is Answer.NO


@pytest_twisted.ensureDeferred
async def test_a_question_that_is_taken_back_while_it_waits_is_never_asked(terminal):
    first, second = terminal.questions.ask("First"), terminal.questions.ask("Second")
    second.cancel()
    with pytest.raises(CancelledError):
        await second
    terminal.types("y\n")
    assert await first is Answer.YES
    assert "Second" not in terminal.screen.getvalue()


@pytest_twisted.ensureDeferred
async def test_a_question_whose_answer_is_known_by_then_is_not_asked(terminal):
    answers = {}
    first = terminal.questions.ask("First", lambda: answers.get("first"))
    first.addCallback(lambda answer: answers.update(second=answer))
    second = terminal.questions.ask("Second", lambda: answers.get("second"))
    third = terminal.questions.ask("Third", lambda: answers.get("third"))
    terminal.types("a\n")
    assert await second is Answer.ALWAYS
    assert "Second" not in terminal.screen.getvalue()
    await terminal.screen.shows("Third? ")
    terminal.types("n\n")
    assert await third is Answer.NO


@pytest_twisted.ensureDeferred
async def test_each_question_gets_no_when_the_terminal_is_gone(terminal):
    first, second = terminal.questions.ask("First"), terminal.questions.ask("Second")
    terminal.hang_up()
    assert await first is Answer.NO
    assert await second is Answer.NO
    assert await terminal.questions.ask("Third") is Answer.NO


@pytest_twisted.ensureDeferred
async def test_what_is_written_meanwhile_stands_above_the_question(terminal):
    with terminal.questions.aside():
        terminal.screen.write("nobody asks\n")
    assert terminal.screen.getvalue() == "nobody asks\n"
    asked = terminal.questions.ask("Take it")
    with terminal.questions.aside():
        assert terminal.screen.last == ""
        terminal.screen.write("a line\n")
    assert terminal.screen.last.startswith("Take it? ")
    terminal.types("y\n")
    await asked


@pytest_twisted.ensureDeferred
async def test_the_terminal_keeps_its_mode(terminal):
    mode = termios.tcgetattr(terminal.descriptor)
    asked = terminal.questions.ask("Take it")
    assert termios.tcgetattr(terminal.descriptor) == mode
    terminal.types("y\n")
    await asked
    assert os.get_blocking(terminal.descriptor)
