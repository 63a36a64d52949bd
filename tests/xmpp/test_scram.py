"""The client's side of SCRAM: its messages, and whom it believes."""

from __future__ import annotations

import hashlib

import pytest
from twisted.words.protocols.jabber.sasl_mechanisms import ISASLMechanism
from zope.interface.verify import verifyObject

from tests.support.scram_server import ScramServer, WrongProofError
from twisted_oob.errors import AuthenticationFailed
from twisted_oob.xmpp.scram import FEWEST_ITERATIONS, MECHANISMS, MOST_ITERATIONS, Scram

USER, PASSWORD = "user", "pencil"

# RFC 5802 section 5, RFC 7677 section 3, and for SHA-512 what another implementation computed:
# nonce, server's first, client's final, server's final.
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
    "SCRAM-SHA-512": (
        "rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
        "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
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
        "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=rOprNGfwEbeRWgbNEkqO x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOé,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "s=W22ZaJ0SNY7soEsUEjb6gQ==,r=rOprNGfwEbeRWgbNEkqOx,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4_096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=\uff14096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,m=ext",
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


@pytest.mark.parametrize(
    "password",
    ["hunter2\a", "hunter2\ue000", "hunter2\u0627", "\u0627hunter2\u0627", "\u00ad", ""],
)
def test_a_password_that_saslprep_forbids_is_told_but_not_shown(password):
    with pytest.raises(AuthenticationFailed) as caught:
        begun(password=password).getResponse(VECTORS["SCRAM-SHA-256"][1].encode())
    assert caught.value.permanent
    assert "password" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("user", ["me\a", "me\ue000"])
def test_a_name_that_saslprep_forbids_is_told(user):
    with pytest.raises(AuthenticationFailed, match="name or password has characters"):
        Scram("SCRAM-SHA-1", user, PASSWORD)


def exchange(server, client):
    """Let a client log in at a server."""
    first = server.first(client.getInitialResponse().decode())
    final = server.final(client.getResponse(first.encode()).decode())
    client.finish(final.encode())


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("password", ["pass 😀 word", "straẞe", "\u0221", "🧑\u200d🚀"])
def test_what_unicode_3_2_does_not_know_may_be_in_a_password(name, password):
    stored = password.replace("\u200d", "")
    exchange(ScramServer(name, stored), Scram(name, USER, password))
    with pytest.raises(WrongProofError):
        exchange(ScramServer(name, "another"), Scram(name, USER, password))


@pytest.mark.parametrize("length", [0, 1, 8, 11, 12, 64])
def test_a_salt_may_have_any_length(length):
    name = "SCRAM-SHA-256"
    exchange(ScramServer(name, PASSWORD, salt=b"s" * length), Scram(name, USER, PASSWORD))


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_binding_of_the_channel_is_a_part_of_the_proof(name):
    def client(kind, binding):
        return Scram(f"{name}-PLUS", USER, PASSWORD, flag=f"p={kind}", binding=binding)

    known = {"tls-exporter": b"\x00of this\xff"}
    server = ScramServer(f"{name}-PLUS", PASSWORD, bindings=known)
    exchange(server, client("tls-exporter", known["tls-exporter"]))
    assert server.flag == "p=tls-exporter"
    with pytest.raises(WrongProofError):
        exchange(server, client("tls-exporter", b"of another"))


def test_the_server_hears_that_it_offers_no_channel_binding():
    client = Scram("SCRAM-SHA-1", USER, PASSWORD, flag="y")
    assert client.getInitialResponse().startswith(b"y,,n=user,r=")
    server = ScramServer("SCRAM-SHA-1", PASSWORD)
    exchange(server, client)
    assert server.flag == "y"


@pytest.mark.parametrize(
    ("user", "sent"),
    [("a=b,c", "a=3Db=2Cc"), ("m\u00ade", "me"), ("ü😀", "ü😀"), ("x\u2168", "xIX")],
)
def test_a_name_is_prepared_and_escaped(user, sent):
    first = Scram("SCRAM-SHA-1", user, PASSWORD, nonce="abc").getInitialResponse()
    assert first.decode() == f"n,,n={sent},r=abc"


def test_each_nonce_is_new():
    firsts = {Scram("SCRAM-SHA-1", USER, PASSWORD).getInitialResponse() for _ in range(10)}
    assert len(firsts) == 10
    assert min(map(len, firsts)) > len("n,,n=user,r=") + 24


def test_extensions_of_the_server_are_ignored():
    mechanism = begun()
    _, first, final, last = VECTORS["SCRAM-SHA-256"]
    answer = mechanism.getResponse(f"{first},d=AAAA,x=".encode())
    assert answer.split(b",p=")[0] == final.encode().split(b",p=")[0]
    mechanism = begun()
    mechanism.getResponse(first.encode())
    mechanism.finish(f"{last},x=y".encode())


def test_no_repr_shows_the_password():
    assert "hunter2" not in repr(Scram("SCRAM-SHA-1", USER, "hunter2"))
