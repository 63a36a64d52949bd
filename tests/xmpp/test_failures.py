"""Why there is no stream, in one line, and whether waiting may mend it."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import xmlstream
from twisted.words.protocols.jabber.error import StanzaError, StreamError
from twisted.words.xish.domish import ParserError

from twisted_oob.errors import AuthenticationFailed, NoService, StreamRefused, Unencrypted
from twisted_oob.xmpp.failures import explain


@pytest.mark.parametrize(
    ("reason", "permanent", "text"),
    [
        (StreamRefused("because"), True, "because"),
        (StreamRefused("because", permanent=False), False, "because"),
        (NoService("nobody there"), True, "nobody there"),
        (Unencrypted("no TLS"), True, "no TLS"),
        (AuthenticationFailed("wrong", condition="not-authorized"), True, "wrong"),
        (StreamError("host-unknown"), True, "does not know this domain"),
        (StreamError("host-gone"), True, "any more"),
        (StreamError("not-authorized"), True, "secret is wrong"),
        (StreamError("invalid-from"), True, "(invalid-from)"),
        (StreamError("conflict"), False, "same address"),
        (StreamError("remote-connection-failed"), False, "remote-connection-failed"),
        (StreamError("system-shutdown"), False, "shutting down"),
        (StreamError("connection-timeout"), False, "too long"),
        (StreamError("policy-violation"), False, "policy"),
        (StreamError("resource-constraint"), False, "too much to do"),
        (StreamError("see-other-host"), False, "another host"),
        (StreamError("reset"), False, "(reset)"),
        (StreamError("something-new"), False, "(something-new)"),
        (StreamError(None), False, "refuses"),
        (StanzaError("not-allowed"), True, "(not-allowed)"),
        (StanzaError("conflict"), False, "same address"),
        (StanzaError("resource-constraint", type="wait"), False, "too much to do"),
        (xmlstream.FeatureNotAdvertized(), True, "resource binding"),
        (xmlstream.TLSFailed(), False, "TLS"),
        (xmlstream.TimeoutError(), False, "in time"),
        (ParserError("not well-formed"), True, "does not speak XMPP"),
        (VerificationError(errors=[]), True, "certificate is for another name"),
        (SSL.Error([("SSL routines", "", "certificate verify failed")]), True, "certificate"),
        (error.DNSLookupError("x"), True, "no address"),
        (error.ConnectionRefusedError(), False, "refused"),
        (error.TimeoutError(), False, "in time"),
        (error.TCPTimedOutError(), False, "connection failed"),
        (error.NoRouteError(), False, "connection failed"),
        (OSError(24, "Too many open files"), False, "Too many open files"),
        (error.ConnectionDone(), False, "closed"),
        (error.ConnectionLost(), False, "lost"),
        (error.ConnectionAborted(), False, "lost"),
        (RuntimeError("a secret"), True, "an unexpected RuntimeError"),
    ],
    ids=repr,
)
def test_each_failure_has_a_line_and_a_judgement(reason, permanent, text):
    refusal = explain(Failure(reason))

    assert refusal.permanent is permanent
    assert text in refusal.text
    assert "a secret" not in refusal.text


def test_what_a_server_says_is_told_in_one_line_of_bounded_length():
    said = "Given token\r\n  does not\u2028match\x1b[31m " + "x" * 1000
    text = explain(Failure(StreamError("not-authorized", text=said))).text

    assert text.startswith(
        "the secret is wrong, or the server does not know this component (not-authorized): "
        '"Given token does not match [31m xxx'
    )
    assert text.endswith("...")
    assert len(text) == 200
    assert text.isprintable()
