"""An account on a server: nothing secret before TLS, and the right certificate."""

from __future__ import annotations

from base64 import b64decode

import pytest
import pytest_twisted
from twisted.internet.address import IPv4Address
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID

from tests.support.account_server import (
    BIND,
    DOMAIN,
    ME,
    NS_SASL,
    PASSWORD,
    SCRAM,
    STARTTLS,
    Server,
    log_in,
)
from tests.support.certificates import server_options, srv_id, xmpp_address
from twisted_oob.errors import Unencrypted
from twisted_oob.xmpp.account import client_endpoint, client_factory
from twisted_oob.xmpp.failures import explain

SESSION = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'>{}</session>"


@pytest_twisted.async_yield_fixture
async def server(certificates):
    from twisted.internet import reactor

    made = Server(reactor, server_options(certificates.issue(DOMAIN)))
    await made.start()
    yield made
    await made.stop()


def nothing_secret(heard):
    """Whether neither a password nor any try to authenticate is in what a server heard."""
    return not any(
        word in heard for word in (b"<auth", b"hunter2", b"aHVudGVyM", b"bWU", b"SCRAM", b"me@")
    )


@pytest.mark.parametrize("mechanisms", [SCRAM, ("SCRAM-SHA-1",), ("PLAIN",)])
@pytest_twisted.ensureDeferred
async def test_a_stream_is_logged_in_and_bound(server, certificates, mechanisms):
    server.mechanisms = mechanisms
    server.bound = server.bound.replace("desk", "given-by-the-server")

    xs = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))

    assert xs.authenticator.jid == JID(f"me@{DOMAIN}/given-by-the-server")
    best = "SCRAM-SHA-256" if "SCRAM-SHA-256" in mechanisms else mechanisms[0]
    assert f"mechanism='{best}'".encode() in server.safe
    assert b"<resource>desk</resource>" in server.safe
    assert b"<starttls" in server.clear
    assert b" xmlns='jabber:client'" in server.clear
    assert nothing_secret(server.clear)
    assert (PASSWORD.encode() in server.safe) is False


@pytest_twisted.ensureDeferred
async def test_each_stream_asks_for_the_resource_that_was_configured(server, certificates):
    factory = client_factory(ME, PASSWORD, ca_file=certificates.file)
    server.bound = server.bound.replace("me@home.example/desk", "other@home.example/given")
    await log_in(server, factory)
    server.safe = b""

    await log_in(server, factory)

    assert b"<resource>desk</resource>" in server.safe
    assert b"n=me" in b64decode(server.safe.split(b"</auth>")[0].split(b">")[-1])


@pytest.mark.parametrize(
    ("feature", "asked"), [("", True), ("<required/>", True), ("<optional/>", False), (None, False)]
)
@pytest_twisted.ensureDeferred
async def test_a_session_is_asked_for_where_the_server_requires_it(
    server, certificates, feature, asked
):
    server.bind = BIND if feature is None else BIND + SESSION.format(feature)
    await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))
    assert (b"<session" in server.safe) is asked


@pytest.mark.parametrize(
    "features", ["", f"<mechanisms xmlns='{NS_SASL}'><mechanism>PLAIN</mechanism></mechanisms>"]
)
@pytest_twisted.ensureDeferred
async def test_without_starttls_nothing_is_tried(server, certificates, features):
    server.first = features

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))

    assert failure.check(Unencrypted)
    assert explain(failure).text == "the server does not offer STARTTLS"
    assert explain(failure).permanent
    assert nothing_secret(server.clear)
    assert server.safe == b""


@pytest_twisted.ensureDeferred
async def test_a_server_that_can_not_begin_tls_is_told(server, certificates):
    server.proceed = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))
    assert explain(failure).text == "the server could not begin TLS: see its log"
    assert nothing_secret(server.clear)


@pytest_twisted.ensureDeferred
async def test_what_comes_in_the_clear_behind_proceed_is_not_believed(server, certificates):
    offer = f"<mechanisms xmlns='{NS_SASL}'><mechanism>PLAIN</mechanism></mechanisms>"
    server.proceed += f"<stream:features>{offer}</stream:features><success xmlns='{NS_SASL}'/>"

    xs = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))

    assert xs.authenticator.jid == ME
    assert b"mechanism='SCRAM-SHA-256'" in server.safe
    assert nothing_secret(server.clear)


@pytest_twisted.ensureDeferred
async def test_what_was_offered_in_the_clear_does_not_count_inside_tls(server, certificates):
    server.first += f"<mechanisms xmlns='{NS_SASL}'><mechanism>PLAIN</mechanism></mechanisms>"
    server.versioned = False  # so that no features follow

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))

    assert "offers none" in explain(failure).text
    assert nothing_secret(server.safe)


@pytest_twisted.ensureDeferred
async def test_the_domain_of_the_account_counts_not_the_name_a_server_gives_itself(
    server, certificates
):
    server.header_from = "evil.example"
    server.tls = server_options(certificates.issue("evil.example"))

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))

    assert explain(failure).text == "the server's certificate is for another name"
    assert server.safe == b""


@pytest_twisted.ensureDeferred
async def test_inside_tls_the_domain_is_named_anew(server, certificates):
    server.header_from = "other.example"
    await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))
    header = server.safe.split(b">")[0]
    assert f"to='{DOMAIN}'".encode() in header


BAD = pytest.mark.parametrize(
    ("domain", "options", "text"),
    [
        ("other.example", {}, "certificate is for another name"),
        (f"xmpp.{DOMAIN}", {}, "certificate is for another name"),
        ("127.0.0.1", {}, "contains no usable host name"),
        ("home.*.example", {}, "contains no usable host name"),
        (DOMAIN, {"names": []}, "contains no usable host name"),
        (
            DOMAIN,
            {"names": [srv_id(f"_xmpp-client.x.{DOMAIN}")]},
            "certificate is for another name",
        ),
        (DOMAIN, {"names": [srv_id(f"_xmpp-server.{DOMAIN}")]}, "certificate is for another name"),
        (DOMAIN, {"names": [xmpp_address(f"me@{DOMAIN}")]}, "contains no usable host name"),
        (DOMAIN, {"expired": True}, "is not trusted, or has expired"),
        (DOMAIN, {"self_signed": True}, "is not trusted, or has expired"),
    ],
)


@BAD
@pytest_twisted.ensureDeferred
async def test_a_bad_certificate_ends_it_before_anything_secret_is_said(
    server, certificates, domain, options, text
):
    server.tls = server_options(certificates.issue(domain, **options))

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))

    assert text in explain(failure).text
    assert explain(failure).permanent
    assert nothing_secret(server.clear)
    assert nothing_secret(server.safe)


@BAD
@pytest_twisted.ensureDeferred
async def test_direct_tls_verifies_the_same(server, certificates, domain, options, text):
    server.direct = True
    server.tls = server_options(certificates.issue(domain, **options))
    factory = client_factory(ME, PASSWORD, ca_file=certificates.file)

    try:
        await directly(server, certificates).connect(factory)
    except Exception:
        refusal = explain(Failure())
    assert text in refusal.text
    assert refusal.permanent
    assert server.safe == server.clear == b""


def directly(server, certificates, **options):
    """Give the endpoint of the server, with direct TLS."""
    from twisted.internet import reactor

    options = {"host": "127.0.0.1", "port": server.port, "direct_tls": True, **options}
    return client_endpoint(reactor, DOMAIN, ca_file=certificates.file, **options)


@pytest_twisted.ensureDeferred
async def test_with_direct_tls_nothing_is_said_in_the_clear(server, certificates):
    server.direct = True
    server.inside = STARTTLS  # which must not be used
    factory = client_factory(ME, PASSWORD, ca_file=certificates.file)

    xs = await log_in(server, factory, directly(server, certificates))

    assert xs.authenticator.jid == ME
    assert server.clear == b""
    assert b"<starttls" not in server.safe
    assert server.safe.count(b"<auth") == 1


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(
    "name", [srv_id(f"_xmpp-client.{DOMAIN}"), xmpp_address(DOMAIN)], ids=["SRV-ID", "address"]
)
@pytest_twisted.ensureDeferred
async def test_a_certificate_for_the_service_alone_is_enough(server, certificates, direct, name):
    server.tls = server_options(certificates.issue(DOMAIN, names=[name]))
    server.direct = direct
    factory = client_factory(ME, PASSWORD, ca_file=certificates.file)
    xs = await log_in(server, factory, directly(server, certificates, direct_tls=direct))
    assert xs.authenticator.jid == ME


@pytest_twisted.ensureDeferred
async def test_a_certificate_for_direct_tls_alone_is_for_no_other(server, certificates):
    names = [srv_id(f"_xmpps-client.{DOMAIN}")]
    server.tls = server_options(certificates.issue(DOMAIN, names=names))
    factory = client_factory(ME, PASSWORD, ca_file=certificates.file)
    failure = await log_in(server, factory)
    assert explain(failure).text == "the server's certificate is for another name"
    server.direct = True
    xs = await log_in(server, factory, directly(server, certificates))
    assert xs.authenticator.jid == ME


EXPORTER = "<channel-binding type='tls-exporter'/>"
CHANNEL_BINDING = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{}</sasl-channel-binding>"
PLUS = ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN")


@pytest.mark.parametrize(
    ("mechanisms", "types", "chosen"),
    [
        (PLUS, ["tls-exporter", "tls-server-end-point"], "p=tls-exporter"),
        (PLUS, ["tls-unique"], "n"),
        # Nothing is announced: the default of TLS 1.3.
        (PLUS, None, "p=tls-exporter"),
        (SCRAM, None, "y"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_channel_is_bound_where_the_server_knows_how(
    server, certificates, mechanisms, types, chosen
):
    server.mechanisms = mechanisms
    if types is not None:
        server.inside = CHANNEL_BINDING.format(
            "".join(f"<channel-binding type='{each}'/>" for each in types)
        )
    xs = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))
    assert xs.authenticator.jid == ME
    assert server.chosen == [chosen]


@pytest_twisted.ensureDeferred
async def test_after_a_wrong_guess_the_channel_is_not_bound(server, certificates):
    server.mechanisms, server.exporter = PLUS, False
    xs = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))
    assert xs.authenticator.jid == ME
    assert server.chosen == ["p=tls-exporter", "n"]


@pytest.mark.parametrize(
    ("mechanisms", "inside", "chosen"),
    [
        (PLUS, "", ["p=tls-exporter", "n"]),
        (("SCRAM-SHA-256-PLUS",), "", ["p=tls-exporter"]),
        (PLUS, CHANNEL_BINDING.format(EXPORTER), ["p=tls-exporter"]),
        (SCRAM, "", ["y"]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_tried_once_more_only_after_a_guess(
    server, certificates, mechanisms, inside, chosen
):
    server.mechanisms, server.inside = mechanisms, inside
    failure = await log_in(server, client_factory(ME, "another", ca_file=certificates.file))
    assert failure.value.condition == "not-authorized"
    assert server.chosen == chosen
    assert b"PLAIN" not in server.safe


@pytest_twisted.ensureDeferred
async def test_beside_a_scram_that_we_do_not_know_the_password_is_not_sent(server, certificates):
    server.mechanisms = ("SCRAM-SHA3-512", "PLAIN")
    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))
    assert "the password itself is never sent" in explain(failure).text
    assert nothing_secret(server.safe)


@pytest.mark.parametrize("password", ["hunter2 😀", "hunter2 ẞ"])
@pytest_twisted.ensureDeferred
async def test_a_password_may_have_any_new_character(server, certificates, password):
    server.password = password
    xs = await log_in(server, client_factory(ME, password, ca_file=certificates.file))
    assert xs.authenticator.jid == ME


@pytest_twisted.ensureDeferred
async def test_by_default_the_platform_decides_whom_to_trust(server):
    failure = await log_in(server, client_factory(ME, PASSWORD))
    assert "is not trusted" in explain(failure).text
    assert server.safe == b""


@pytest_twisted.ensureDeferred
async def test_a_self_signed_certificate_can_be_trusted_by_its_file(server, certificates):
    file = certificates.issue(DOMAIN, self_signed=True)
    server.tls = server_options(file)
    xs = await log_in(server, client_factory(ME, PASSWORD, ca_file=file))
    assert xs.authenticator.jid == ME


@pytest_twisted.ensureDeferred
async def test_every_certificate_of_the_file_is_trusted(server, certificates, tmp_path):
    file = certificates.issue(DOMAIN, self_signed=True)
    both = tmp_path / "both.pem"
    both.write_bytes(file.read_bytes() + b"\n# ours\n" + certificates.file.read_bytes())
    factory = client_factory(ME, PASSWORD, ca_file=both)
    assert (await log_in(server, factory)).authenticator.jid == ME
    server.tls = server_options(file)
    assert (await log_in(server, factory)).authenticator.jid == ME


@pytest_twisted.ensureDeferred
async def test_an_international_domain_is_verified_by_its_name_in_dns(server, certificates):
    server.tls = server_options(certificates.issue("xn--bcher-kva.example"))
    factory = client_factory(JID("me@Bücher.example"), PASSWORD, ca_file=certificates.file)
    xs = await log_in(server, factory)
    assert xs.authenticator.jid == ME


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_told_without_it(server, certificates):
    server.password = "another"

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))

    refusal = explain(failure)
    assert refusal.permanent
    assert refusal.text == "the password is wrong, or there is no such account (not-authorized)"
    assert server.safe.count(b"<auth") == 1
    assert PASSWORD.encode() not in server.safe


@pytest_twisted.ensureDeferred
async def test_a_server_that_binds_no_full_jid_is_left(server, certificates):
    for jid in (
        "",
        "<jid/>",
        f"<jid>{DOMAIN}</jid>",
        "<jid>me@home.example</jid>",
        "<jid>@</jid>",
    ):
        server.bound = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{jid}</bind>"
        failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))
        assert "gave us no full JID" in explain(failure).text


@pytest_twisted.ensureDeferred
async def test_a_refused_resource_is_told(server, certificates):
    server.bound_type = "error"
    server.bound = (
        "<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "</error><bind/>"
    )
    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=certificates.file))
    assert "too much to do" in explain(failure).text
    assert not explain(failure).permanent


def test_no_repr_shows_the_password(certificates):
    factory = client_factory(ME, PASSWORD, ca_file=certificates.file)
    xs = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5222))
    shown = [factory, factory.authenticator, xs, *xs.initializers]
    assert PASSWORD not in " ".join(map(repr, shown)) + " ".join(map(str, shown))


@pytest.mark.parametrize("jid", [DOMAIN, f"me@{'x' * 64}.example"])
def test_a_jid_that_is_not_an_account_is_an_error(jid):
    with pytest.raises(ValueError, match=r"is not an account|no certificate can name"):
        client_factory(JID(jid), PASSWORD)


def test_a_file_without_certificates_is_an_error(tmp_path):
    file = tmp_path / "ca.pem"
    with pytest.raises(FileNotFoundError):
        client_factory(ME, PASSWORD, ca_file=file)
    for content in (
        b"",
        b"no PEM",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="contains no certificate in PEM format"):
            client_factory(ME, PASSWORD, ca_file=file)
