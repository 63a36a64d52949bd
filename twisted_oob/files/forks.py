"""What belongs to one process alone: threads and locks, which a forked child must not take over.

A child has none of its parent's threads, and shares the parent's locks on files: it would hold them
for as long as it lives, even if the parent is long dead. ``twistd`` forks to become a daemon, and
an application may fork at any time.
"""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol


class OfOneProcess(Protocol):
    """Something that a forked child begins anew."""

    def forget_parent(self) -> None:
        """Forget what the parent has, in a child that was just forked. It must not block."""


_known: Final[weakref.WeakSet[OfOneProcess]] = weakref.WeakSet()


def tell_of_forks(one: OfOneProcess) -> None:
    """Call its ``forget_parent`` in each child that is forked while it lives."""
    _known.add(one)


def _forked() -> None:
    for one in list(_known):
        one.forget_parent()


os.register_at_fork(after_in_child=_forked)
