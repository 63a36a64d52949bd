"""Every exception and error condition of the library.

There are two kinds. An ``OOBError`` is for the application: it made a mistake, or there is no
stream. Nobody else hears of it. A ``StanzaError`` is what a peer is told: it has a condition and a
type (RFC 6120 section 8.3), of which XEP-0066 section 2 names two, and everything that ``on_offer``
raises of this kind becomes the answer. Its ``text`` goes over the wire, its ``detail`` only to our
own log.
"""

from __future__ import annotations

import errno
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.words.protocols.jabber.error import StanzaError, exceptionFromStanza
from twisted.words.xish import domish

NOT_FOUND: Final = "not-found"
REJECT: Final = "reject"
UNAVAILABLE: Final = "unavailable"
WAIT: Final = "wait"

_WORDS: Final = {
    "item-not-found": NOT_FOUND,
    "service-unavailable": UNAVAILABLE,
    "feature-not-implemented": UNAVAILABLE,
    "recipient-unavailable": UNAVAILABLE,
    "gone": UNAVAILABLE,
    "redirect": UNAVAILABLE,
    "remote-server-not-found": UNAVAILABLE,
    "remote-server-timeout": UNAVAILABLE,
    "subscription-required": UNAVAILABLE,
    "resource-constraint": WAIT,
}
"""What a condition (RFC 6120 section 8.3.3) means to who offers a file. Every other one is WAIT if
its type is ``wait``, else REJECT."""
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
"""System errors (errno) which mean that there is no room for another file at the moment."""


class OOBError(Exception):
    """Base of the errors that concern only us: a wrong use by the application, or a stream."""


class AlreadyAnswered(OOBError):
    """The offer already has its answer. Nothing was sent now."""


class OfferLost(OOBError):
    """The stream that carried the offer is gone, so the offer can't be answered any more."""


class StreamRefused(OOBError):
    """There is no stream to the server.

    Args:
        text: Why, in one line for a person.
        permanent: Whether every further attempt fails, too, until somebody changes something.
    """

    def __init__(self, text: str, *, permanent: bool = True) -> None:
        super().__init__(text)
        self.permanent = permanent


class NoService(StreamRefused):
    """The domain states in its DNS that it has no XMPP service (RFC 6120 section 3.2.1)."""


class Unencrypted(StreamRefused):
    """The server does not offer STARTTLS (RFC 6120 section 5). Nothing secret was sent."""


class AuthenticationFailed(StreamRefused):
    """The server did not let us in, or did not prove that it knows the account.

    See RFC 6120 section 6.

    Args:
        text: Why, in one line for a person.
        condition: The server's reason (RFC 6120 section 6.5), or None if we broke it off.
        permanent: As for StreamRefused.
    """

    def __init__(self, text: str, *, condition: str | None = None, permanent: bool = True) -> None:
        super().__init__(text, permanent=permanent)
        self.condition = condition


class InvalidOOBData(ValueError):
    """A URL, description or element can't be Out of Band Data. The message says why."""


class WrongType(InvalidOOBData, TypeError):
    """An argument has the wrong type. The message names the argument and what it must be.

    It is a TypeError, and also an InvalidOOBData: who sends what somebody gave it catches one
    error for all that can't be sent.
    """


class QueueFull(OOBError):
    """Too many messages wait for a stream already. This one was not queued."""


class UploadServiceNotFound(OOBError):
    """The server has no service for HTTP File Upload (XEP-0363 section 4)."""


class FileTooLarge(OOBError):
    """The file is larger than the upload service takes (XEP-0363 section 5).

    Args:
        max_size: The largest file that it takes, in bytes; None if it does not tell.
    """

    def __init__(self, max_size: int | None) -> None:
        limit = "" if max_size is None else f": it takes at most {max_size} bytes"
        super().__init__(f"the file is too large for the upload service{limit}")
        self.max_size = max_size


class SlotRefused(OOBError):
    """The upload service gives no slot for the file (XEP-0363 section 6).

    Args:
        condition: The condition of its error (RFC 6120 section 8.3.3).
        text: What it says, for a person; None if it says nothing.
        retry: Seconds from now until it may be asked again (``<retry stamp>``); None if it does not
            tell.
    """

    def __init__(self, condition: str, text: str | None = None, retry: float | None = None) -> None:
        again = "" if not retry else f"; it may be asked again in {max(1, retry):.0f} s"
        super().__init__(f"the upload service gave no slot: {text or condition}{again}")
        self.condition = condition
        self.text = text
        self.retry = retry


class UploadFailed(OOBError):
    """The file did not get to the upload service's HTTP server whole.

    Args:
        status: The HTTP status that the server answered; None if it gave no answer.
        text: Why, in one line for a person.
    """

    def __init__(self, status: int | None, text: str) -> None:
        super().__init__(f"the upload failed: {text}")
        self.status = status
        self.text = text


class _FixedStanzaError(StanzaError):
    """A stanza error whose class determines condition and type.

    Args:
        text: What the peer reads, or None to send no text.
        detail: What our log reads. It defaults to the text, or else to the condition.
    """

    _condition: str
    _type: str

    def __init__(self, text: str | None = None, *, detail: str | None = None) -> None:
        StanzaError.__init__(self, self._condition, type=self._type, text=text)
        self.detail = detail or text or self._condition

    def __str__(self) -> str:
        return self.detail


class NotFound(_FixedStanzaError):
    """The URL can't be retrieved: ``item-not-found``, type ``cancel`` (XEP-0066 section 2)."""

    _condition, _type = "item-not-found", "cancel"


class Rejected(_FixedStanzaError):
    """The recipient does not want it: ``not-acceptable``, type ``modify`` (XEP-0066 section 2)."""

    _condition, _type = "not-acceptable", "modify"


class ResourceConstraint(_FixedStanzaError):
    """Not now: ``resource-constraint``, type ``wait`` (RFC 6120 section 8.3.3.18)."""

    _condition, _type = "resource-constraint", "wait"


class Forbidden(Rejected):
    """The policy forbids this scheme, address or redirect."""


class TooLarge(Rejected):
    """The file is larger than the policy allows."""


class FetchFailed(NotFound):
    """The file could not be retrieved whole."""


class NoRoom(ResourceConstraint):
    """There is no room for the file: the disk or the quota is full, or file descriptors ran out."""


class FolderUnusable(NoRoom):
    """Nothing can be stored in the folder for files now: it is gone, read-only, or full.

    Args:
        folder: The folder.
        why: Why not, for our own log.

    Attributes:
        folder: The same.
        why: The same.
    """

    def __init__(self, folder: str, why: str) -> None:
        super().__init__("no room for the file now", detail=f"the folder {folder}: {why}")
        self.folder = folder
        self.why = why


class CommitPending(NoRoom):
    """The disk is slow: the file is whole, and has not got its name in time.

    It may get its name yet. So nobody knows whether this failed.

    Args:
        later: Fires with the FetchedFile if it gets its name after all, and fails if it does not.
        detail: What our log reads.

    """

    def __init__(self, later: Deferred[Any], *, detail: str | None = None) -> None:
        super().__init__("the disk is slow; offer it again later", detail=detail)
        self._ends: list[Any] = []
        self._later: Deferred[Any] | None = None
        later.addBoth(self._ended)

    @property
    def later(self) -> Deferred[Any]:
        """Tells how it ends: with the FetchedFile, or with an error.

        If nobody asks for it, the log has no unhandled error of it.
        """
        if self._later is None:
            self._later = Deferred()
            for end in self._ends:
                self._later.callback(end)
        return self._later

    def _ended(self, end: Any) -> None:
        self._ends.append(end)
        if self._later is not None:
            self._later.callback(end)


class TryLater(ResourceConstraint):
    """The file's server asks to come back later: 503 or 429 with Retry-After (RFC 9110 10.2.3)."""


class ErrorCondition(str):
    """How a peer answered, if its answer was not "I have the file".

    It is a ``str``, equal to one of these:

    ===============  ===========================================================================
    ``not-found``    item-not-found: the peer could not retrieve it
    ``unavailable``  nobody is there that takes it: service-unavailable, feature-not-implemented,
                     recipient-unavailable, gone, redirect, remote-server-not-found,
                     remote-server-timeout, subscription-required
    ``wait``         try again later: resource-constraint, or any other error of type wait
    ``reject``       every other error: not-acceptable, forbidden, not-allowed, ...
    ===============  ===========================================================================

    Attributes:
        error: The StanzaError as the peer sent it, with ``condition``, ``type`` and ``text``.
    """

    error: StanzaError

    def __new__(cls, error: StanzaError) -> ErrorCondition:
        """Choose the string for a received stanza error."""
        word = _WORDS.get(error.condition)
        if word is None:
            word = WAIT if error.type == "wait" else REJECT
        self = super().__new__(cls, word)
        self.error = error
        return self


def error_from_condition(condition: str) -> StanzaError:
    """Return the stanza error that tells a peer ``'not-found'`` or ``'reject'``.

    Raises:
        ValueError: The condition is neither of the two.
    """
    if condition == NOT_FOUND:
        return NotFound()
    if condition == REJECT:
        return Rejected()
    raise ValueError(f"an offer fails with {NOT_FOUND!r} or {REJECT!r}, not {condition!r}")


def error_from_stanza(stanza: domish.Element) -> StanzaError:
    """Read the error of a received stanza of type error (RFC 6120 section 8.3).

    Args:
        stanza: Any stanza of type error, however malformed.

    Returns:
        The error, always with a condition. If the peer sent no condition, or only a legacy code
        that nobody defined, it is ``undefined-condition``, with the type and text that came.
    """
    try:
        error: StanzaError = exceptionFromStanza(stanza)
    except KeyError:  # Twisted looks legacy codes up in a table
        error = StanzaError(None)
    if error.condition is None:
        error = StanzaError("undefined-condition", type="cancel")
        for given in stanza.elements(stanza.uri, "error"):
            error.type = given.getAttribute("type") or error.type
            error.text = next(map(str, given.elements(error.namespace, "text")), None)
    return error
