"""What the errors of a command become."""

from __future__ import annotations

import click
import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError

from twisted_oob.commands.connection import NotConnected
from twisted_oob.commands.events import OutputClosed
from twisted_oob.commands.output import FAULT, NOT_WRITTEN, Output
from twisted_oob.commands.start import guarded


def raising(error):
    async def main(reactor):
        raise error

    return main


@pytest_twisted.ensureDeferred
async def test_its_own_status_is_kept(capsys):
    async def main(reactor):
        assert reactor == "the reactor"
        return 4

    assert await guarded(main, Output("oob"), "the reactor") == 4
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (click.UsageError("wrong"), 2, "oob: wrong\n"),
        (NotConnected("no\nway"), 3, "oob: no\ufffdway\n"),
        (
            OutputClosed("No space left on device"),
            NOT_WRITTEN,
            "oob: the results can't be written: No space left on device\n",
        ),
        (KeyError("x"), FAULT, "oob: a fault of oob's own: KeyError: 'x'; --verbose shows where\n"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_error_is_one_line_and_a_status(capsys, error, status, line):
    assert await guarded(raising(error), Output("oob"), None) == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("error", [CancelledError(), OutputClosed()])
@pytest_twisted.ensureDeferred
async def test_the_end_from_outside_is_no_fault(capsys, error):
    with pytest.raises(type(error)):
        await guarded(raising(error), Output("oob"), None)
    assert capsys.readouterr() == ("", "")
