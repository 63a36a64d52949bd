"""How the project's own peers start: their command line, and a component that says why it fails."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID, InvalidFormat
from twisted.words.protocols.jabber.xmlstream import STREAM_END_EVENT, STREAM_ERROR_EVENT
from wokkel.component import Component

from twisted_oob import OOBHandler


def command_line(description: str | None, **more: Callable[[str], Any]) -> list[Any]:
    """Return HOST, PORT, DOMAIN, SECRET and ``more``, or exit with the usage and status 2.

    Args:
        description: What the program does, for ``--help``.
        more: By the name of each further argument, what reads it.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    readers: list[Callable[[str], Any]] = [str, number(1, 65535), _domain, str, *more.values()]
    for name, reader in zip(["HOST", "PORT", "DOMAIN", "SECRET", *more], readers, strict=True):
        parser.add_argument(name, type=reader)
    words = sys.argv[1:]
    # A secret may begin with a dash. A word alone may be --help.
    return list(vars(parser.parse_args(["--", *words] if len(words) > 1 else words)).values())


def number(least: int, most: int = sys.maxsize) -> Callable[[str], int]:
    """Return what reads a whole number within these bounds."""

    def read(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= most:
            return int(text)
        bounds = f"of at least {least}" if most == sys.maxsize else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {bounds}")

    return read


def _domain(text: str) -> str:
    try:
        JID(text)
    except (InvalidFormat, UnicodeError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a JID: {error}") from None
    return text


def run(handler: OOBHandler, host: str, port: int, domain: str, secret: str) -> None:
    """Connect, and stay until a signal. A connection that fails or is lost is tried again."""
    component = Component(host, port, domain, secret)
    handler.setHandlerParent(component)
    factory = component.factory
    factory.addBootstrap(STREAM_ERROR_EVENT, _tell)
    factory.addBootstrap(STREAM_END_EVENT, _tell)
    try_again = factory.clientConnectionFailed

    def failed(connector: object, reason: Failure) -> None:
        _tell(reason)
        try_again(connector, reason)

    # Twisted's log has only that it will be tried again, not why it failed.
    factory.clientConnectionFailed = failed
    component.startService()
    reactor.run()


def _tell(reason: Failure) -> None:
    sys.stderr.write(f"not connected: {reason.getErrorMessage()}\n")
