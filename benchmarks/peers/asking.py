"""What the peers of other libraries do around their library's call."""

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

    def begin(self, *_event: object) -> None:
        """Fill the window."""
        while self.left and self.unanswered < self.size:
            self.left -= 1
            self.unanswered += 1
            self.send()

    def end(self, answer: object, succeeded: bool = False) -> None:
        """Count a request that has ended, and send the next in its place."""
        if succeeded:
            self.succeeded += 1
        else:
            sys.stderr.write(f"{answer}\n")
        if self.left:
            self.left -= 1
            self.send()
            return
        self.unanswered -= 1
        if not self.unanswered:
            sys.stdout.write(f"ok {self.succeeded}\n")
            sys.stdout.flush()
