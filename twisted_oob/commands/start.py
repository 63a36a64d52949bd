"""Starting what a command does: its log, its errors, and the reactor."""

from __future__ import annotations

from functools import partial
from typing import Any, NoReturn, cast

import click
from twisted.internet.defer import CancelledError
from twisted.logger import ILogObserver, globalLogBeginner
from twisted.python.failure import Failure

from twisted_oob.commands.events import OutputClosed
from twisted_oob.commands.interrupt import Main, run
from twisted_oob.commands.output import FAULT, NOT_WRITTEN, Output


def start(main: Main, output: Output) -> NoReturn:
    """Run what a command does in the reactor, and exit with its status.

    Args:
        main: What it does.
        output: Where its errors and the log go.
    """
    globalLogBeginner.beginLoggingTo([cast(ILogObserver, output.log)], redirectStandardIO=False)
    run(partial(guarded, main, output))


async def guarded(main: Main, output: Output, reactor: Any) -> int:
    """Do what a command does; what it raises becomes one line and a status.

    Args:
        main: What it does.
        output: Where errors go.
        reactor: The reactor.

    Returns:
        The exit status: its own, that of its ClickException, NOT_WRITTEN or FAULT.
    """
    try:
        return await main(reactor)
    except click.ClickException as error:
        output.error(error.format_message())
        return error.exit_code
    except OutputClosed as error:
        if error.reason is None:
            raise
        output.error(f"the results can't be written: {error.reason}")
        return NOT_WRITTEN
    except CancelledError:
        raise
    except Exception:
        output.fault(Failure())
        return FAULT
