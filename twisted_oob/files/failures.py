"""What the errors of a network or a slow disk mean to a peer, and to our log."""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.error import ConnectError, ConnectionClosed

from twisted_oob._tls import NoRoots
from twisted_oob.errors import NO_ROOM, FetchFailed, NoRoom, ResourceConstraint
from twisted_oob.files.policy import NO_ANSWER

NO_TLS: Final = "no secure connection to the server"
NO_VERIFYING: Final = "https servers can't be verified here now; try again later"
# Characters of a foreign error in our own log: it can quote what the server sent, without end.
_DETAIL: Final = 300


def explained(error: Exception) -> Exception:
    """Say in our words what a network error means.

    Returns:
        NoRoom if the descriptors were used up, ResourceConstraint if this machine can't verify any
        server, and FetchFailed for every other network error, with the cause in its ``detail``. An
        error of another kind is returned as it is, a CancelledError too.
    """
    if isinstance(error, NoRoots):
        # It says nothing of the file: whoever mends this machine can fetch it.
        return ResourceConstraint(NO_VERIFYING, detail=causes(error))
    text = next((text for kinds, text in _MEANINGS if isinstance(error, kinds)), None)
    if text is None:
        return error
    # A socket that could not be made: Twisted's ConnectError has its errno in osError.
    if getattr(error, "osError", None) in NO_ROOM:
        return no_room(causes(error))
    return FetchFailed(text, detail=causes(error))


_MEANINGS: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((SSL.Error, VerificationError, CertificateError), NO_TLS),
    ((ConnectError,), "the server could not be reached"),
    ((ConnectionClosed,), NO_ANSWER),
)


def no_room(detail: str) -> NoRoom:
    """Give the error for file descriptors, threads or memory that are used up."""
    return NoRoom("no room for the file now", detail=detail)


def slow_disk(error: Exception) -> NoRoom:
    """Give the error of a transfer whose disk did not answer until it ended with another error."""
    if isinstance(error, NoRoom):
        return error
    return NoRoom(
        "the disk is slow; offer it again later",
        detail=f"the disk did not answer, and the transfer ended: {error}",
    )


def causes(error: BaseException) -> str:
    """Describe an error for our own log, in at most 300 characters."""
    # A server that speaks another protocol may send our request back, with the secrets of its URL.
    words = [str(arg) for arg in error.args if not isinstance(arg, bytes)]
    told = str(error) if len(words) == len(error.args) else ", ".join(words)
    return f"{type(error).__name__}: {told}"[:_DETAIL]
