"""Why there is no stream: one line for a person, and whether waiting may mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet import error
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import BaseError, StanzaError, StreamError
from twisted.words.protocols.jabber.xmlstream import FeatureNotAdvertized, TLSFailed
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from twisted.words.xish.domish import ParserError

from twisted_oob.errors import StreamRefused

_LONGEST: Final = 200  # characters of what a server says

# RFC 6120 section 4.9.3. What is not here may pass, such as system-shutdown, conflict or
# policy-violation, which is what servers answer to too many attempts.
_PERMANENT_STREAM_ERRORS: Final = {
    "bad-format",
    "bad-namespace-prefix",
    "host-gone",
    "host-unknown",
    "improper-addressing",
    "invalid-from",
    "invalid-namespace",
    "invalid-xml",
    "not-authorized",
    "not-well-formed",
    "restricted-xml",
    "unsupported-encoding",
    "unsupported-feature",
    "unsupported-stanza-type",
    "unsupported-version",
}
_MEANING: Final = {
    "conflict": "another connection has the same address",
    "connection-timeout": "the server has not heard from us for too long",
    "host-gone": "the server does not serve this domain any more",
    "host-unknown": "the server does not know this domain",
    # Ejabberd's answer to a component that it does not know; Prosody's is host-unknown.
    "not-authorized": "the secret is wrong, or the server does not know this component",
    "policy-violation": "the server's policy does not allow it",
    "remote-connection-failed": "the server lacks another one that it depends on",
    "resource-constraint": "the server has too much to do",
    "see-other-host": "the server sends us to another host, where we don't follow",
    "system-shutdown": "the server is shutting down",
}

_OTHERS: Final[tuple[tuple[type[Exception], str, bool], ...]] = (
    (VerificationError, "the server's certificate is for another name", True),
    (CertificateError, "the server's certificate is for no name, or for none that is one", True),
    (SSL.Error, "no TLS: the server's certificate is not trusted, or has expired", True),
    (TLSFailed, "the server could not begin TLS", False),
    (FeatureNotAdvertized, "the server lacks a feature that clients need", True),
    (ParserError, "what answers there does not speak XMPP", True),
    (error.DNSLookupError, "no address was found for the server's name", True),
    (error.ConnectionRefusedError, "nothing listens there: the connection was refused", False),
    (error.TimeoutError, "the server did not answer in time", False),
    (IQTimeoutError, "the server did not answer in time", False),
    (error.ConnectionDone, "the server closed the connection", False),
    (error.ConnectionClosed, "the connection was lost", False),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no stream.

    ``text``: one line for a person. ``permanent``: whether another attempt is useless before
    something has been changed, here or on the server.
    """

    text: str
    permanent: bool


def explain(failure: Failure) -> Refusal:
    """Give the reason why a stream failed, whether before, during or after its negotiation.

    ``failure``: what an endpoint's ``connect``, INIT_FAILED_EVENT, STREAM_ERROR_EVENT or
    STREAM_END_EVENT gave. Where several did, the first is the cause. A certificate that is
    refused mostly shows in STREAM_END_EVENT alone.
    """
    reason = failure.value
    if isinstance(reason, StreamRefused):
        return Refusal(_one_line(str(reason)), reason.permanent)
    if isinstance(reason, StreamError):
        return _told(reason, reason.condition in _PERMANENT_STREAM_ERRORS)
    if isinstance(reason, StanzaError):
        return _told(reason, reason.type != "wait" and reason.condition != "conflict")
    for kind, text, permanent in _OTHERS:
        if isinstance(reason, kind):
            return Refusal(text, permanent)
    if isinstance(reason, (OSError, error.ConnectError)):
        return Refusal(_one_line(f"the connection failed: {reason}"), permanent=False)
    return Refusal(f"an unexpected {type(reason).__name__}", permanent=True)


def _told(reason: BaseError, permanent: bool) -> Refusal:
    """Say what the server said: our words for the condition, then its own, if any."""
    condition = str(reason.condition)
    text = f"{_MEANING.get(condition, 'the server refuses')} ({condition})"
    if reason.text:
        text += f': "{reason.text}"'
    return Refusal(_one_line(text), permanent)


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
