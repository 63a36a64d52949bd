"""Send N requests to retrieve URL: ``send.py HOST PORT DOMAIN SECRET N W TO URL``.

It connects to an XMPP server as the component DOMAIN (XEP-0114), and keeps W requests to TO
unanswered while any are left to send. Once all N are answered it prints ``ok K``, where K of
them succeeded, and stays connected until a signal ends it.
"""

from __future__ import annotations

from asking import DESC, Window
from connecting import command_line, number, run

from twisted_oob import OOBHandler


class Sender(OOBHandler):
    """Sends requests, and tells how many succeeded.

    Args:
        count: How many requests to send.
        window: How many of them to keep unanswered.
        recipient: Whom to ask.
        url: What to retrieve.
        direct: As for OOBHandler.
    """

    def __init__(
        self, count: int, window: int, recipient: str, url: str, *, direct: bool = True
    ) -> None:
        super().__init__(direct=direct)
        self.recipient, self.url = recipient, url
        self.window = Window(count, window, self.send)

    def connectionInitialized(self) -> None:
        """Begin, or go on after the stream was lost."""
        super().connectionInitialized()
        self.window.go_on()

    def send(self) -> None:
        """Send one."""
        self.send_url(self.recipient, self.url, DESC).addBoth(self.window.end)


def main() -> None:
    """Send all, then stay until a signal ends it."""
    *where, count, window, to, url = command_line(
        __doc__, N=number(0), W=number(1), TO=str, URL=str
    )
    run(Sender(count, window, to, url), *where)


if __name__ == "__main__":
    main()
