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
