"""The FileBot that the options of ``twistd oob-responder`` describe, and what is told of it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted_oob.commands.modes import EMBEDDED
from twisted_oob.commands.values import LISTEN, SHARE, UPLOAD
from twisted_oob.transfer.bot import FileBot, Serving
from twisted_oob.xmpp.jid import parse_jid

if TYPE_CHECKING:
    from twisted.logger import Logger

    from twisted_oob.commands.options import Options
    from twisted_oob.files.folders import Folders
    from twisted_oob.files.policy import FetchPolicy


def make_bot(options: Options, policy: FetchPolicy, folders: Folders, reactor: Any) -> FileBot:
    """Make the FileBot that the options describe.

    Args:
        options: The parsed options. The folder of ``--download-dir`` is there.
        policy: What may be fetched.
        folders: Makes the folders of rooms.
        reactor: The reactor of the process.

    Raises:
        ValueError: The share can't have the URL of ``--public-url``.
    """
    return FileBot(
        options["download-dir"],
        policy,
        allow_from=allowed(options),
        reactor=reactor,
        concurrency=options["concurrency"],
        grace=options["grace"],
        queue_timeout=options["queue-timeout"],
        messages=not options["no-messages"],
        serving=_serving(options),
        rooms=[(parse_jid(jid.userhost()), jid.resource) for jid in options["join"]],
        talk_in_rooms=bool(options["talk-in-rooms"]),
        file_mode=options["file-mode"],
        folders=folders,
        on_server=options.mode != EMBEDDED,
    )


def allowed(options: Options) -> list[str]:
    """Give the entries of ``--allow-from``, and those that the files of ``--allow-file`` have."""
    entries: list[str] = list(options["allow-from"])
    for file in options["allow-file"]:
        entries += file.entries
    return entries


def _serving(options: Options) -> Serving | None:
    if options["serve"] is None:
        return None
    endpoint = options["serve-listen"]
    if endpoint == LISTEN and socket.has_dualstack_ipv6():
        # Twisted's tcp is IPv4 alone, and the share is reached where the stream comes from.
        endpoint = endpoint.replace("tcp", "tcp6")
    return Serving(options["serve"], endpoint, options["public-url"], options["via"])


def tell_at_start(log: Logger, options: Options, address: str) -> None:
    """Tell an operator what goes on at an address.

    Args:
        log: Takes a line for each thing.
        options: The parsed options.
        address: The full JID of an account, or the domain of a component.
    """
    log.info(
        "Offers to {address} land in {folder}", address=address, folder=options["download-dir"]
    )
    if not options["no-messages"]:
        log.info("Files in messages to {address} land there, too", address=address)
    if options["serve"] is not None:
        log.info(
            "Files in {folder} are given to those who ask {address} for them, {how}",
            folder=options["serve"],
            address=address,
            how=_how(options),
        )


def _how(options: Options) -> str:
    """Say how files get their URLs."""
    via = options["via"]
    share = f"by the share at {options['public-url'] or options['serve-listen']}"
    if via == SHARE or options.mode == EMBEDDED:
        return share
    uploads = "by uploads to the server"
    return uploads if via == UPLOAD else f"{uploads}, else {share}"
