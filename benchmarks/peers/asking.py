"""What every asking peer does around its library's call: keep W unanswered, count, say ``ok K``."""

from __future__ import annotations

import sys
from collections.abc import Callable

DESC = "A file"


class Window:
    """Calls ``send`` for ``count`` requests, ``window`` of them unanswered at a time."""

    def __init__(self, count: int, window: int, send: Callable[[], None]) -> None:
        self.count, self.window, self.send = count, window, send
        self.sent = self.ended = self.succeeded = 0

    def begin(self, *_event: object) -> None:
        """Fill the window."""
        for _ in range(min(self.window, self.count)):
            self.sent += 1
            self.send()

    def succeed(self, _answer: object = None) -> None:
        """Count a result, and go on."""
        self.succeeded += 1
        self.go_on()

    def fail(self, reason: object = None) -> None:
        """Count anything else, and go on."""
        sys.stderr.write(f"{reason}\n")
        self.go_on()

    def go_on(self) -> None:
        """Send the next in place of one that has ended."""
        self.ended += 1
        if self.sent < self.count:
            self.sent += 1
            self.send()
        elif self.ended == self.count:
            sys.stdout.write(f"ok {self.succeeded}\n")
            sys.stdout.flush()
