"""Who is compared, in which roles, and how each is started.

A contender is a program of ``peers/`` that connects as a component (XEP-0114). Its arguments are
those of its roles below, then ``HOST PORT DOMAIN SECRET``, then those of the role:

* ``answer`` answers each offer at once, after reading its url and desc.
* ``hold OPEN`` keeps OPEN offers unanswered, and for each one more answers the oldest.
* ``ask N W TO URL`` sends N requests for URL to TO and keeps W of them unanswered; then it prints
  ``ok K``, where K of them succeeded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

DIRECT = "ours-direct"  # OOBHandler(direct=True)
OURS = "ours"  # OOBHandler as it is by default
BASE = "wokkel"  # the measure of all others
SLIXMPP = "slixmpp"
PEERS = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True)
class Contender:
    """One way to do it.

    Args:
        name: What it is called in the tables.
        needs: The package without which it is left out.
        roles: By role, the program and its first arguments.
    """

    name: str
    needs: str
    roles: dict[str, tuple[str, ...]]


def _roles(program: str, *roles: str) -> dict[str, tuple[str, ...]]:
    return {role: (program, role) for role in roles}


CONTENDERS = (
    Contender(
        DIRECT,
        "twisted_oob",
        {"answer": ("respond.py",), "ask": ("send.py",), "hold": ("ours.py", "hold-direct")},
    ),
    Contender(OURS, "twisted_oob", _roles("ours.py", "answer", "ask", "hold")),
    Contender(BASE, "wokkel", _roles("with_wokkel.py", "answer", "ask", "hold")),
    Contender(SLIXMPP, "slixmpp", _roles("with_slixmpp.py", "answer", "ask", "hold")),
    Contender("raw", "twisted", _roles("raw_expat.py", "answer", "ask")),
)


def choose(role: str, only: Collection[str] | None = None) -> list[Contender]:
    """Return who has a role, is installed and is among ``only``; the base always is."""
    return [
        each
        for each in CONTENDERS
        if role in each.roles
        and find_spec(each.needs)
        and (only is None or each.name in only or each.name == BASE)
    ]
