"""Why there is no stream: one line for a person, and whether another attempt may succeed.

A stream fails in many ways: before there is a connection, in TLS, during the negotiation, or by a
stream error. Each way has an exception of its own, from Twisted, pyOpenSSL, service_identity or
``errors``. ``explain`` turns any of them into a Refusal.
"""

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

_LONGEST: Final = 200
"""Characters of a text; servers say what they like, at any length."""

# RFC 6120 section 4.9.3. Another attempt would fail in the same way until something is changed.
# Every other condition is temporary, also policy-violation, with which servers answer too many
# attempts, and conflict, which is over when the other connection is.
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
    "host-unknown": "the server does not know this domain: check its configuration",
    # Ejabberd's answer to a component that it does not know; Prosody's is host-unknown. What SASL
    # says of an account's password is no stream error: see scram.py.
    "not-authorized": "the secret is wrong, or the server does not know this component",
    "policy-violation": "the server's policy does not allow it",
    "remote-connection-failed": "the server can't reach another one that it depends on",
    "resource-constraint": "the server has too much to do",
    # Others are followed: see locate.py.
    "see-other-host": (
        "the server redirects too often, or to what is no host: connect to the right host instead"
    ),
    "system-shutdown": "the server is shutting down",
}

_UNTRUSTED: Final = "TLS failed: the server's certificate is not trusted, or has expired"
_NO_TLS: Final = (
    "TLS failed: what answers there speaks no TLS that we know, or does not begin with it: check "
    "host and port"
)

# Exception, text, whether it is permanent. The first row that matches counts: ConnectionDone is a
# ConnectionClosed. A name without an address, or a peer that speaks something else, may pass, too,
# but before the first stream it is most likely a wrong host or port.
_OTHERS: Final[tuple[tuple[type[Exception], str, bool], ...]] = (
    (VerificationError, "the server's certificate is for another name", True),
    (CertificateError, "the server's certificate contains no usable host name", True),
    (TLSFailed, "the server could not begin TLS: see its log", False),
    (FeatureNotAdvertized, "the server does not offer resource binding, which we need", True),
    (ParserError, "what answers there does not speak XMPP: check host and port", True),
    (error.DNSLookupError, "no address was found for the server's name: check the name", True),
    (
        error.ConnectionRefusedError,
        "the connection was refused: check that the server runs, and its port",
        False,
    ),
    (error.TimeoutError, "the server did not answer in time", False),
    (IQTimeoutError, "the server did not answer in time", False),
    (error.ConnectionDone, "the server closed the connection", False),
    (error.ConnectionClosed, "the connection was lost", False),
)
LOST: Final = (StreamRefused, error.ConnectionClosed, SSL.Error)
"""What a request fails with because its stream is lost or can't be had."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no stream.

    Attributes:
        text: One line for a person, of at most 200 printable characters.
        permanent: Whether every further attempt fails, too, until somebody changes something, here
            or on the server.
    """

    text: str
    permanent: bool


def explain(failure: Failure) -> Refusal:
    """Explain why a stream failed, before, during or after its negotiation.

    Args:
        failure: What an endpoint's ``connect``, INIT_FAILED_EVENT, STREAM_ERROR_EVENT or
            STREAM_END_EVENT gave. If several of them did, the first is the cause. A certificate
            that fails verification mostly shows in STREAM_END_EVENT alone.

    Returns:
        The text and the judgement. An exception that nobody expects gets its type's name: its own
        text may hold anything, a secret included.
    """
    reason = failure.value
    if isinstance(reason, StreamRefused):
        return Refusal(_one_line(str(reason)), reason.permanent)
    if isinstance(reason, StreamError):
        return _from_server(reason, reason.condition in _PERMANENT_STREAM_ERRORS)
    if isinstance(reason, StanzaError):
        # The answer to resource binding (RFC 6120 section 7.6.2) or session establishment.
        return _from_server(reason, reason.type != "wait" and reason.condition != "conflict")
    return _from_here(reason)


def _from_here(reason: BaseException | None) -> Refusal:
    """Put into words what went wrong below the stream, or what nobody expects."""
    if isinstance(reason, SSL.Error):
        untrusted = "certificate verify failed" in str(reason)
        return Refusal(_UNTRUSTED if untrusted else _NO_TLS, permanent=True)
    for kind, text, permanent in _OTHERS:
        if isinstance(reason, kind):
            return Refusal(text, permanent)
    # After _OTHERS, which has better words for some of these.
    if isinstance(reason, (OSError, error.ConnectError)):
        return Refusal(_one_line(f"the connection failed: {reason}"), permanent=False)
    return Refusal(f"an unexpected {type(reason).__name__}", permanent=True)


def _from_server(reason: BaseError, permanent: bool) -> Refusal:
    """Put what the server said into our words, followed by its own text, if any."""
    condition = str(reason.condition)
    text = f"{_MEANING.get(condition, 'the server refuses')} ({condition})"
    if reason.text:
        text += f': "{reason.text}"'
    return Refusal(_one_line(text), permanent)


def _one_line(text: str) -> str:
    """Cut a text, and make one line of it that can't play tricks on a terminal or a log."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
