"""The command ``oob``: hands files to people, and takes them, from a shell."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any, Final

import click

from twisted_oob._version import __version__
from twisted_oob.commands.output import NOT_WRITTEN

_INTERRUPTED: Final = 128 + signal.SIGINT
"""The exit status after Ctrl-C, as shells have it."""

_COMMANDS: Final = {
    "send": "Hand files to somebody, and tell whether they arrived.",
    "receive": "Take the files that others offer, with a question for each.",
    "check": "Log in, and tell what the server has.",
}
"""The commands, each in the module of its name, and what the help says of them."""


class _Oob(click.Group):
    """The group of the commands.

    A command is imported when it is called: help and completion come at once. An error is one
    line: click would print three.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(f"twisted_oob.commands.{cmd_name}"), cmd_name
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def main(
        self,
        args: Any = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command, and exit with its status; see ``click.Command.main``."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        open_missing_streams()
        try:
            status = super().main(args, prog_name or "oob", complete_var, False, **extra)
        except click.ClickException as error:
            sys.exit(fail(error))
        except click.Abort:
            sys.exit(_INTERRUPTED)
        except OSError as error:  # of the help, or the version
            # Not above: whoever asks for help should not wait for it.
            from twisted_oob.commands.events import end_output  # noqa: PLC0415

            end_output()
            click.echo(f"oob: the results can't be written: {error.strerror}", err=True)
            sys.exit(NOT_WRITTEN)
        sys.exit(status)


def open_missing_streams() -> None:
    """Give the process the standard streams that it was started without, as by ``>&-``.

    Otherwise, the next file that it opens would be one of them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def fail(error: click.ClickException) -> int:
    """Write what is wrong, in one line, and return the exit status."""
    ctx = getattr(error, "ctx", None)
    line = " ".join(error.format_message().splitlines())
    click.echo(f"{ctx.command_path if ctx is not None else 'oob'}: {line}", err=True)
    return error.exit_code


@click.group(
    cls=_Oob,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> int | None:
    """Hand files to people over XMPP, and know whether they arrived.

    \b
    The service that takes files day and night is started by
        twistd -n oob-responder
    With pipx, twistd is there after: pipx install --include-deps twisted_oob
    """
    if ctx.invoked_subcommand is not None:
        return None
    click.echo(ctx.get_help(), err=True)
    return click.UsageError.exit_code
