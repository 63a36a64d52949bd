"""Who may ask us for something, and how often they are answered."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Verdict(Enum):
    """What is done with a request before anything else is done with it."""

    ADMIT = "admit"
    """Handle it."""
    DENY = "deny"
    """Answer with a short error: its sender may not ask."""
    DROP = "drop"
    """Answer nothing, deliberately (RFC 6120 section 13.12): its sender asks too often."""


class Gate(Protocol):
    """Judges the requests of one kind by their sender."""

    def judge(self, sender: str | None) -> Verdict:
        """Judge the next request, and count it.

        Args:
            sender: Its ``from`` as it came, which may be no JID; None if it has no ``from``.
        """
