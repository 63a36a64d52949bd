"""Options whose errors are one line each; test_options.py tries them with every option."""

from __future__ import annotations

import pytest
from twisted.python import usage

from twisted_oob.commands.checked_options import CheckedOptions, exit_with_error


class Made(CheckedOptions):
    optFlags = [["loud", None, "Loud."], ["low", None, "Low."]]

    def __init__(self):
        super().__init__()
        self["number"] = None
        self["numbers"] = []

    def opt_number(self, value):
        self.set_value("number", value, int)

    def opt_numbers(self, value):
        self.set_value("numbers", value, int, repeatable=True)


def made(*words):
    options = Made()
    options.parseOptions(list(words))
    return options


def test_an_error_ends_the_process_with_one_line_and_status_1():
    with pytest.raises(SystemExit) as raised:
        exit_with_error("a reason\nof two  lines")
    assert raised.value.code == "twistd oob-responder: a reason of two  lines"


def test_what_was_given_is_known_by_its_name():
    options = made("--loud", "--number", "7")
    assert options["number"] == 7
    assert options.given == {"--number"}
    options.note_flags(["loud", "low"])
    assert options.given == {"--number", "--loud"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--number", "x"], "--number 'x' is not valid: "),
        (["--numbers", "1", "--numbers", "x"], "--numbers 'x' is not valid: "),
        (["--number", "1", "--number", "1"], "--number was given twice: it takes one value"),
        (["word"], "unexpected argument 'word': only options are accepted"),
        (["--unknown"], "option --unknown not recognized"),
    ],
)
def test_what_is_wrong_is_one_line(words, line):
    with pytest.raises(SystemExit) as raised:
        made(*words)
    assert raised.value.code.startswith(f"twistd oob-responder: {line}")


def test_a_repeatable_option_adds_up():
    assert made("--numbers", "1", "--numbers", "2")["numbers"] == [1, 2]


def test_a_value_is_set_by_whoever_parses_by_hand():
    with pytest.raises(usage.UsageError, match="--number 'x' is not valid"):
        Made().opt_number("x")
