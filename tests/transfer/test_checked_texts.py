"""Whatever an application's texts do, what is said does no harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.streams import logged
from twisted_oob import ChatTexts
from twisted_oob.files.served_folder import ServedFile
from twisted_oob.transfer.checked_texts import MOST_CHARACTERS, CheckedTexts
from twisted_oob.transfer.commands_in_chat import read_command

STORED = "stored a.png (9 bytes)"


class Says(ChatTexts):
    """Returns or raises always the same."""

    def __init__(self, what):
        self.what = what

    def stored(self, name, size):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


def say(what):
    with logged() as events:
        text = CheckedTexts(Says(what)).say(ChatTexts.stored, "a.png", 9)
        return text, len(events.ours()), events.failures()


def test_what_an_application_says_is_said():
    assert say("a.png ist da") == ("a.png ist da", 0, [])


@pytest.mark.parametrize(
    "what",
    [None, 5, b"stored", ["stored"], "", " \n", "see https://files.example/a.png", "x ftp://a/b",
     "help", "/List all", "send a.png", "SEND"],
)  # fmt: skip
def test_what_does_harm_is_not_said_but_logged(what):
    assert say(what) == (STORED, 1, [])


class German(ChatTexts):
    def no_files(self, pattern):
        return f"keine Dateien wie {pattern}"


@pytest.mark.parametrize(
    ("texts", "said"), [(None, "there are no files like …"), (German(), "keine Dateien wie …")]
)
def test_a_url_of_somebody_else_is_no_fault_of_the_text(texts, said):
    with logged() as events:
        assert CheckedTexts(texts).say(ChatTexts.no_files, "https://files.example/a.png") == said
        assert events.ours() == []


def test_an_error_is_logged_and_nothing_is_lost():
    error = ZeroDivisionError()
    assert say(error) == (STORED, 1, [error])


def test_characters_that_can_not_be_sent_are_replaced():
    assert say("a\0b\ud800c")[0] == "a\ufffdb\ufffdc"


def test_a_text_without_end_is_cut():
    assert len(say("a" * 10**6)[0]) == MOST_CHARACTERS


FILES = [ServedFile("send b.png", 1, 0.0)]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (ChatTexts.stored, ("list", 1)),
        (ChatTexts.failed, ("help", "")),
        (ChatTexts.too_many, (1, 2)),
        (ChatTexts.listing, (FILES, 3)),
        (ChatTexts.no_files, ("*",)),
        (ChatTexts.no_such_file, ("send",)),
        (ChatTexts.not_sent, ("send", "")),
        (ChatTexts.handed_over, ("send", 1)),
        (ChatTexts.not_listed, ()),
        (ChatTexts.encrypted, ()),
    ],
)
def test_no_text_of_ours_is_a_command(method, arguments):
    text = method(ChatTexts(), *arguments)
    assert read_command(text, gives_files=True) is None
    with logged() as events:
        assert CheckedTexts().say(method, *arguments) == text
        assert events.ours() == []


def test_help_is_no_command():
    for gives_files in (True, False):
        text = CheckedTexts().say(ChatTexts.help, gives_files=gives_files, max_size=None)
        assert read_command(text, gives_files=True) is None


@given(st.text(), st.text())
def test_no_url_is_said_whatever_the_name_and_reason_are(name, reason):
    text = CheckedTexts().say(ChatTexts.failed, name, f"{reason}https://user@host/secret")
    assert "://" not in text.replace(name, "").replace(reason, "")
    assert "secret" not in text.replace(name, "").replace(reason, "")
