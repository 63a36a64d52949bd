"""The modes of a command line; the tests of both kinds of options try all of them."""

from __future__ import annotations

import pytest

from twisted_oob.commands.modes import (
    ACCOUNT,
    COMPONENT,
    EMBEDDED,
    check_mode,
    chosen_mode,
    require,
)


@pytest.mark.parametrize(
    ("given", "mode"),
    [((), EMBEDDED), (("--port",), EMBEDDED), (("--jid",), ACCOUNT), (("--component",), COMPONENT)],
)
def test_what_is_given_chooses_the_mode(given, mode):
    assert chosen_mode(given) == mode


def test_two_modes_are_an_error():
    with pytest.raises(ValueError, match="--jid and --component exclude each other"):
        chosen_mode(["--component", "--jid"])


def test_an_option_without_meaning_in_a_mode_is_an_error():
    modes = {"--x": (ACCOUNT, COMPONENT)}
    check_mode(ACCOUNT, ["--x", "--y"], modes)
    with pytest.raises(ValueError, match="--x goes with --jid or --component, not with the embed"):
        check_mode(EMBEDDED, ["--y", "--x"], modes)


@pytest.mark.parametrize(("because_of", "said"), [(COMPONENT, "--component"), ("--port", "--port")])
def test_an_option_that_another_needs(because_of, said):
    require("--x", ["--x"], because_of=because_of)
    with pytest.raises(ValueError, match=f"--x must be given with {said}"):
        require("--x", ["--y"], because_of=because_of)
