"""How the project's own peers start: their command line, and a component that says why it fails."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.xmlstream import STREAM_END_EVENT, STREAM_ERROR_EVENT
from wokkel.component import Component

from twisted_oob import OOBHandler


def positive(text: str) -> int:
    """Read a whole number above 0: without a place in the window, nothing would ever be sent."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return int(text)


def command_line(description: str | None, **more: Callable[[str], Any]) -> list[Any]:
    """Return HOST, PORT, DOMAIN, SECRET and ``more``, or exit with the usage and status 2."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, reader in {"HOST": str, "PORT": int, "DOMAIN": str, "SECRET": str, **more}.items():
        parser.add_argument(name, type=reader)
    words = sys.argv[1:]
    # A secret may begin with a dash. A word alone may be --help.
    return list(vars(parser.parse_args(["--", *words] if len(words) > 1 else words)).values())


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
