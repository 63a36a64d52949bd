"""What every entity of ours answers, whatever else it does: disco, version and ping."""

from __future__ import annotations

from typing import Any

from wokkel.generic import VersionHandler
from wokkel.ping import PingHandler

from twisted_oob._checks import check_not_empty, wrong_type
from twisted_oob._version import __version__
from twisted_oob.xmpp.disco import DiscoveryHandler, FallbackHandler, OneChildHandler


def check_stream(manager: object, identity: object) -> None:
    """Check what is to be attached to a stream, before any handler joins it.

    Raises:
        WrongType: The manager takes no handlers, or the identity is not a tuple of two str.
    """
    if not callable(getattr(manager, "addHandler", None)):
        raise wrong_type("manager", "a stream manager", manager)
    # The letters of a str would be category and type.
    if not isinstance(identity, tuple | list) or list(map(type, identity)) != [str, str]:
        raise wrong_type("identity", "a tuple of category and type", identity)


def attach_basics(manager: Any, *, identity: tuple[str, str], name: str) -> None:
    """Let a stream answer what others ask of any entity.

    That is disco (XEP-0030), version (XEP-0092) and ping (XEP-0199). Every other IQ request that no
    handler takes gets service-unavailable (RFC 6120 section 8.4), and one without exactly one child
    gets bad-request (section 8.2.3).

    Args:
        manager: A stream manager that takes Wokkel's handlers.
        identity: The category and type that disco tells (XEP-0030 section 3.1), such as
            ``("client", "bot")``.
        name: The name that disco tells, for people.

    Raises:
        WrongType: An argument is of the wrong kind. It is a TypeError, and names the argument.
        ValueError: The name is empty.
    """
    check_stream(manager, identity)
    check_not_empty("name", name)
    for handler in (
        OneChildHandler(),
        DiscoveryHandler(*identity, name),
        VersionHandler("twisted_oob", __version__),
        PingHandler(),
        FallbackHandler(),
    ):
        handler.setHandlerParent(manager)
