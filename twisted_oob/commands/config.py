"""Defaults from a file: what one would otherwise write on every command line of ``oob``.

The file is TOML. Its keys are the options' long names with ``_`` for ``-``, and there are no
tables: a key holds for each command that has the option. ``--config FILE`` names it; otherwise it
is ``oob/config.toml`` in ``$XDG_CONFIG_HOME`` (``~/.config``), which need not exist::

    jid = "alice@example.org"
    password_file = "password"          # beside this file
    download_dir = "~/Downloads"
    from = ["bob@example.org", "example.net"]
    max_size = "2G"

A value is read by the parser of its option, so it is good if it would be good on the command line.
What is on the command line wins, and with it what goes together: if it names another account or
component than the file, nothing that the file says of the connection but ``ca_file`` holds.

==============================  ==================================================================
a value is                      written as
==============================  ==================================================================
that of an option               a string, or a number without quotes
that of a repeatable option     a list of them, or one alone
a flag                          ``true`` or ``false``
a flag that counts (verbose)    a number from 0, or ``true`` for 1
a path                          absolute, from ``~``, or relative to the folder of the file
==============================  ==================================================================
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from twisted_oob.commands.modes import ACCOUNT, COMPONENT, CONNECTING, EMBEDDED
from twisted_oob.xmpp.jid import parse_jid

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Decorated = TypeVar("_Decorated", bound="Callable[..., Any]")

# What no file may set: these act at once.
_ONLY_ON_THE_LINE: Final = frozenset({"config", "help", "version"})
_PATHS: Final = frozenset({"ca_file", "download_dir", "password_file", "secret_file"})
_SECRETS: Final = {
    "password": "write it to a file of its own, and its path to password_file",
    "secret": "write it to a file of its own, and its path to secret_file",
}
_WAYS: Final = ("jid", "component")
"""The keys that choose the way to connect. Without them it is the embedded router."""
EITHER: Final = (("--password-file", "--password-command"), ("--verbose", "--quiet"))
"""Of each pair, one is given at most. One on the command line overrules the file's other."""

_GIVEN: Final = f"{__name__}.given"  # in a context's meta: what stands on the command line


def key_of(option: str) -> str:
    """Return the key that an option has in the file: ``ca_file`` for ``--ca-file``."""
    return option.lstrip("-").replace("-", "_")


_GOES_WITH: Final = {
    way: {key_of(option) for option, modes in CONNECTING.items() if mode in modes}
    for way, mode in (("jid", ACCOUNT), ("component", COMPONENT), (None, EMBEDDED))
}
_CONNECTION: Final = frozenset(map(key_of, CONNECTING))


class ConfiguredCommand(click.Command):
    """A command that takes defaults from a file; it must have ``config_option``, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note what stands on the command line, then parse it with the file's defaults."""
        ctx.meta[_GIVEN] = self.make_parser(ctx).parse_args(list(args))[0]
        return super().parse_args(ctx, args)


def config_option(function: _Decorated) -> _Decorated:
    """Give a ``ConfiguredCommand`` its ``--config`` option."""
    return click.option(
        "--config",
        metavar="FILE",
        type=click.Path(),
        is_eager=True,
        expose_value=False,
        callback=_load,
        help="File with defaults for options (TOML).  [default: $XDG_CONFIG_HOME/oob/config.toml]",
    )(function)


def default_path(environment: Mapping[str, str]) -> Path:
    """Return the path of the file that holds if ``--config`` names no other."""
    base = environment.get("XDG_CONFIG_HOME", "")
    # The XDG Base Directory Specification: a relative path is to be ignored.
    folder = Path(base) if base.startswith("/") else Path("~/.config").expanduser()
    return folder / "oob" / "config.toml"


def _load(ctx: click.Context, _param: click.Parameter, chosen: str | None) -> None:
    if ctx.resilient_parsing:  # for the completion in a shell
        return
    path = default_path(os.environ) if chosen is None else Path(chosen)
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError as error:
        if chosen is None:
            return
        raise _wrong(ctx, path, str(error.strerror)) from None
    except OSError as error:
        raise _wrong(ctx, path, str(error.strerror)) from None
    except UnicodeDecodeError:
        raise _wrong(ctx, path, "not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise _wrong(ctx, path, f"not TOML: {error}") from None
    ctx.default_map = _defaults(ctx, path, table)


def _defaults(ctx: click.Context, path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """Check every key and value, and return those that count for the command, by parameter."""
    own = _options(ctx.command)
    # A key of another command's is right, too. To know them is to import them all.
    known = own if table.keys() <= own.keys() else _all_options(ctx) | own
    settings: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known and isinstance(value, dict):
            raise _wrong(ctx, path, f"unknown key {key!r}; there are no tables")
        if key not in known:
            raise _wrong(ctx, path, _unknown(key, known))
        try:
            settings[key] = _as_given(path, key, value, known[key])
            known[key].type_cast_value(ctx, settings[key])
        except click.BadParameter as error:
            raise _wrong(ctx, path, f"{key}: {error.message}") from None
        except ValueError as error:
            raise _wrong(ctx, path, f"{key}: {error}") from None
    given = {key for key, option in own.items() if option.name in ctx.meta.get(_GIVEN, {})}
    settings = _not_overruled(settings, given, ctx.meta.get(_GIVEN, {}))
    return {str(own[key].name): value for key, value in settings.items() if key in own}


def _as_given(path: Path, key: str, value: object, option: click.Option) -> Any:
    """Return a value as click would have it from a command line.

    Raises:
        ValueError: It is of the wrong type.
    """
    if option.count:
        if isinstance(value, int) and value >= 0:
            return int(value)
        raise ValueError("expected a number from 0")
    if option.is_flag:
        if isinstance(value, bool):
            return value
        raise ValueError("expected true or false, without quotes")
    if isinstance(value, list) and option.multiple:
        return [_text(path, key, one) for one in value]
    text = _text(path, key, value)
    return [text] if option.multiple else text


def _text(path: Path, key: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected a string or a number")
    if isinstance(value, float):
        return f"{value:f}".rstrip("0").rstrip(".")
    if key in _PATHS and value:
        return str(path.absolute().parent / Path(str(value)).expanduser())
    return str(value)


def _not_overruled(
    settings: dict[str, Any], given: set[str], line: Mapping[str, Any]
) -> dict[str, Any]:
    """Drop what does not go with the command line.

    Args:
        settings: What the file says.
        given: The keys of the options that the command line has.
        line: Their values, as text.
    """
    ours = [way for way in _WAYS if way in given]
    theirs = [way for way in _WAYS if way in settings]
    # --secret-file without a component is for the embedded router.
    elsewhere = "secret_file" in given and theirs == ["jid"] and not ours
    dropped = set()
    if elsewhere or (ours and theirs and not _same(ours, theirs, settings, line)):
        dropped, theirs = set(_CONNECTION), []
    if len(ours or theirs) <= 1:  # if there are two, the command says so
        dropped |= _CONNECTION - _GOES_WITH[next(iter(ours or theirs), None)]
    for pair in EITHER:
        keys = set(map(key_of, pair))
        if given & keys:
            dropped |= keys
    return {key: value for key, value in settings.items() if key not in dropped}


def _same(
    ours: Sequence[str], theirs: Sequence[str], settings: Mapping[str, Any], line: Mapping[str, Any]
) -> bool:
    if ours != theirs:
        return False
    try:
        # Whatever its resource, an account has one password and one server.
        return all(
            parse_jid(str(line[way])).userhost() == parse_jid(settings[way]).userhost()
            for way in ours
        )
    except ValueError:  # whoever parses the option says what is wrong
        return False


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return a command's options by their keys in the file."""
    return {
        key_of(name): param
        for param in command.params
        if isinstance(param, click.Option)
        for name in param.opts
        if name.startswith("--") and name.lstrip("-") not in _ONLY_ON_THE_LINE
    }


def _all_options(ctx: click.Context) -> dict[str, click.Option]:
    found: dict[str, click.Option] = {}
    for command in _commands(ctx.find_root()):
        found |= _options(command)
    return found


def _commands(root: click.Context) -> Iterator[click.Command]:
    if isinstance(root.command, click.Group):
        for name in root.command.list_commands(root):
            command = root.command.get_command(root, name)
            if command is not None:
                yield command


def _unknown(key: str, known: Mapping[str, click.Option]) -> str:
    if key in _SECRETS:
        return f"{key!r} has no place here: {_SECRETS[key]}"
    near = get_close_matches(key.replace("-", "_"), known, n=1)
    return f"unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _wrong(ctx: click.Context, path: Path, reason: str) -> click.UsageError:
    return click.UsageError(f"{path}: {reason}", ctx)
