"""The options that all commands share: how they connect, and what they write.

What is wrong with them is found before anything connects, and is one line.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from twisted_oob.commands.config import EITHER, config_option, key_of
from twisted_oob.commands.connection import Connection
from twisted_oob.commands.modes import (
    ACCOUNT,
    COMPONENT,
    CONNECTING,
    EMBEDDED,
    SECRET_FILE,
    check_mode,
    chosen_mode,
    exclude,
    require,
)
from twisted_oob.commands.output import Output
from twisted_oob.commands.parameters import Value
from twisted_oob.commands.values import (
    parse_account,
    parse_domain,
    parse_existing_file,
    parse_file,
    parse_host,
    parse_port,
)
from twisted_oob.protocol.data import RESOURCE
from twisted_oob.xmpp.ports import (
    CLIENT_PORT,
    COMPONENT_HOST,
    COMPONENT_PORT,
    DIRECT_TLS_PORT,
)

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def shared_options(function: _Function) -> _Function:
    """Give a command the options that all have; it gets ``connection`` and ``output`` for them."""

    @functools.wraps(function)
    def command(**values: Any) -> Any:
        ctx = click.get_current_context()
        given = {
            f"--{name.replace('_', '-')}"
            for name, value in values.items()
            if value and ctx.get_parameter_source(name) != ParameterSource.DEFAULT
        }
        try:
            mode = _check(given)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        output = Output(
            ctx.command_path,
            as_json=values.pop("json"),
            quiet=values.pop("quiet"),
            verbose=values.pop("verbose"),
        )
        named = {name: values.pop(name) for name in _CONNECTION}
        connection = _connection(mode, ctx, named, default_secret="--secret-file" not in given)
        return function(connection=connection, output=output, **values)

    for option in reversed(_OPTIONS):
        option(command)
    return command  # type: ignore[return-value]


def _check(given: Collection[str]) -> str:
    """Check which options go together, and return the mode that they choose.

    Raises:
        ValueError: Some do not.
    """
    for first, second in EITHER:
        exclude(first, second, given)
    mode = chosen_mode(given)
    check_mode(mode, given, CONNECTING)
    if mode == ACCOUNT and "--port" in given:
        # The SRV lookup finds a host together with its port.
        require("--host", given, because_of="--port")
    if mode == COMPONENT:
        require("--secret-file", given, because_of=COMPONENT)
    return mode


def _connection(
    mode: str, ctx: click.Context, values: dict[str, Any], *, default_secret: bool
) -> Connection:
    jid = values.pop("jid")
    domain = values.pop("component")
    if mode == EMBEDDED:
        # Nobody else has it there, whoever sends at the same time.
        domain = f"{ctx.command.name}-{secrets.token_hex(4)}.localhost"
    return Connection(mode, jid, domain, default_secret=default_secret, **values)


_CONNECTION: Final = tuple(key_of(option) for option in (*CONNECTING, "--ca-file"))

_OPTIONS: Final = (
    click.option(
        "--jid",
        type=Value(parse_account, "JID"),
        show_default="the embedded router of twistd oob-responder on this machine",
        help=f"Log in to this account. Without a resource, oob receive binds /{RESOURCE}, which "
        "oob send knows; the others let the server choose.",
    ),
    click.option(
        "--password-file",
        type=Value(parse_existing_file, "FILE"),
        show_default="asked for on the terminal",
        help="File with the account's password in its first line; nobody else may read it.",
    ),
    click.option(
        "--password-command",
        metavar="CMD",
        show_default="asked for on the terminal",
        help="Program, with its arguments, that prints the account's password in its first line. "
        "No shell runs it.",
    ),
    click.option(
        "--component",
        type=Value(parse_domain, "DOMAIN"),
        show_default="the embedded router",
        help="Be the external component (XEP-0114) with this domain on a server.",
    ),
    click.option(
        "--secret-file",
        type=Value(parse_file, "FILE"),
        default=SECRET_FILE,
        help="File with the secret of the component, or of the embedded router. The default is for "
        "the router only.",
    ),
    click.option(
        "--host",
        type=Value(parse_host, "HOST"),
        show_default=f"found by SRV lookup with --jid, else {COMPONENT_HOST}",
        help="The server.",
    ),
    click.option(
        "--port",
        type=Value(parse_port, "PORT"),
        show_default=f"{CLIENT_PORT} with --jid, {DIRECT_TLS_PORT} with --direct-tls, "
        f"else {COMPONENT_PORT}",
        help="The server's port; with --jid, it needs --host.",
    ),
    click.option(
        "--direct-tls",
        is_flag=True,
        show_default="off",
        help="Begin TLS with the first byte (XEP-0368), and never by STARTTLS.",
    ),
    click.option(
        "--ca-file",
        type=Value(parse_existing_file, "FILE"),
        show_default="the platform's; for https, beside the platform's",
        help="Certificates (PEM) to verify the server's with, and those of https uploads and "
        "downloads.",
    ),
    config_option,
    click.option(
        "--json",
        is_flag=True,
        show_default="off",
        help="Write one JSON object a line on stdout, and no other results.",
    ),
    click.option(
        "-v", "--verbose", is_flag=True, show_default="off", help="Write the log, too, on stderr."
    ),
    click.option(
        "-q", "--quiet", is_flag=True, show_default="off", help="Write errors only, on stderr."
    ),
)
