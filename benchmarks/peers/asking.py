"""What every peer that asks does around its library's call."""

from __future__ import annotations

import sys
from collections.abc import Callable

DESC = "A file"


class Window:
    """Keeps a window of requests unanswered; once all are answered, prints how many succeeded.

    Args:
        count: How many requests to send.
        size: How many of them to keep unanswered.
        send: Sends one.
    """

    def __init__(self, count: int, size: int, send: Callable[[], None]) -> None:
        self.left, self.size, self.send = count, size, send
        self.unanswered = self.succeeded = 0
        self.sending = self.told = False

    def go_on(self, *_event: object) -> None:
        """Send as many as there is room for, or tell that all have ended."""
        self.sending = True
        while self.left and self.unanswered < self.size:
            self.left -= 1
            self.unanswered += 1
            self.send()
        self.sending = False
        if not (self.unanswered or self.left or self.told):
            self.told = True
            sys.stdout.write(f"ok {self.succeeded}\n")
            sys.stdout.flush()

    def succeed(self, _answer: object) -> None:
        """Count a success, and send the next request."""
        self.end()

    def end(self, failure: object = None) -> None:
        """Count a request that has ended, with success if None, and send the next."""
        if failure is None:
            self.succeeded += 1
        elif not isinstance(failure, str):  # an ErrorCondition is a str, and a valid answer
            sys.stderr.write(f"{failure}\n")
        self.unanswered -= 1
        if not self.sending:  # one that fails at once ends inside go_on
            self.go_on()
