"""What callers give us, for every wing: checked at once, with an error that names the argument."""

from __future__ import annotations

import re
from typing import Any, Final

from twisted_oob.errors import WrongType

HIGHEST_PORT: Final = 65535
"""The last TCP port."""

_PERMISSIONS: Final = 0o777
_FIELD_VALUE: Final = re.compile(r"[!-~]([ -~]*[!-~])?")


def wrong_type(name: str, wanted: str, given: object) -> WrongType:
    """Make the error for an argument of the wrong type.

    Args:
        name: The argument.
        wanted: What it must be, in words.
        given: What it is. Only its type is told: it may hold a URL with its secrets.
    """
    return WrongType(f"{name} must be {wanted}, not {type(given).__name__}")


def check_not_empty(name: str, value: object) -> str:
    """Check a str that must not be empty.

    Raises:
        WrongType: It is no str. The text doesn't show it, as it may be a secret.
        ValueError: It is empty.
    """
    if not isinstance(value, str):
        raise wrong_type(name, "a str", value)
    if not value:
        raise ValueError(f"{name} must not be empty")
    return value


def check_field_value(name: str, value: object) -> str:
    """Check the value of an HTTP field: printable ASCII (RFC 9110 section 5.5).

    Raises:
        WrongType: It is no str.
        ValueError: It is empty, has other characters, or spaces around it, which no server sees.
    """
    if not isinstance(value, str):
        raise wrong_type(name, "a str", value)
    if _FIELD_VALUE.fullmatch(value) is None:
        raise ValueError(
            f"{name} must be printable ASCII in one line, without spaces around it, not {value!r}"
        )
    return value


def check_flag(name: str, value: object) -> bool:
    """Check what must be True or False: a text such as ``'no'`` would count as True.

    Twisted's usage.Options has 0 and 1 for flags, so these are good, too.

    Raises:
        WrongType: It is neither.
    """
    if not isinstance(value, int):
        raise wrong_type(name, "True or False", value)
    return bool(value)


def check_clock(name: str, value: object) -> None:
    """Check that something tells the time and delays calls (IReactorTime).

    Raises:
        WrongType: It does not.
    """
    if not all(callable(getattr(value, method, None)) for method in ("seconds", "callLater")):
        raise wrong_type(name, "a reactor", value)


def checked_reactor(reactor: Any) -> Any:
    """Give a reactor that was given, or the global one, which is installed if it is not yet.

    Args:
        reactor: An IReactorTime; None for the global reactor.

    Raises:
        WrongType: It is something else.
    """
    if reactor is None:
        from twisted.internet import reactor  # noqa: PLC0415  (importing this must not install one)
    check_clock("reactor", reactor)
    return reactor


def check_port(name: str, value: object) -> int:
    """Check a TCP port to connect to.

    Raises:
        WrongType: It is no int.
        ValueError: It is not 1 to 65535.
    """
    if type(value) is not int:
        raise wrong_type(name, "an int", value)
    if not 1 <= value <= HIGHEST_PORT:
        raise ValueError(f"{name} must be 1 to {HIGHEST_PORT}, not {value}")
    return value


def check_callable(name: str, given: object) -> None:
    """Check that a callback can be called, or is None.

    Raises:
        WrongType: It can't be called.
    """
    if given is not None and not callable(given):
        raise wrong_type(name, "callable or None", given)


def checked_seconds(name: str, given: object) -> float | None:
    """Give a number of seconds, or None for never.

    Raises:
        WrongType: It is not a number.
        ValueError: It is not above 0.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise wrong_type(name, "a number of seconds or None", given)
    if not given > 0:  # NaN is not, either
        raise ValueError(f"{name} must be a number of seconds above 0, or None, not {given!r}")
    return given


def checked_count(name: str, given: object, *, least: int = 1) -> int:
    """Give a count of at least one, or of another least number.

    Raises:
        WrongType: It is not an int.
        ValueError: It is below that.
    """
    if isinstance(given, bool) or not isinstance(given, int):
        raise wrong_type(name, "an int", given)
    if given < least:
        raise ValueError(f"{name} must be at least {least}, not {given}")
    return given


def checked_mode(name: str, given: object) -> int:
    """Give the permissions of a file: the bits for its owner, its group and others.

    Raises:
        WrongType: It is not an int.
        ValueError: It has other bits, such as set-user-ID.
    """
    if isinstance(given, bool) or not isinstance(given, int):
        raise wrong_type(name, "an int", given)
    if not 0 <= given <= _PERMISSIONS:
        raise ValueError(f"{name} must be 0 to 0o777, not {given:#o}")
    return given
