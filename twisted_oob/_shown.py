"""How sizes, times, names and JIDs look in a line for people.

Names and JIDs come from strangers: no character of theirs that could steer a terminal is shown.
"""

from __future__ import annotations

from typing import Final

_LONGEST_NAME: Final = 80
_LONGEST_JID: Final = 200
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def counted(number: int, thing: str) -> str:
    """Write how many there are of what has a regular plural: ``1 file``, ``3 files``."""
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"


def human_size(size: float) -> str:
    """Write a number of bytes for people, in powers of 1000: ``1.2 MB``."""
    number, unit = float(size), 0
    # What would be rounded up to 1000 is 1 of the next unit.
    while number >= (1000 if unit == 0 else 999.5) and unit < len(_UNITS) - 1:
        number /= 1000
        unit += 1
    if unit == 0:
        return counted(round(number), "byte")
    return f"{number:.1f} {_UNITS[unit]}" if number < 99.95 else f"{number:.0f} {_UNITS[unit]}"  # noqa: PLR2004


def human_rate(rate: float) -> str:
    """Write a number of bytes a second for people: ``1.2 MB/s``."""
    return f"{human_size(round(rate))}/s"


def human_time(seconds: float) -> str:
    """Write a time for people: ``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 4 min``."""
    if seconds < 9.95:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours = divmod(whole, 60), divmod(whole // 60, 60)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004
        return f"{minutes[0]} min {minutes[1]} s"
    return f"{hours[0]} h {hours[1]} min"


def shown_name(path: str) -> str:
    """Give a file's name or path as a line for people may show it: its last 80 characters.

    Its end says more than its beginning.
    """
    text = path if len(path) <= _LONGEST_NAME else "…" + path[1 - _LONGEST_NAME :]
    return printable(text)


def shown_jid(jid: str) -> str:
    """Give a JID as a line for people may show it, cut at 200 characters."""
    return printable(jid[:_LONGEST_JID])


def printable(text: str) -> str:
    """Replace what is not printable, each character by U+FFFD."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
