"""SASL as the client: SCRAM's messages, and the choice and course of an authentication."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64decode, b64encode
from xml.etree import ElementTree

import pytest
import pytest_twisted
from scramp import ScramClient, ScramException, ScramMechanism
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.words.protocols.jabber.sasl import NS_XMPP_SASL
from twisted.words.protocols.jabber.sasl_mechanisms import ISASLMechanism
from twisted.words.protocols.jabber.xmlstream import ConnectAuthenticator, Reset, XmlStream
from twisted.words.xish import domish
from zope.interface import alsoProvides
from zope.interface.verify import verifyObject

from tests.support.streams import outcome
from tests.support.waiting import in_time
from twisted_oob.errors import AuthenticationFailed, Unencrypted
from twisted_oob.xmpp.scram import (
    FEWEST_ITERATIONS,
    MOST_ITERATIONS,
    SaslInitializer,
    Scram,
    choose,
)

USER, PASSWORD = "user", "pencil"

# RFC 5802 section 5 and RFC 7677 section 3: nonce, server's first, client's final, server's final.
VECTORS = {
    "SCRAM-SHA-1": (
        "fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    "SCRAM-SHA-256": (
        "rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
}


def begun(name="SCRAM-SHA-256", password=PASSWORD):
    """Give a mechanism that has sent the first message of its vector."""
    mechanism = Scram(name, USER, password, nonce=VECTORS[name][0])
    mechanism.getInitialResponse()
    return mechanism


@pytest.mark.parametrize("name", VECTORS)
def test_the_standards_own_exchange(name):
    nonce, server_first, client_final, server_final = VECTORS[name]
    mechanism = Scram(name, USER, PASSWORD, nonce=nonce)
    verifyObject(ISASLMechanism, mechanism)

    assert mechanism.getInitialResponse() == f"n,,n={USER},r={nonce}".encode()
    assert mechanism.getResponse(server_first.encode()) == client_final.encode()
    mechanism.finish(server_final.encode())


@pytest.mark.parametrize("name", VECTORS)
def test_the_servers_last_message_may_be_a_challenge(name):
    mechanism = begun(name)
    mechanism.getResponse(VECTORS[name][1].encode())
    assert mechanism.getResponse(VECTORS[name][3].encode()) == b""
    mechanism.finish(b"")


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (VECTORS["SCRAM-SHA-1"][3], "proof .* is wrong"),
        ("v=AAAA", "proof .* is wrong"),
        ("v=", "proof .* is wrong"),
        ("v=?", "proof .* is wrong"),
        ("e=other-error", "proof .* is wrong"),
        ("\udcff", "proof .* is wrong"),
        ("", "without proof"),
    ],
)
def test_a_server_that_does_not_prove_itself_is_left(last, why):
    mechanism = begun()
    mechanism.getResponse(VECTORS["SCRAM-SHA-256"][1].encode())
    with pytest.raises(AuthenticationFailed, match=why):
        mechanism.finish(last.encode(errors="surrogateescape"))


def test_the_servers_proof_counts_only_after_ours():
    with pytest.raises(AuthenticationFailed):
        begun().finish(VECTORS["SCRAM-SHA-256"][3].encode())


@pytest.mark.parametrize(
    "first",
    [
        "r=somebodyElses,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "m=ext,r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=many",
        "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096",
        "e=unknown-user",
        "nonsense",
        "\udcff",
        "",
    ],
)
def test_a_wrong_first_message_is_an_error(first):
    with pytest.raises(AuthenticationFailed, match="first SCRAM message is wrong"):
        begun().getResponse(first.encode(errors="surrogateescape"))


@pytest.mark.parametrize(
    "count", [1, FEWEST_ITERATIONS - 1, MOST_ITERATIONS + 1, 10**9, "9" * 5000, -4096]
)
def test_nothing_is_computed_for_an_iteration_bomb(count, monkeypatch):
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", None)
    first = f"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}"
    with pytest.raises(AuthenticationFailed, match="between 4096 and 2000000"):
        begun().getResponse(first.encode())


@pytest.mark.parametrize("count", [FEWEST_ITERATIONS, MOST_ITERATIONS])
def test_as_many_iterations_as_allowed_are_computed(count, monkeypatch):
    asked = []
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", lambda *args: asked.append(args[3]) or b"key")
    first = f"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}"
    begun().getResponse(first.encode())
    assert asked == [count]


def test_saslprep_makes_one_password_of_what_looks_the_same():
    _, first, final, _ = VECTORS["SCRAM-SHA-256"]
    assert begun(password="pen\u00adcil").getResponse(first.encode()) == final.encode()


@pytest.mark.parametrize("password", ["hunter2\a", "hunter2\u0221", "hunter2\ue000", ""])
def test_a_password_that_saslprep_forbids_is_told_but_not_shown(password):
    with pytest.raises(AuthenticationFailed) as caught:
        begun(password=password).getResponse(VECTORS["SCRAM-SHA-256"][1].encode())
    assert caught.value.permanent
    assert "password" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_password_that_only_older_versions_of_scramp_judge_late_is_not_shown(monkeypatch):
    def judge(_client):
        raise ScramException("hunter2 is forbidden")

    monkeypatch.setattr(ScramClient, "get_client_final", judge)
    mechanism = begun()
    with pytest.raises(AuthenticationFailed, match="SASLprep") as caught:
        mechanism.getResponse(VECTORS["SCRAM-SHA-256"][1].encode())
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"], "SCRAM-SHA-256"),
        (["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "DIGEST-MD5", "PLAIN"], "SCRAM-SHA-1"),
        (["X-OAUTH2", "DIGEST-MD5", "PLAIN"], "PLAIN"),
    ],
)
def test_the_strongest_mechanism_is_chosen(offered, chosen):
    assert choose(offered, USER, PASSWORD, encrypted=True).name == chosen


@pytest.mark.parametrize("offered", [[], ["DIGEST-MD5", "ANONYMOUS", "SCRAM-SHA-256-PLUS"]])
def test_no_other_mechanism_is_used(offered):
    with pytest.raises(AuthenticationFailed, match="none of SCRAM-SHA-256, SCRAM-SHA-1 and PLAIN"):
        choose(offered, USER, PASSWORD, encrypted=True)


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
        """Be a right SCRAM server, to the point where it has the proof; gives its last message."""
        mechanism = ScramMechanism(name)
        info = mechanism.make_auth_info(PASSWORD, iteration_count=4096)
        server = mechanism.make_server(lambda _user: info)
        kind, chosen, data = await self.heard()
        assert (kind, chosen) == ("auth", name)
        server.set_client_first(data.decode())
        self.say("challenge", server.get_server_first().encode())
        kind, _, data = await self.heard()
        assert kind == "response"
        server.set_client_final(data.decode())
        return server.get_server_final().encode()


def refused(server):
    """Give the error that the authentication ended with."""
    error = outcome(server.done)
    assert isinstance(error, AuthenticationFailed)
    assert PASSWORD not in str(error)
    return error


@pytest.mark.parametrize("name", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
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
