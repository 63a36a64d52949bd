"""``oob send``: hands files and URLs to somebody, and tells whether they arrived."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Final

import click

from twisted_oob._shown import shown_name
from twisted_oob._urls import shown_url
from twisted_oob.commands.config import ConfiguredCommand
from twisted_oob.commands.connection import Connection
from twisted_oob.commands.modes import ACCOUNT, COMPONENT, check_mode
from twisted_oob.commands.output import Output
from twisted_oob.commands.parameters import Value
from twisted_oob.commands.shared_options import shared_options
from twisted_oob.commands.values import (
    LISTEN,
    SHARE,
    TIMEOUT,
    UPLOAD,
    VIA,
    parse_endpoint,
    parse_network,
    parse_public_url,
    parse_recipient,
    parse_seconds,
    parse_text,
)

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.commands.errand import Item

# A file of such a name can be given as ./NAME.
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")


@click.command(cls=ConfiguredCommand)
@click.argument("sources", metavar="FILE|URL...", nargs=-1, type=click.Path())
@click.argument("recipient", metavar="JID", required=False, type=Value(parse_recipient, "JID"))
@click.option(
    "--desc",
    type=Value(parse_text, "TEXT"),
    show_default="nothing",
    help="What is said of each file.",
)
@click.option(
    "--via",
    type=click.Choice((VIA, SHARE, UPLOAD)),
    default=VIA,
    help="How a file gets its URL: from a share of this process, by an upload to the server, or "
    "(auto) by the upload if the server takes it, else from a share.",
)
@click.option(
    "--as",
    "as_",
    type=click.Choice(("auto", "iq", "message")),
    default="auto",
    help="What is sent: a request that is answered when the file is there, a message, or (auto) "
    "the request if the recipient takes it, else a message.",
)
@click.option(
    "--listen",
    type=Value(parse_endpoint, "ENDPOINT"),
    default=LISTEN,
    help="Server endpoint of a share, as Twisted writes it.",
)
@click.option(
    "--public-url",
    type=Value(parse_public_url, "URL"),
    show_default="http, at the address that the server sees us at",
    help="Where the recipient reaches a share.",
)
@click.option(
    "--timeout",
    type=Value(parse_seconds, "SECONDS"),
    default=TIMEOUT,
    help="Seconds that each file may take.",
)
@click.option(
    "--allow-network",
    type=Value(parse_network, "CIDR"),
    multiple=True,
    show_default="the address of the server",
    help="Network that files may be uploaded into, besides public addresses of other machines "
    "(repeatable).",
)
@shared_options
def send(
    *,
    sources: tuple[str, ...],
    recipient: JID | None,
    desc: str | None,
    via: str,
    as_: str,
    listen: str,
    public_url: str | None,
    timeout: float,
    allow_network: tuple[IPv4Network | IPv6Network, ...],
    connection: Connection,
    output: Output,
) -> None:
    """Hand files to somebody, and tell whether they arrived.

    Each FILE or URL goes to JID: an account, one of its clients, or a component.

    The exit status is 0 if all arrived; 1 if a file was refused or could not be fetched; 2 if the
    command line is wrong or a file can't be read; 3 if there is no connection or no login; 4 if
    nobody takes files there, or nobody did in time; 5 if an upload failed. The highest counts.
    """
    # click would say that FILE is missing, also if it is JID.
    if recipient is None or not sources:
        raise click.UsageError("give a FILE or URL, and behind it the JID that gets it")
    if public_url is None and listen.startswith("unix:"):
        raise click.UsageError("--public-url must be given with --listen unix:...")
    if via == UPLOAD:
        try:
            check_mode(connection.mode, ["--via upload"], {"--via upload": (ACCOUNT, COMPONENT)})
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    # Not above: whoever asks for help should not wait for it.
    from twisted_oob.commands.errand import Errand, send_all  # noqa: PLC0415
    from twisted_oob.commands.start import start  # noqa: PLC0415

    # A file that can't be read shows before a password is asked for.
    items = open_all(sources)
    secret = connection.read_secret()
    errand = Errand(
        recipient=recipient,
        items=items,
        desc=desc,
        via=via,
        as_=as_,
        listen=listen,
        public_url=public_url,
        timeout=timeout,
        allow_networks=allow_network,
    )
    start(lambda reactor: send_all(errand, connection, secret, output, reactor), output)


def open_all(sources: tuple[str, ...]) -> tuple[Item, ...]:
    """Open all files, so that nothing is sent if one is missing.

    Args:
        sources: Paths and URLs, as they stand on the command line.

    Raises:
        UsageError: A file can't be opened, or a URL can't be sent.
    """
    # Not above: whoever asks for help should not wait for it.
    from twisted_oob.commands.errand import Item  # noqa: PLC0415
    from twisted_oob.files.source import SourceFile  # noqa: PLC0415
    from twisted_oob.protocol.data import OOBData  # noqa: PLC0415

    items: list[Item] = []
    try:
        for given in sources:
            if not given:
                raise ValueError("the name of a file is empty")
            if _URL.match(given):
                OOBData(given)
                items.append(Item(given))
            else:
                items.append(Item(given, SourceFile(given)))
    except (OSError, ValueError) as error:
        for item in items:
            if item.source is not None:
                item.source.close()
        reason = error.strerror if isinstance(error, OSError) else error
        shown = shown_url(given) if _URL.match(given) else shown_name(given)
        raise click.UsageError(f"{shown}: {reason}" if given else str(reason)) from None
    return tuple(items)
