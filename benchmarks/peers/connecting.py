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

_HIGHEST_PORT = 65535


def command_line(description: str | None, **more: Callable[[str], object]) -> list[Any]:
    """Give HOST, PORT, DOMAIN, SECRET and ``more``, or end with the usage and status 2.

    ``more``: the names of further arguments, and what reads each.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    readers = {"HOST": str, "PORT": number(1, _HIGHEST_PORT), "DOMAIN": _domain, "SECRET": str}
    for name, reader in (readers | more).items():
        parser.add_argument(name, type=reader)
    words = sys.argv[1:]
    # A secret may begin with a dash; a word alone may be --help.
    given = parser.parse_args(["--", *words] if len(words) > 1 else words)
    return list(vars(given).values())


def number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Give what reads a whole number within these bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"within {least} to {most}"
            raise argparse.ArgumentTypeError(f"{value} is not {bounds}")
        return value

    return read


def _domain(text: str) -> str:
    try:
        JID(text)
    except (InvalidFormat, UnicodeError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JID: {error}") from None
    return text


def run(handler: OOBHandler, host: str, port: int, domain: str, secret: str) -> None:
    """Connect, and stay until a signal; a connection that fails or is lost is tried again."""
    component = Component(host, port, domain, secret)
    handler.setHandlerParent(component)
    factory = component.factory
    factory.addBootstrap(STREAM_ERROR_EVENT, _tell)
    factory.addBootstrap(STREAM_END_EVENT, _tell)
    try_again = factory.clientConnectionFailed

    def failed(connector: object, reason: Failure) -> None:
        _tell(reason)
        try_again(connector, reason)

    # Nothing else hears why: Twisted's log has only that it will be tried again.
    factory.clientConnectionFailed = failed
    component.startService()
    reactor.run()


def _tell(reason: Failure) -> None:
    sys.stderr.write(f"not connected: {reason.getErrorMessage()}\n")
