"""Send N requests to retrieve URL: ``send.py HOST PORT DOMAIN SECRET N W TO URL``.

It connects to an XMPP server as the component DOMAIN (XEP-0114), and keeps W requests to TO
unanswered as long as any are left to send. Once all N are answered it prints ``ok K``, where K of
them succeeded, and stays connected until a signal ends it.
"""

from __future__ import annotations

import sys

from connecting import command_line, number, run
from twisted.python.failure import Failure

from twisted_oob import ErrorCondition, OOBHandler


class Sender(OOBHandler):
    """Sends ``count`` requests for ``url``, ``window`` at a time."""

    def __init__(
        self, count: int, window: int, recipient: str, url: str, *, direct: bool = True
    ) -> None:
        super().__init__(direct=direct)
        self.left, self.window = count, window
        self.recipient, self.url = recipient, url
        self.unanswered = self.succeeded = 0
        self.sending = self.told = False

    def connectionInitialized(self) -> None:
        """Begin, or go on after the stream was lost."""
        super().connectionInitialized()
        self.go_on()

    def go_on(self) -> None:
        """Send as many as there is room for; tell once all have ended."""
        self.sending = True
        while self.left and self.unanswered < self.window:
            self.left -= 1
            self.unanswered += 1
            self.send_url(self.recipient, self.url, "A file").addBoth(self.take)
        self.sending = False
        if not (self.unanswered or self.left or self.told):
            self.told = True
            sys.stdout.write(f"ok {self.succeeded}\n")
            sys.stdout.flush()

    def take(self, outcome: ErrorCondition | Failure | None) -> None:
        """Take what a request came to, where None is success, and send the next in its place."""
        self.unanswered -= 1
        if outcome is None:
            self.succeeded += 1
        elif isinstance(outcome, Failure):
            sys.stderr.write(f"{outcome.getErrorMessage()}\n")
        # One that fails at once is taken inside go_on, which sends the next itself.
        if not self.sending:
            self.go_on()


def main() -> None:
    """Send all, then stay until a signal ends it."""
    *where, count, window, to, url = command_line(
        __doc__, N=number(0), W=number(1), TO=str, URL=str
    )
    run(Sender(count, window, to, url), *where)


if __name__ == "__main__":
    main()
