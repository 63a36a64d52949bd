"""Who is compared, in which roles, and how each is started.

Every contender is a program of ``peers/``, started with the arguments ``HOST PORT DOMAIN SECRET``
and those of its role:

* ``answer``: answers each offer at once, after reading its url and desc.
* ``ask N W TO URL``: sends N requests for URL to TO, W unanswered at a time; then says ``ok K``.
* ``hold OPEN``: keeps OPEN offers unanswered, and for each one more answers the oldest.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

BASE = "wokkel"
OURS = "ours-direct"  # with direct=True
DEFAULT = "ours"
PEERS = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True)
class Contender:
    """One way to do it; ``roles``: from role to the program and its first arguments."""

    name: str
    needs: str
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether what it needs can be imported."""
        return find_spec(self.needs) is not None

    def command(self, role: str, *arguments: object) -> list[str]:
        """Give the command line of a role."""
        program, *first = self.roles[role]
        return [sys.executable, str(PEERS / program), *first, *map(str, arguments)]


def _roles(program: str, *roles: str) -> dict[str, tuple[str, ...]]:
    return {role: (program, role) for role in roles}


CONTENDERS = (
    Contender(
        OURS,
        "twisted_oob",
        {"answer": ("respond.py",), "ask": ("send.py",), "hold": ("ours.py", "hold-direct")},
    ),
    Contender(DEFAULT, "twisted_oob", _roles("ours.py", "answer", "ask", "hold")),
    Contender(BASE, "wokkel", _roles("with_wokkel.py", "answer", "ask", "hold")),
    Contender("slixmpp", "slixmpp", _roles("with_slixmpp.py", "answer", "ask", "hold")),
    Contender("raw", "twisted", _roles("raw_expat.py", "answer", "ask")),
)


def choose(role: str, only: Collection[str] | None = None) -> list[Contender]:
    """Give who has a role, is installed and is among ``only``; the base always is."""
    return [
        each
        for each in CONTENDERS
        if role in each.roles
        and each.installed
        and (only is None or each.name in only or each.name == BASE)
    ]


def left_out(only: Collection[str] | None = None) -> list[str]:
    """Give the names of those that could not take part, as what they need is not installed."""
    return [
        each.name
        for each in CONTENDERS
        if not each.installed and (only is None or each.name in only)
    ]
