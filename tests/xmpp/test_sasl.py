"""SASL as the client: the choice of a mechanism, and the course of an authentication."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64decode, b64encode
from xml.etree import ElementTree

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.words.protocols.jabber.sasl import NS_XMPP_SASL
from twisted.words.protocols.jabber.xmlstream import ConnectAuthenticator, Reset, XmlStream
from twisted.words.xish import domish
from zope.interface import alsoProvides

from tests.support.scram_server import ScramServer
from tests.support.streams import outcome
from tests.support.waiting import in_time
from twisted_oob.errors import AuthenticationFailed, Unencrypted
from twisted_oob.xmpp.sasl import SaslInitializer, choose

USER, PASSWORD = "user", "pencil"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"], "SCRAM-SHA-256"),
        (["SCRAM-SHA-1", "SCRAM-SHA-512", "SCRAM-SHA-256"], "SCRAM-SHA-512"),
        (["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "DIGEST-MD5", "PLAIN"], "SCRAM-SHA-1"),
        (["SCRAM-SHA3-512", "SCRAM-SHA-1", "PLAIN"], "SCRAM-SHA-1"),
        (["X-OAUTH2", "DIGEST-MD5", "PLAIN"], "PLAIN"),
    ],
)
def test_the_strongest_mechanism_is_chosen(offered, chosen):
    assert choose(offered, USER, PASSWORD, encrypted=True).name == chosen


@pytest.mark.parametrize("offered", [[], ["DIGEST-MD5", "ANONYMOUS"]])
def test_no_other_mechanism_is_used(offered):
    text = "none of SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1 and PLAIN"
    with pytest.raises(AuthenticationFailed, match=text):
        choose(offered, USER, PASSWORD, encrypted=True)


@pytest.mark.parametrize(
    "scram", ["SCRAM-SHA3-512", "SCRAM-SHA-512-256", "SCRAM-MD5", "SCRAM-SHA-256-PLUS", "SCRAM-"]
)
@pytest.mark.parametrize("others", [["PLAIN"], []])
def test_beside_any_scram_the_password_is_not_sent(scram, others):
    for offered in ([scram, *others], [*others, scram]):
        with pytest.raises(AuthenticationFailed, match="never sent: let it offer SCRAM") as caught:
            choose(offered, USER, PASSWORD, encrypted=True)
        assert f"({scram})" in str(caught.value)


EXPORTER, END_POINT = {"tls-exporter": b"1"}, {"tls-server-end-point": b"2"}
BOTH = {**EXPORTER, **END_POINT}


@pytest.mark.parametrize(
    ("offered", "ours", "theirs", "chosen", "first"),
    [
        (["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"], BOTH, [*BOTH], "SCRAM-SHA-1-PLUS", "p=tls-exporter"),
        (["SCRAM-SHA-1-PLUS"], BOTH, [*BOTH], "SCRAM-SHA-1-PLUS", "p=tls-exporter"),
        (
            *(["SCRAM-SHA-512-PLUS", "SCRAM-SHA-512"], BOTH, ["tls-unique", *END_POINT]),
            *("SCRAM-SHA-512-PLUS", "p=tls-server-end-point"),
        ),
        # The hash counts more than the binding.
        (["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256"], BOTH, [*BOTH], "SCRAM-SHA-256", "n"),
        # A type that we don't have is no reason not to log in.
        (["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"], BOTH, ["tls-unique"], "SCRAM-SHA-1", "n"),
        (["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"], END_POINT, [*EXPORTER], "SCRAM-SHA-1", "n"),
        (["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"], {}, [*BOTH], "SCRAM-SHA-1", "n"),
        (["SCRAM-SHA3-512-PLUS", "SCRAM-SHA-1"], BOTH, [*BOTH], "SCRAM-SHA-1", "n"),
        (["SCRAM-SHA-1"], BOTH, ["tls-unique"], "SCRAM-SHA-1", "y"),
        (["SCRAM-SHA-1", "PLAIN"], BOTH, [*BOTH], "SCRAM-SHA-1", "y"),
        (["SCRAM-SHA-1"], {}, [*BOTH], "SCRAM-SHA-1", "n"),
    ],
)
def test_the_channel_is_bound_where_both_sides_can(offered, ours, theirs, chosen, first):
    mechanism = choose(offered, USER, PASSWORD, encrypted=True, ours=ours, theirs=theirs)
    assert mechanism.name == chosen
    assert mechanism.getInitialResponse().decode().startswith(f"{first},,n=user,r=")


def test_plain_is_for_tls_only():
    with pytest.raises(Unencrypted, match="without TLS"):
        choose(["PLAIN"], USER, PASSWORD, encrypted=False)
    assert choose(["PLAIN", "SCRAM-SHA-1"], USER, PASSWORD, encrypted=False).name == "SCRAM-SHA-1"


@pytest.mark.parametrize("password", ["", "pen\0cil"])
def test_plain_sends_no_password_that_it_can_not_hold(password):
    with pytest.raises(AuthenticationFailed, match="empty or has a NUL"):
        choose(["PLAIN"], USER, password, encrypted=True)


class Line(StringTransport):
    """The transport of a client's stream: the test is the server."""

    def __init__(self):
        StringTransport.__init__(self)
        self.clear()

    def clear(self):
        self.unread = 0
        self.written = DeferredQueue()

    def write(self, data):
        from twisted.internet import reactor

        self.unread += 1
        # A server can't answer before the client has finished writing.
        reactor.callLater(0, self.written.put, data.decode())

    async def read(self):
        text = await in_time(self.written.get())
        self.unread -= 1
        return text


class Server:
    """The other end of a stream that authenticates."""

    def __init__(self, *offered, encrypted=True):
        self.line = Line()
        if encrypted:
            alsoProvides(self.line, ISSLTransport)
        self.stream = XmlStream(ConnectAuthenticator("home.example"))
        self.stream.makeConnection(self.line)
        self.line.clear()
        self.open_stream()
        mechanisms = domish.Element((NS_XMPP_SASL, "mechanisms"))
        for name in offered:
            mechanisms.addElement("mechanism", content=name)
        self.stream.features = {(NS_XMPP_SASL, "mechanisms"): mechanisms}
        self.done = SaslInitializer(self.stream, USER, PASSWORD).initialize()

    def open_stream(self):
        header = "<stream:stream xmlns='jabber:client' version='1.0' id='s1'"
        self.stream.dataReceived(
            f"{header} xmlns:stream='http://etherx.jabber.org/streams'>".encode()
        )

    def say(self, name, data=b"", children=""):
        content = children or b64encode(data).decode()
        self.stream.dataReceived(f"<{name} xmlns='{NS_XMPP_SASL}'>{content}</{name}>".encode())

    async def heard(self):
        """Wait for the next element of the client; gives its name, mechanism and data."""
        element = ElementTree.fromstring(await self.line.read())
        namespace, name = element.tag[1:].split("}")
        assert namespace == NS_XMPP_SASL
        return name, element.get("mechanism"), b64decode(element.text or "", validate=True)

    def nothing_heard(self):
        return not self.line.unread

    async def scram(self, name="SCRAM-SHA-256"):
        """Play the server of SCRAM until it has the proof; gives its last message."""
        server = ScramServer(name, PASSWORD)
        kind, chosen, data = await self.heard()
        assert (kind, chosen) == ("auth", name)
        self.say("challenge", server.first(data.decode()).encode())
        kind, _, data = await self.heard()
        assert kind == "response"
        return server.final(data.decode()).encode()


def refused(server):
    """Give the error that the authentication ended with."""
    error = outcome(server.done)
    assert isinstance(error, AuthenticationFailed)
    assert PASSWORD not in str(error)
    return error


@pytest.mark.parametrize("name", ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"])
@pytest_twisted.ensureDeferred
async def test_success_resets_the_stream_and_opens_a_new_one(name):
    server = Server("PLAIN", name)
    last = await server.scram(name)
    assert not server.done.called

    server.say("success", last)

    assert await in_time(server.done) is Reset
    assert (await server.line.read()).startswith("<stream:stream")
    server.open_stream()  # the parser is a new one: a second header is no error


@pytest_twisted.ensureDeferred
async def test_the_proof_may_come_before_success():
    server = Server("SCRAM-SHA-256")
    server.say("challenge", await server.scram())
    assert await server.heard() == ("response", None, b"")
    server.say("success", children="=")
    assert await in_time(server.done) is Reset


@pytest.mark.parametrize("data", [b"", b"v=AAAA"])
@pytest_twisted.ensureDeferred
async def test_success_without_the_right_proof_is_a_failure(data):
    server = Server("SCRAM-SHA-256")
    await server.scram()

    server.say("success", data)

    assert refused(server).permanent
    assert await server.heard() == ("abort", None, b"")
    assert server.nothing_heard()


@pytest_twisted.ensureDeferred
async def test_success_at_once_is_a_failure():
    server = Server("SCRAM-SHA-256")
    await server.heard()
    server.say("success")
    assert "without proof" in str(refused(server))


@pytest_twisted.ensureDeferred
async def test_plain_sends_name_and_password_once():
    server = Server("PLAIN")
    assert await server.heard() == ("auth", "PLAIN", b"\0user\0pencil")
    server.say("success")
    assert await in_time(server.done) is Reset


@pytest_twisted.ensureDeferred
async def test_outside_tls_plain_sends_nothing():
    server = Server("PLAIN", encrypted=False)
    assert isinstance(outcome(server.done), Unencrypted)
    assert server.nothing_heard()


@pytest_twisted.ensureDeferred
async def test_no_offer_at_all_is_told():
    server = Server()
    assert "offers none" in str(refused(server))
    assert server.nothing_heard()


@pytest_twisted.ensureDeferred
async def test_a_refusal_of_scram_is_not_followed_by_plain():
    server = Server("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256")
    await server.scram()

    server.say("failure", children="<not-authorized/>")

    assert refused(server).condition == "not-authorized"
    assert server.nothing_heard()
    server.say("challenge", b"and PLAIN?")
    assert server.nothing_heard()


@pytest.mark.parametrize(
    ("children", "condition", "permanent", "text"),
    [
        ("<not-authorized/><text>No</text>", "not-authorized", True, "the password is wrong"),
        ("<text>No</text><account-disabled/>", "account-disabled", True, "is disabled"),
        ("<credentials-expired/>", "credentials-expired", True, "has expired"),
        ("<temporary-auth-failure/>", "temporary-auth-failure", False, "at the moment"),
        ("<aborted/>", "aborted", False, "(aborted)"),
        ("<mechanism-too-weak/>", "mechanism-too-weak", True, "(mechanism-too-weak)"),
        ("", "not-authorized", True, "the password is wrong"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_refusal_is_told_by_its_condition(children, condition, permanent, text):
    server = Server("SCRAM-SHA-256")
    await server.heard()

    server.say("failure", children=children or " ")

    error = refused(server)
    assert (error.condition, error.permanent) == (condition, permanent)
    assert text in str(error)
    assert server.nothing_heard()


@pytest.mark.parametrize(
    ("offered", "name", "children"),
    [
        ("PLAIN", "challenge", ""),
        ("PLAIN", "proceed", ""),
        ("SCRAM-SHA-256", "auth", ""),
        ("SCRAM-SHA-256", "challenge", "?"),
        ("SCRAM-SHA-256", "challenge", "cj0"),
        ("SCRAM-SHA-256", "success", "not base64"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_nonsense_is_aborted(offered, name, children):
    server = Server(offered)
    await server.heard()

    server.say(name, children=children)

    assert "does not follow the rules of SASL" in str(refused(server))
    assert await server.heard() == ("abort", None, b"")


@pytest_twisted.ensureDeferred
async def test_a_bomb_in_the_exchange_is_aborted(monkeypatch):
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", None)
    server = Server("SCRAM-SHA-256")
    _, _, data = await server.heard()
    nonce = data.decode().partition("r=")[2]

    server.say("challenge", f"r={nonce}x,s={'A' * 24},i=1000000000".encode())

    assert (await server.heard())[0] == "abort"
    assert "iterations" in str(refused(server))


@pytest_twisted.ensureDeferred
async def test_the_proof_is_computed_beside_the_reactor_and_early_elements_are_errors(monkeypatch):
    from twisted.internet import reactor

    compute, may_go_on = hashlib.pbkdf2_hmac, threading.Event()
    computing = in_time(Deferred())

    def slow(*args):
        reactor.callFromThread(computing.callback, threading.get_ident())
        assert may_go_on.wait(10)
        return compute(*args)

    server = Server("SCRAM-SHA-256")
    _, _, data = await server.heard()
    nonce = data.decode().partition("r=")[2]
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", slow)
    server.say("challenge", f"r={nonce}x,s={'A' * 24},i=4096".encode())

    # The reactor runs meanwhile: it is what tells us.
    assert await computing != threading.get_ident()
    server.say("success")
    assert not server.done.called
    may_go_on.set()

    assert await server.heard() == ("abort", None, b"")
    assert "did not wait for its turn" in str(refused(server))
