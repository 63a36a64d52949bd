"""Passwords from programs."""

from __future__ import annotations

import shlex
import sys

import pytest

from twisted_oob.commands.password_command import run_password_command


def printing(code):
    return shlex.join([sys.executable, "-c", code])


def test_the_first_line_is_the_password():
    assert run_password_command(printing("print('a b '); print('c')")) == "a b "


def test_no_shell_reads_the_command():
    assert run_password_command("echo $HOME '*'") == "$HOME *"


@pytest.mark.parametrize(
    ("command", "error", "text"),
    [
        ("", ValueError, "it names no program"),
        ("'", ValueError, "No closing quotation"),
        ("no-such-program-anywhere", OSError, "No such file"),
        ("false", ValueError, "it ended with status 1"),
        ("true", ValueError, "of what it prints, its first line is empty"),
        (printing(r"import sys; sys.stdout.buffer.write(b'\xff')"), ValueError, "not UTF-8"),
    ],
)
def test_what_goes_wrong_is_told(command, error, text):
    with pytest.raises(error, match=text):
        run_password_command(command)
