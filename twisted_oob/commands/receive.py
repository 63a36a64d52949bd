"""``oob receive``: takes the files that others offer."""

from __future__ import annotations

import sys
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

import click

from twisted_oob.commands.config import ConfiguredCommand
from twisted_oob.commands.connection import Connection
from twisted_oob.commands.modes import EMBEDDED
from twisted_oob.commands.output import Output
from twisted_oob.commands.parameters import Value
from twisted_oob.commands.shared_options import shared_options
from twisted_oob.commands.values import (
    TIMEOUT,
    parse_allowed,
    parse_count,
    parse_dir_mode,
    parse_directory,
    parse_file_mode,
    parse_network,
    parse_rate,
    parse_seconds,
    parse_size,
    parse_user_agent,
)
from twisted_oob.files.folders import DIR_MODE, FILE_MODE
from twisted_oob.files.policy import FetchPolicy

MAX_SIZE: Final = "10G"
"""The largest file, as one would write it: more than for strangers, as a person says yes to it."""
_POLICY: Final = FetchPolicy()


@click.command(cls=ConfiguredCommand)
@click.option(
    "--download-dir",
    type=Value(parse_directory, "DIR"),
    default=".",
    help="Folder for the files; created if missing.",
)
@click.option(
    "--from",
    "senders",
    type=Value(parse_allowed, "WHO"),
    multiple=True,
    show_default="nobody",
    help="Whose files are taken without a question: a JID, a domain or * (repeatable).",
)
@click.option(
    "--yes", is_flag=True, show_default="off", help="Take everybody's files without a question."
)
@click.option(
    "--count",
    type=Value(parse_count, "N"),
    show_default="no end",
    help="End once N files are received.",
)
@click.option(
    "--max-size",
    type=Value(parse_size, "SIZE"),
    default=MAX_SIZE,
    help="Largest size of a file in bytes; K, M, G are powers of 1000, Ki, Mi, Gi of 1024.",
)
@click.option(
    "--allow-network",
    "networks",
    type=Value(parse_network, "CIDR"),
    multiple=True,
    show_default="this machine's loopback, without --jid and --component",
    help="Network that files may be fetched from, besides public addresses of other machines "
    "(repeatable).",
)
@click.option(
    "--deny-network",
    "denied",
    type=Value(parse_network, "CIDR"),
    multiple=True,
    show_default="no network",
    help="Network that files are never fetched from, whatever else allows it (repeatable).",
)
@click.option(
    "--timeout",
    type=Value(parse_seconds, "SECONDS"),
    default=TIMEOUT,
    help="Seconds that the transfer of a file may take.",
)
@click.option(
    "--min-rate",
    type=Value(parse_rate, "RATE"),
    default=str(_POLICY.min_rate),
    help="Bytes a second that a transfer must bring, on average over "
    f"{_POLICY.stall_timeout:g} seconds; 0 for no limit.",
)
@click.option(
    "--user-agent",
    type=Value(parse_user_agent, "TEXT"),
    default=_POLICY.user_agent,
    show_default="this program's name, version and page",
    help="What web servers are told of who fetches: the User-Agent of HTTP.",
)
@click.option(
    "--file-mode",
    type=Value(parse_file_mode, "MODE"),
    default=f"{FILE_MODE:04o}",
    help="Permission bits of each file (octal).",
)
@click.option(
    "--dir-mode",
    type=Value(parse_dir_mode, "MODE"),
    default=f"{DIR_MODE:04o}",
    help="Permission bits of the folder, if it is created (octal).",
)
@shared_options
def receive(
    *,
    download_dir: Path,
    senders: tuple[str, ...],
    yes: bool,
    count: int | None,
    max_size: int,
    networks: tuple[IPv4Network | IPv6Network, ...],
    denied: tuple[IPv4Network | IPv6Network, ...],
    timeout: float,
    min_rate: int,
    user_agent: str,
    file_mode: int,
    dir_mode: int,
    connection: Connection,
    output: Output,
) -> None:
    """Take the files that others offer, with a question for each.

    Files come as offers and in messages, to the account or component that the options name. With
    neither --jid nor --component, this is in the place of twistd oob-responder: `oob send FILE
    oob.localhost` in another terminal, in the same folder, reaches it.

    The answer "quit" refuses that file and all that come later, lets those come that were taken
    before, and ends with status 0. Without a terminal there is nobody to ask: then only --from and
    --yes take anything.

    The exit status is 0 at the end by --count or by the answer "quit"; 2 if the command line is
    wrong; 3 if there is no connection or no login; 130 after Ctrl-C.
    """
    # A question is written on stderr, and read from stdin.
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    secret = None if connection.mode == EMBEDDED else connection.read_secret()
    if not (asks or yes or senders):
        output.warn("there is no terminal to ask on, so nothing is taken: give --from or --yes")
    # Not above: whoever asks for help should not wait for it.
    from twisted_oob.commands.reception import Terms, receive_all  # noqa: PLC0415
    from twisted_oob.commands.start import start  # noqa: PLC0415

    terms = Terms(
        folder=download_dir,
        senders=senders,
        yes=yes,
        asks=asks,
        count=count,
        max_size=max_size,
        networks=networks,
        denied=denied,
        timeout=timeout,
        min_rate=min_rate,
        user_agent=user_agent,
        file_mode=file_mode,
        dir_mode=dir_mode,
    )
    start(
        lambda reactor: receive_all(terms, connection.at_known_resource(), secret, output, reactor),
        output,
    )
