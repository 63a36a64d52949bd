"""CheckedOptions: options of a twistd plugin whose errors are one line each.

Twisted's own print the whole help besides the error, and take an option that is given twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn

from twisted.python import usage

from twisted_oob.commands.values import not_valid, parsed


class CheckedOptions(usage.Options):
    """Options that are parsed as they come, and know which of them were given.

    A mapping from each option's name, without the dashes, to its parsed value.
    """

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self.given: set[str] = set()

    def parseArgs(self, *args: str) -> None:
        """Accept no arguments besides the options."""
        if args:
            raise usage.UsageError(f"unexpected argument {args[0]!r}: only options are accepted")

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Parse the options; an error ends the process with one line and status 1."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            exit_with_error(str(error))

    def note_flags(self, names: Iterable[str]) -> None:
        """Count those of some flags that are set as given."""
        self.given.update(f"--{name}" for name in names if self[name])

    def set_value(
        self,
        name: str,
        value: str,
        parse: Callable[[str], object],
        *,
        repeatable: bool = False,
    ) -> None:
        """Set an option to a parsed value.

        Args:
            name: Its name, without the dashes.
            value: What was given.
            parse: Parses that; raises ValueError or OSError if it is not good.
            repeatable: Whether each value is added to a list.

        Raises:
            UsageError: The value is not good, or the option takes one value and has it already.
        """
        option = f"--{name}"
        try:
            good = parsed(value, parse)
        except ValueError as error:
            raise usage.UsageError(not_valid(option, value, error)) from None
        if repeatable:
            self[name].append(good)
        elif option in self.given:
            raise usage.UsageError(f"{option} was given twice: it takes one value")
        else:
            self[name] = good
        self.given.add(option)


def exit_with_error(reason: str) -> NoReturn:
    """End the process with one line on standard error and status 1."""
    # A path can have line breaks in it, and so can the messages of libraries.
    line = " ".join(reason.splitlines())
    raise SystemExit(f"twistd oob-responder: {line}")
