"""Files by URL over XMPP, for Twisted: XEP-0066 Out of Band Data on Wokkel.

Everything an application needs is here: add an ``OOBHandler`` to a Wokkel stream, offer files
with ``send_url``, and take what others offer in ``on_offer``. Importing it installs no reactor,
and makes all of Wokkel 18 importable on today's Twisted.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from twisted_oob import _compat  # noqa: F401  (before anything imports Wokkel)
from twisted_oob._version import __version__
from twisted_oob.errors import (
    AlreadyAnswered,
    ErrorCondition,
    FetchFailed,
    Forbidden,
    InvalidOOBData,
    NoRoom,
    NotFound,
    OfferLost,
    OOBError,
    Rejected,
    ResourceConstraint,
    TooLarge,
)
from twisted_oob.protocol.data import DISCO_FEATURES, NS_IQ_OOB, NS_X_OOB, OOBData, url_from_element
from twisted_oob.protocol.handler import OOBHandler, OOBMessage
from twisted_oob.protocol.offers import Offer

if TYPE_CHECKING:
    from twisted_oob.files.fetch import FetchedFile, Fetcher
    from twisted_oob.files.policy import FetchPolicy
    from twisted_oob.transfer.responder import OOBResponder, ServedStream
    from twisted_oob.xmpp.access import AllowList

__all__ = [
    "DISCO_FEATURES",
    "NS_IQ_OOB",
    "NS_X_OOB",
    "AllowList",
    "AlreadyAnswered",
    "ErrorCondition",
    "FetchFailed",
    "FetchPolicy",
    "FetchedFile",
    "Fetcher",
    "Forbidden",
    "InvalidOOBData",
    "NoRoom",
    "NotFound",
    "OOBData",
    "OOBError",
    "OOBHandler",
    "OOBMessage",
    "OOBResponder",
    "Offer",
    "OfferLost",
    "Rejected",
    "ResourceConstraint",
    "ServedStream",
    "TooLarge",
    "__version__",
    "url_from_element",
]

# With these comes an HTTP client, which takes longer to import than all the rest: they are
# imported when they are first asked for.
_FETCHING = {
    "AllowList": "xmpp.access",
    "FetchPolicy": "files.policy",
    "FetchedFile": "files.fetch",
    "Fetcher": "files.fetch",
    "OOBResponder": "transfer.responder",
    "ServedStream": "transfer.responder",
}


def __getattr__(name: str) -> object:
    room = _FETCHING.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_FETCHING})
