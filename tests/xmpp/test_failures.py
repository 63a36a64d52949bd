"""Why there is no stream, in one line, and whether another attempt may succeed."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet import error
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import xmlstream
from twisted.words.protocols.jabber.error import StanzaError, StreamError
from twisted.words.xish.domish import ParserError

from twisted_oob.errors import AuthenticationFailed, NoService, StreamRefused, Unencrypted
from twisted_oob.xmpp.failures import Refusal, explain


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
        (StreamError("see-other-host"), False, "connect to the right host"),
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
        (CertificateError("a secret"), True, "contains no usable host name"),
        (SSL.Error([("SSL routines", "", "certificate verify failed")]), True, "is not trusted"),
        (SSL.Error([("SSL routines", "", "wrong version number")]), True, "speaks no TLS"),
        (SSL.Error([]), True, "speaks no TLS"),
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


# RFC 6120 section 4.9.3, each condition: is it over by itself?
LASTING = """bad-format bad-namespace-prefix host-gone host-unknown improper-addressing invalid-from
    invalid-namespace invalid-xml not-authorized not-well-formed restricted-xml
    unsupported-encoding unsupported-feature unsupported-stanza-type unsupported-version"""
PASSING = """conflict connection-timeout internal-server-error policy-violation
    remote-connection-failed reset resource-constraint see-other-host system-shutdown
    undefined-condition"""


@pytest.mark.parametrize("condition", LASTING.split())
def test_what_lasts_until_somebody_changes_something_is_permanent(condition):
    refusal = explain(Failure(StreamError(condition)))
    assert refusal.permanent
    assert refusal.text.endswith(f"({condition})")


@pytest.mark.parametrize("condition", PASSING.split())
def test_what_passes_is_not_permanent(condition):
    refusal = explain(Failure(StreamError(condition)))
    assert not refusal.permanent
    assert refusal.text.endswith(f"({condition})")


MEANT = """conflict connection-timeout host-gone host-unknown not-authorized policy-violation
    remote-connection-failed resource-constraint see-other-host system-shutdown"""


@pytest.mark.parametrize("condition", (LASTING + " " + PASSING).split())
def test_the_usual_conditions_are_told_in_words(condition):
    text = explain(Failure(StreamError(condition))).text
    assert (text != f"the server refuses ({condition})") is (condition in MEANT.split())


LONG = "x" * 1000


@pytest.mark.parametrize(
    "reason",
    [
        StreamRefused(LONG),
        StreamRefused(f"a\nb\t c\x00{LONG}"),
        StreamError("host-unknown", text=LONG),
        StreamError(LONG),
        StanzaError("not-allowed", text=LONG),
        StanzaError("not-allowed", text=f"\x1b]0;{LONG}"),
        OSError(5, LONG),
        error.ConnectError(string=LONG),
    ],
    ids=lambda reason: type(reason).__name__,
)
def test_every_text_is_one_printable_line_of_at_most_200_characters(reason):
    text = explain(Failure(reason)).text
    assert len(text) == 200
    assert text.isprintable()
    assert text.endswith("xxx...")


@pytest.mark.parametrize(("length", "cut"), [(200, False), (201, True)])
def test_only_what_is_longer_is_cut(length, cut):
    text = explain(Failure(StreamRefused("x" * length))).text
    assert text == ("x" * 197 + "..." if cut else "x" * length)


def test_an_empty_text_is_not_told():
    assert explain(Failure(StreamError("reset", text=""))).text == "the server refuses (reset)"


def test_a_refusal_is_a_value():
    refusal = explain(Failure(StreamError("reset")))
    assert refusal == Refusal("the server refuses (reset)", permanent=False)
    with pytest.raises(AttributeError):
        refusal.text = "other"


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
