"""Values of options for click, with the parsers and the errors of ``twistd oob-responder``."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from twisted_oob.commands.values import not_valid, parsed


class Value(click.ParamType):  # type: ignore[type-arg]  # older ones take none
    """A kind of value, by its parser.

    Args:
        parse: One of the parsers in values.py.
        name: What the help calls such a value.
    """

    def __init__(self, parse: Callable[[str], object], name: str) -> None:
        self.name = name
        self._parse = parse

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave a path to the shell, which knows what there is."""
        kind = {"FILE": "file", "DIR": "dir"}.get(self.name)
        return [] if kind is None else [CompletionItem(incomplete, type=kind)]

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Parse the text of a command line, a configuration file or a default."""
        if not isinstance(value, str):  # it has been here before
            return value
        try:
            return parsed(value, self._parse)
        except ValueError as error:
            raise BadValue(value, str(error), param, ctx) from None


class BadValue(click.BadParameter):
    """A value that is not good. ``message`` says what is wrong with it.

    Args:
        value: The value.
        message: The reason, without the name of the option and the value.
        param: The option.
        ctx: The command that it belongs to.
    """

    def __init__(
        self, value: str, message: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> None:
        super().__init__(message, ctx, param)
        self._value = value

    def format_message(self) -> str:
        """Say what is wrong in one line, as ``twistd oob-responder`` does."""
        name = self.param.opts[-1] if self.param is not None else "a value"
        if isinstance(self.param, click.Argument):
            name = self.param.make_metavar(self.ctx)  # type: ignore[arg-type]
        return not_valid(name, self._value, self.message)
