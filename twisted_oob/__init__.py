"""Files by URL over XMPP, for Twisted: XEP-0066 Out of Band Data on Wokkel.

Everything an application needs is here: add an ``OOBHandler`` to an ``AccountStream``, a
``ComponentStream`` or any Wokkel stream, offer files with ``send_url``, and take what others offer
in ``on_offer``. Importing it installs no reactor, and makes all of Wokkel 18 importable on today's
Twisted.

A name is imported when somebody asks for it: the command ``oob`` needs few of them, and a shell
that completes it should not wait for all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from twisted_oob import _compat  # noqa: F401  (before anything imports Wokkel)
from twisted_oob._version import __version__

if TYPE_CHECKING:
    from twisted_oob._file_info import FileInfo
    from twisted_oob.errors import (
        AlreadyAnswered,
        CommitPending,
        ErrorCondition,
        FetchFailed,
        FileTooLarge,
        Forbidden,
        InvalidOOBData,
        NoRoom,
        NotFound,
        OfferLost,
        OOBError,
        QueueFull,
        Rejected,
        ResourceConstraint,
        SlotRefused,
        StreamRefused,
        TooLarge,
        TryLater,
        UploadFailed,
        UploadServiceNotFound,
    )
    from twisted_oob.files.fetch import Fetcher
    from twisted_oob.files.fetched import FetchedFile
    from twisted_oob.files.policy import FetchPolicy
    from twisted_oob.files.served_folder import ServedFile, ServedFolder
    from twisted_oob.files.share import FileShare
    from twisted_oob.files.shared_file import SharedFile
    from twisted_oob.protocol.data import (
        DISCO_FEATURES,
        NS_IQ_OOB,
        NS_X_OOB,
        OOBData,
        url_from_element,
    )
    from twisted_oob.protocol.handler import OOBHandler
    from twisted_oob.protocol.messages import OOBMessage
    from twisted_oob.protocol.offers import Offer
    from twisted_oob.protocol.upload_service import UploadService
    from twisted_oob.transfer.chat import ChatFrontend
    from twisted_oob.transfer.chat_texts import ChatTexts
    from twisted_oob.transfer.delivery import Delivery
    from twisted_oob.transfer.giver import FileGiver
    from twisted_oob.transfer.responder import OOBResponder, ServedStream
    from twisted_oob.transfer.room_frontend import RoomFrontend
    from twisted_oob.transfer.sender import FileSender
    from twisted_oob.transfer.uploads import UploadHandler
    from twisted_oob.xmpp.access import AllowList
    from twisted_oob.xmpp.account_stream import AccountStream
    from twisted_oob.xmpp.component_stream import ComponentStream

__all__ = [
    "DISCO_FEATURES",
    "NS_IQ_OOB",
    "NS_X_OOB",
    "AccountStream",
    "AllowList",
    "AlreadyAnswered",
    "ChatFrontend",
    "ChatTexts",
    "CommitPending",
    "ComponentStream",
    "Delivery",
    "ErrorCondition",
    "FetchFailed",
    "FetchPolicy",
    "FetchedFile",
    "Fetcher",
    "FileGiver",
    "FileInfo",
    "FileSender",
    "FileShare",
    "FileTooLarge",
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
    "QueueFull",
    "Rejected",
    "ResourceConstraint",
    "RoomFrontend",
    "ServedFile",
    "ServedFolder",
    "ServedStream",
    "SharedFile",
    "SlotRefused",
    "StreamRefused",
    "TooLarge",
    "TryLater",
    "UploadFailed",
    "UploadHandler",
    "UploadService",
    "UploadServiceNotFound",
    "__version__",
    "url_from_element",
]

_HOMES: Final = {
    "_file_info": ("FileInfo",),
    "errors": (
        "AlreadyAnswered",
        "CommitPending",
        "ErrorCondition",
        "FetchFailed",
        "FileTooLarge",
        "Forbidden",
        "InvalidOOBData",
        "NoRoom",
        "NotFound",
        "OfferLost",
        "OOBError",
        "QueueFull",
        "Rejected",
        "ResourceConstraint",
        "SlotRefused",
        "StreamRefused",
        "TooLarge",
        "TryLater",
        "UploadFailed",
        "UploadServiceNotFound",
    ),
    "files.fetch": ("Fetcher",),
    "files.fetched": ("FetchedFile",),
    "files.policy": ("FetchPolicy",),
    "files.served_folder": (
        "ServedFile",
        "ServedFolder",
    ),
    "files.share": ("FileShare",),
    "files.shared_file": ("SharedFile",),
    "protocol.data": (
        "DISCO_FEATURES",
        "NS_IQ_OOB",
        "NS_X_OOB",
        "OOBData",
        "url_from_element",
    ),
    "protocol.handler": ("OOBHandler",),
    "protocol.messages": ("OOBMessage",),
    "protocol.offers": ("Offer",),
    "protocol.upload_service": ("UploadService",),
    "transfer.delivery": ("Delivery",),
    "transfer.chat": ("ChatFrontend",),
    "transfer.chat_texts": ("ChatTexts",),
    "transfer.giver": ("FileGiver",),
    "transfer.responder": (
        "OOBResponder",
        "ServedStream",
    ),
    "transfer.room_frontend": ("RoomFrontend",),
    "transfer.sender": ("FileSender",),
    "transfer.uploads": ("UploadHandler",),
    "xmpp.access": ("AllowList",),
    "xmpp.account_stream": ("AccountStream",),
    "xmpp.component_stream": ("ComponentStream",),
}
"""The public names by their modules."""
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}
_MODULES: Final = ("errors", "files", "protocol", "transfer", "xmpp")
"""Modules that can be had like the names, also by who has not imported them."""

# A type checker has the names above, and must not take this for one more source of any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{home}"), name)
        globals()[name] = value  # the next one who asks gets it without this
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
