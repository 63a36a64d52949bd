"""Which texts are commands."""

from __future__ import annotations

import pytest

from twisted_oob.transfer.commands_in_chat import HELP, LIST, SEND, Command, read_command

COMMANDS = [
    ("help", Command(HELP)),
    ("  HELP\n", Command(HELP)),
    ("/help", Command(HELP)),
    ("help me", Command(HELP, "me")),
    ("list", Command(LIST)),
    ("List *.PDF", Command(LIST, "*.PDF")),
    ("/list  my files ", Command(LIST, "my files")),
    ("send a b.png", Command(SEND, "a b.png")),
    ("SEND\tA.png", Command(SEND, "A.png")),
    ("send", Command(HELP)),
    ("/send ", Command(HELP)),
]
NO_COMMANDS = ["", " ", "/", "//help", "/ help", "helpful", "listing", "please send a.png", "?list"]


@pytest.mark.parametrize(("text", "command"), COMMANDS)
def test_the_first_word_is_the_command(text, command):
    assert read_command(text, gives_files=True) == command


@pytest.mark.parametrize("text", NO_COMMANDS)
def test_other_texts_are_none(text):
    assert read_command(text, gives_files=True) is None


@pytest.mark.parametrize("text", ["list", "list *", "send a.png", "send"])
def test_without_files_to_give_there_is_only_help(text):
    assert read_command(text, gives_files=False) is None
    assert read_command("/Help", gives_files=False) == Command(HELP)
