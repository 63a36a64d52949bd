"""Decisions: which files are taken, and what is asked about the others."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred

from twisted_oob import FileInfo, Forbidden
from twisted_oob.commands.decisions import Decisions, question
from twisted_oob.commands.questions import Answer
from twisted_oob.errors import TooLarge
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.transfer.arrivals import OFFER, Arrival, Failed, Received
from twisted_oob.xmpp.jid import parse_jid

URL = "https://u:p@files.example/token/a%20b.txt?key=secret"
ALICE = "alice@example.org/phone"


def arrival(sender=ALICE, url=URL, desc=None, info=None):
    return Arrival(url, desc, info, None if sender is None else parse_jid(sender), OFFER)


class Scripted:
    """Asks nobody. ``asked``: what would be asked, with the Deferred of its answer."""

    def __init__(self):
        self.asked = []

    def ask(self, text, known):
        answered = Deferred()
        self.asked.append((text, answered))
        return answered

    def answer(self, answer):
        self.asked.pop(0)[1].callback(answer)


def deciding(*, questions=None, senders=(), yes=False, count=None):
    return Decisions(
        FetchPolicy(max_size=100), senders=senders, yes=yes, count=count, questions=questions
    )


def decided(decisions, given):
    """Give what was decided so far: None if nothing was."""
    seen = []
    ensureDeferred(decisions.accept(given)).addBoth(seen.append)
    return seen


@pytest.mark.parametrize(
    ("senders", "yes", "sender", "taken"),
    [
        ((), False, ALICE, False),
        ((), True, ALICE, True),
        ((), True, None, True),
        (("alice@example.org",), False, ALICE, True),
        (("example.org",), False, ALICE, True),
        (("*",), False, None, True),
        (("example.net",), False, ALICE, False),
    ],
)
def test_without_anybody_to_ask_the_options_decide(senders, yes, sender, taken):
    assert decided(deciding(senders=senders, yes=yes), arrival(sender)) == [taken]


@pytest.mark.parametrize(
    ("answer", "taken"),
    [(Answer.YES, True), (Answer.NO, False), (Answer.ALWAYS, True), (Answer.QUIT, False)],
)
def test_else_a_person_does(answer, taken):
    questions = Scripted()
    seen = decided(deciding(questions=questions), arrival())
    assert seen == []
    questions.answer(answer)
    assert seen == [taken]


@pytest.mark.parametrize(
    ("sender", "again"),
    [(ALICE, True), ("alice@example.org/laptop", True), ("bob@example.org", False)],
)
def test_always_is_said_of_a_person_not_of_a_domain(sender, again):
    questions = Scripted()
    decisions = deciding(questions=questions)
    decided(decisions, arrival())
    questions.answer(Answer.ALWAYS)
    assert decided(decisions, arrival(sender)) == ([True] if again else [])


def test_always_of_a_component_is_not_said_of_its_users():
    questions = Scripted()
    decisions = deciding(questions=questions)
    decided(decisions, arrival("files.example.org"))
    questions.answer(Answer.ALWAYS)
    assert decided(decisions, arrival("files.example.org")) == [True]
    assert decided(decisions, arrival("a@files.example.org")) == []


def test_after_quit_everything_is_refused():
    questions = Scripted()
    decisions = deciding(questions=questions, senders=("example.net",))
    decided(decisions, arrival())
    questions.answer(Answer.QUIT)
    assert decisions.quit
    assert decided(decisions, arrival("bob@example.net")) == [False]


@pytest_twisted.ensureDeferred
async def test_what_the_policy_refuses_is_not_asked_about():
    questions = Scripted()
    decisions = deciding(questions=questions)
    with pytest.raises(TooLarge):
        await decisions.accept(arrival(info=FileInfo(size=101)))
    for url in ("file:///etc/passwd", "https://files.example:22/a"):
        with pytest.raises(Forbidden):
            await decisions.accept(arrival(url=url))
    assert questions.asked == []


def test_beyond_the_count_a_file_waits_until_one_fails():
    decisions = deciding(yes=True, count=1)
    first, second, third = arrival(), arrival(), arrival()
    assert decided(decisions, first) == [True]
    waits, further = decided(decisions, second), decided(decisions, third)
    assert (waits, further) == ([], [])
    decisions.over(Failed(first, "item-not-found", "gone", 0.0))
    assert (waits, further) == ([True], [])
    decisions.over(Received(second, None, 0.0))
    assert further == []
    assert decisions.taken == set()


def test_what_is_refused_takes_no_place():
    decisions = deciding(senders=("example.org",), count=1)
    refused = arrival("eve@example.net")
    assert decided(decisions, refused) == [False]
    decisions.over(Failed(refused, "not-acceptable", "no", 0.0))
    assert decided(decisions, arrival()) == [True]
    assert decided(decisions, arrival()) == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (arrival(), f"{ALICE} offers a b.txt from files.example"),
        (
            arrival(desc="my\nnotes", info=FileInfo(name="c.txt", size=1200)),
            f'{ALICE} offers c.txt (1.2 kB) from files.example, "my\ufffdnotes"',
        ),
        (arrival(sender=None, url="https://h.example"), "somebody offers file from h.example"),
        (arrival(desc="x" * 1000), f'{ALICE} offers a b.txt from files.example, "{"x" * 120}"'),
        (arrival(url="https://[::1"), f"{ALICE} offers file"),
    ],
)
def test_a_question_tells_what_is_known_and_no_secret(given, text):
    line, end = question(given).split("\n")
    assert line == text
    assert end == "Take it"
    assert line.isprintable()
    for secret in ("u:p", "token", "key=secret"):
        assert secret not in line
