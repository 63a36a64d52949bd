"""What the errors of a network and of Twisted's HTTP client mean to a peer, and to our log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionLost,
)
from twisted.web.client import RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed

from twisted_oob.errors import NO_ROOM, FetchFailed, NoRoom
from twisted_oob.files.policy import NO_ANSWER

NO_TLS: Final = "no secure connection to the server"
# Characters of a foreign error in our own log: it can quote what the server sent, without end.
_DETAIL: Final = 300


def explained(error: Exception) -> Exception:
    """Say in our words what a network error means.

    Returns:
        CancelledError if a cancellation caused the error, NoRoom if the descriptors were used up,
        and FetchFailed for every other network error, with the cause in its ``detail``. An error of
        another kind is returned as it is.
    """
    roots = list(_roots(error))

    def among(*kinds: type[BaseException]) -> bool:
        return any(isinstance(root, kinds) for root in roots)

    if among(CancelledError, ConnectingCancelledError):
        return CancelledError()
    if not isinstance(error, _NETWORK_ERRORS):
        return error
    # A socket that could not be made: Twisted's ConnectError has its errno in osError.
    if any(getattr(root, "osError", None) in NO_ROOM for root in roots):
        return NoRoom("no room for the file now", detail=causes(error))
    if among(SSL.Error, VerificationError, CertificateError):
        text = NO_TLS
    elif among(ConnectError):
        text = "the server could not be reached"
    else:
        text = NO_ANSWER
    return FetchFailed(text, detail=causes(error))


_NETWORK_ERRORS: Final = (
    CertificateError,
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    SSL.Error,
    VerificationError,
)


def _roots(error: BaseException) -> Iterator[BaseException]:
    """Find the errors that Twisted's HTTP client wrapped, however many times over."""
    wrapped = [getattr(reason, "value", None) for reason in getattr(error, "reasons", ())]
    roots = [root for root in wrapped if isinstance(root, BaseException)]
    for root in roots:
        yield from _roots(root)
    if not roots:
        yield error


def causes(error: BaseException) -> str:
    """Describe an error for our own log, in at most 300 characters."""
    # What Twisted has a private name and no word for, such as _DataLoss, tells nobody anything.
    told = [
        f"{type(root).__name__}: {_told(root)}"
        for root in _roots(error)
        if root.args or not type(root).__name__.startswith("_")
    ]
    return "; ".join(told)[:_DETAIL]


def _told(error: BaseException) -> str:
    # Bytes are what the server sent and Twisted could not parse. A server that speaks another
    # protocol may send our request back, with the secrets of its URL.
    words = [str(arg) for arg in error.args if not isinstance(arg, bytes)]
    return str(error) if len(words) == len(error.args) else ", ".join(words)
