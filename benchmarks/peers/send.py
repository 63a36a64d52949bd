"""Send N requests to retrieve URL: ``send.py HOST PORT DOMAIN SECRET N W TO URL``.

It connects to an XMPP server as the component DOMAIN (XEP-0114), and keeps W requests to TO
unanswered as long as any are left to send. Once all N are answered it prints ``ok K``, where K of
them succeeded, and stays connected until a signal ends it.
"""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.python.failure import Failure
from wokkel.component import Component

from twisted_oob import ErrorCondition, OOBHandler


class Sender(OOBHandler):
    """Sends ``count`` requests for ``url``, ``window`` at a time."""

    def __init__(self, count: int, window: int, recipient: str, url: str) -> None:
        super().__init__()
        self.count, self.window = count, window
        self.recipient, self.url = recipient, url
        self.sent = self.ended = self.succeeded = 0

    def connectionInitialized(self) -> None:
        """Begin, or go on after the stream was lost."""
        super().connectionInitialized()
        while self.sent < self.count and self.sent - self.ended < self.window:
            self.send_next()

    def send_next(self) -> None:
        """Send one more request."""
        self.sent += 1
        self.send_url(self.recipient, self.url, "A file").addBoth(self.take)

    def take(self, outcome: ErrorCondition | Failure | None) -> None:
        """Take what a request came to, where None is success, and send the next in its place."""
        self.ended += 1
        self.succeeded += outcome is None
        if isinstance(outcome, Failure):
            sys.stderr.write(f"{outcome.getErrorMessage()}\n")
        if self.sent < self.count:
            self.send_next()
        elif self.ended == self.count:
            sys.stdout.write(f"ok {self.succeeded}\n")
            sys.stdout.flush()


def main(sender_class: type[Sender] = Sender) -> None:
    """Send all, then stay until a signal ends it."""
    if len(sys.argv) != 9:  # noqa: PLR2004
        sys.exit(__doc__)
    host, port, domain, secret, count, window, to, url = sys.argv[1:]
    component = Component(host, int(port), domain, secret)
    sender_class(int(count), int(window), to, url).setHandlerParent(component)
    component.startService()
    reactor.run()


if __name__ == "__main__":
    main()
