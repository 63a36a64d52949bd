"""Send N requests to retrieve URL: ``send.py HOST PORT DOMAIN SECRET N W TO URL``.

It connects to an XMPP server as the component DOMAIN (XEP-0114), and keeps W requests to TO
unanswered while any are left to send. Once all N are answered it prints ``ok K``, where K of
them succeeded, and stays connected until a signal ends it.
"""

from __future__ import annotations

import sys

from asking import DESC
from connecting import command_line, positive, run
from twisted.python.failure import Failure

from twisted_oob import ErrorCondition, OOBHandler


class Sender(OOBHandler):
    """Sends ``count`` requests for ``url``, ``window`` at a time, and tells how many succeeded."""

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
        """Send as many as there is room for, or tell that all have ended."""
        self.sending = True
        while self.left and self.unanswered < self.window:
            self.left -= 1
            self.unanswered += 1
            self.send_url(self.recipient, self.url, DESC).addBoth(self.end)
        self.sending = False
        if not (self.unanswered or self.left or self.told):
            self.told = True
            sys.stdout.write(f"ok {self.succeeded}\n")
            sys.stdout.flush()

    def end(self, outcome: ErrorCondition | Failure | None) -> None:
        """Count a request that has ended, with success if None, and send the next."""
        self.unanswered -= 1
        if outcome is None:
            self.succeeded += 1
        elif isinstance(outcome, Failure):
            sys.stderr.write(f"{outcome.getErrorMessage()}\n")
        if not self.sending:  # one that fails at once ends inside go_on
            self.go_on()


def main() -> None:
    """Send all, then stay until a signal ends it."""
    *where, count, window, to, url = command_line(__doc__, N=int, W=positive, TO=str, URL=str)
    run(Sender(count, window, to, url), *where)


if __name__ == "__main__":
    main()
