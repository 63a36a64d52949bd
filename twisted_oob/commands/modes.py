"""The three ways to reach others that a command line can choose, and which options go with each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

EMBEDDED: Final = "embedded"
"""Mode: by the XMPP router that ``twistd oob-responder`` embeds."""
ACCOUNT: Final = "account"
"""Mode: by an account on a server."""
COMPONENT: Final = "component"
"""Mode: as an external component (XEP-0114) of a server."""

DOMAIN: Final = "oob.localhost"
"""Who the responder is on the embedded router, or ``oob receive`` in its place."""
SECRET_FILE: Final = "./oob-responder.secret"  # noqa: S105  (only where it is)
"""Where the embedded router keeps the secret that it shares with components."""

CONNECTING: Final = {
    "--jid": (ACCOUNT,),
    "--password-file": (ACCOUNT,),
    "--password-command": (ACCOUNT,),
    "--direct-tls": (ACCOUNT,),
    "--component": (COMPONENT,),
    "--secret-file": (EMBEDDED, COMPONENT),
    "--host": (ACCOUNT, COMPONENT),
    "--port": (EMBEDDED, ACCOUNT, COMPONENT),
}
"""The options that say how to connect, and the modes that each has a meaning in."""

_CHOSEN_BY: Final = {EMBEDDED: "the embedded router", ACCOUNT: "--jid", COMPONENT: "--component"}


def chosen_mode(given: Collection[str]) -> str:
    """Tell the mode that the given options choose.

    Args:
        given: The options that were given, such as ``--jid``.

    Returns:
        EMBEDDED, ACCOUNT or COMPONENT.

    Raises:
        ValueError: They choose two.
    """
    exclude("--jid", "--component", given)
    if "--jid" in given:
        return ACCOUNT
    return COMPONENT if "--component" in given else EMBEDDED


def check_mode(mode: str, given: Collection[str], modes: Mapping[str, Collection[str]]) -> None:
    """Check that each option has a meaning in a mode.

    Args:
        mode: The mode.
        given: The options that were given.
        modes: The modes that an option has a meaning in. One that is not here has it in each.

    Raises:
        ValueError: An option has none; the message names it.
    """
    for option in sorted(given):
        if mode not in modes.get(option, (mode,)):
            others = " or ".join(_CHOSEN_BY[one] for one in modes[option])
            raise ValueError(f"{option} goes with {others}, not with {_CHOSEN_BY[mode]}")


def require(option: str, given: Collection[str], *, because_of: str) -> None:
    """Check that an option was given.

    Args:
        option: Its name.
        given: The options that were given.
        because_of: The mode or the option that it must be given with.

    Raises:
        ValueError: It was not.
    """
    if option not in given:
        raise ValueError(f"{option} must be given with {_CHOSEN_BY.get(because_of, because_of)}")


def exclude(first: str, second: str, given: Collection[str]) -> None:
    """Check that not both of two options were given.

    Raises:
        ValueError: Both were.
    """
    if first in given and second in given:
        raise ValueError(f"{first} and {second} exclude each other: give one of them")
