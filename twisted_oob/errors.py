"""Every exception and error condition of the library, each knowing its stanza error.

The stanza errors are those of XEP-0066 section 3 and RFC 6120 section 8.3. What is
raised from an ``on_offer`` and is a ``StanzaError`` is what the peer is told:
its ``text`` goes over the wire, its ``detail`` only to our own log.
"""

from __future__ import annotations

import errno
from typing import Final

from twisted.words.protocols.jabber.error import StanzaError, exceptionFromStanza
from twisted.words.xish import domish

NOT_FOUND: Final = "not-found"
REJECT: Final = "reject"
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
"""System errors (errno) that mean: no room for another file now."""


class OOBError(Exception):
    """Base of the errors that are no answer to a peer: of an application's use, or of a stream."""


class AlreadyAnswered(OOBError):
    """The offer has its answer already; nothing was sent now."""


class OfferLost(OOBError):
    """The stream that carried the offer is gone, and with it the way to answer."""


class StreamRefused(OOBError):
    """No stream to the server comes about. The message says why, in one line.

    ``permanent``: whether another attempt needs something to be changed first.
    """

    def __init__(self, text: str, *, permanent: bool = True) -> None:
        super().__init__(text)
        self.permanent = permanent


class NoService(StreamRefused):
    """The domain says in its DNS that it has no XMPP service (RFC 6120 section 3.2.1)."""


class Unencrypted(StreamRefused):
    """The server does not offer STARTTLS (RFC 6120 section 5); nothing secret was sent."""


class AuthenticationFailed(StreamRefused):
    """The server did not let us in, or did not prove that it knows the account (section 6).

    ``condition``: what the server said (RFC 6120 section 6.5); None where it is we who refused.
    """

    def __init__(self, text: str, *, condition: str | None = None, permanent: bool = True) -> None:
        super().__init__(text, permanent=permanent)
        self.condition = condition


class InvalidOOBData(ValueError):
    """A URL, description or element that can't be Out of Band Data. The message says why."""


class _Told(StanzaError):
    """A stanza error with a fixed condition and an explanation for our own log.

    ``text``: what the peer reads; None for none.
    ``detail``: what the log reads; ``text`` where none is given.
    """

    _condition: str
    _type: str

    def __init__(self, text: str | None = None, *, detail: str | None = None) -> None:
        StanzaError.__init__(self, self._condition, type=self._type, text=text)
        self.detail = detail or text or self._condition

    def __str__(self) -> str:
        return self.detail


class NotFound(_Told):
    """The URL can't be retrieved: ``item-not-found``, type ``cancel`` (XEP-0066 section 3)."""

    _condition, _type = "item-not-found", "cancel"


class Rejected(_Told):
    """The recipient does not want it: ``not-acceptable``, type ``modify`` (XEP-0066 section 3)."""

    _condition, _type = "not-acceptable", "modify"


class ResourceConstraint(_Told):
    """Not now: ``resource-constraint``, type ``wait`` (RFC 6120 section 8.3.3.18)."""

    _condition, _type = "resource-constraint", "wait"


class Forbidden(Rejected):
    """The policy forbids this scheme, address or redirect."""


class TooLarge(Rejected):
    """The file is larger than the policy allows."""


class FetchFailed(NotFound):
    """The file could not be retrieved whole."""


class NoRoom(ResourceConstraint):
    """No room for the file: a full disk or quota, or no file descriptor left."""


class ErrorCondition(str):
    """What a peer answered where it did not answer "I have the file".

    A ``str`` equal to ``'not-found'`` (the peer said ``item-not-found``) or
    ``'reject'`` (any other stanza error).

    ``error``: the StanzaError as the peer sent it, with ``condition``, ``type`` and ``text``.
    """

    error: StanzaError

    def __new__(cls, error: StanzaError) -> ErrorCondition:
        """Name the condition of a received stanza error."""
        self = super().__new__(cls, NOT_FOUND if error.condition == "item-not-found" else REJECT)
        self.error = error
        return self


def error_from_condition(condition: str) -> StanzaError:
    """Give the stanza error that tells a peer ``'not-found'`` or ``'reject'``.

    Anything else is a ValueError.
    """
    if condition == NOT_FOUND:
        return NotFound()
    if condition == REJECT:
        return Rejected()
    raise ValueError(f"an offer fails with {NOT_FOUND!r} or {REJECT!r}, not {condition!r}")


def error_from_stanza(stanza: domish.Element) -> StanzaError:
    """Read the error of a received stanza of type error (RFC 6120 section 8.3).

    A peer that names no condition, or only a legacy code that nobody defined,
    gets ``undefined-condition``, with the type and text it gave: an answer in any case.
    """
    try:
        error: StanzaError = exceptionFromStanza(stanza)
    except KeyError:
        error = StanzaError(None)
    if error.condition is None:
        error = StanzaError("undefined-condition", type="cancel")
        for given in stanza.elements(stanza.uri, "error"):
            error.type = given.getAttribute("type") or error.type
            error.text = next(map(str, given.elements(error.namespace, "text")), None)
    return error
