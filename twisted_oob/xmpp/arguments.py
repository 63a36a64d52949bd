"""Checks of what an application passes: an error at once, which names the argument."""

from __future__ import annotations

from typing import Final

HIGHEST_PORT: Final = 65535
"""The last TCP port."""


def check_not_empty(name: str, value: object) -> str:
    """Check a str that must not be empty.

    Raises:
        TypeError: It is no str. The text doesn't show it, as it may be a secret.
        ValueError: It is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    return value


def check_flag(name: str, value: object) -> bool:
    """Check what must be True or False: a text such as ``'no'`` would count as True.

    Twisted's usage.Options has 0 and 1 for flags, so these are good, too.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(value, int):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}")
    return bool(value)


def check_clock(name: str, value: object) -> None:
    """Check that something tells the time and delays calls (IReactorTime).

    Raises:
        TypeError: It does not.
    """
    if not all(callable(getattr(value, method, None)) for method in ("seconds", "callLater")):
        raise TypeError(f"{name} must be a reactor, not {type(value).__name__}")


def check_port(name: str, value: object) -> int:
    """Check a TCP port to connect to.

    Raises:
        TypeError: It is no int.
        ValueError: It is not 1 to 65535.
    """
    if type(value) is not int:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not 1 <= value <= HIGHEST_PORT:
        raise ValueError(f"{name} must be 1 to {HIGHEST_PORT}, not {value}")
    return value
