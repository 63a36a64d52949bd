"""Fetching over TLS: which authorities are trusted, and that a ``ca_file`` adds to them."""

from __future__ import annotations

import resource

import pytest
from OpenSSL import SSL
from twisted.logger import LogLevel, formatEvent
from twisted.web.client import BrowserLikePolicyForHTTPS

from tests.support.certificates import Authority
from tests.support.fetching import failure_of, names, step, tls_url
from tests.support.hostile_http import answer
from twisted_oob.errors import FetchFailed, NoRoom, ResourceConstraint
from twisted_oob.files.fetch import Fetcher
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.trust import HttpsTrust, warn_once

NO_TLS = "no secure connection to the server"


def another(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    return Authority(folder, f"The CA {name}")


@pytest.mark.parametrize("as_text", [True, False])
@step
async def test_the_authorities_of_a_ca_file_are_trusted(fetcher, serve, authority, as_text):
    web = serve("files.test")
    web.answers = [answer(b"whole")]
    file = str(authority.file) if as_text else authority.file
    got = await fetcher(ca_file=file).fetch(tls_url(web))
    assert got.path.read_bytes() == b"whole"


@step
async def test_they_are_not_without_the_file(fetcher, serve, folder):
    web = serve("files.test")
    error = await failure_of(fetcher().fetch(tls_url(web)), FetchFailed)
    assert error.text == NO_TLS
    assert [connection.request for connection in web.connections] == [b""]
    assert names(folder) == []


@step
async def test_the_platforms_authorities_stay_trusted_beside_them(
    *, fetcher, serve, authority, tmp_path, monkeypatch
):
    platform = another(tmp_path, "platform")
    # OpenSSL reads the platform's authorities from here.
    monkeypatch.setenv("SSL_CERT_FILE", str(platform.file))
    ours, public = serve("files.test"), serve("files.test", issuer=platform)
    both = fetcher(ca_file=authority.file)
    for web in (ours, public, ours):
        web.answers = [answer(b"x")]
        assert (await both.fetch(tls_url(web))).size == 1


@step
async def test_nobody_else_is_trusted(fetcher, serve, authority, tmp_path):
    web = serve("files.test", issuer=another(tmp_path, "stranger"))
    error = await failure_of(fetcher(ca_file=authority.file).fetch(tls_url(web)), FetchFailed)
    assert error.text == NO_TLS
    assert [connection.request for connection in web.connections] == [b""]


@step
async def test_every_certificate_of_the_file_counts(fetcher, serve, authority, tmp_path):
    other = another(tmp_path, "other")
    file = tmp_path / "both.pem"
    file.write_bytes(authority.file.read_bytes() + other.file.read_bytes())
    both = fetcher(ca_file=file)
    for issuer in (authority, other):
        web = serve("files.test", issuer=issuer)
        web.answers = [answer(b"x")]
        assert (await both.fetch(tls_url(web))).size == 1


@step
async def test_a_server_may_have_signed_its_own(fetcher, net, serve, authority):
    file = authority.issue("files.test", self_signed=True)
    web = serve(file=file)
    web.answers = [answer(b"x")]
    assert (await fetcher(ca_file=file).fetch(tls_url(web))).size == 1
    error = await failure_of(fetcher().fetch(tls_url(web)), FetchFailed)
    assert error.text == NO_TLS


@pytest.mark.parametrize("certified", [["wrong.test"], ["127.0.0.1"], []])
@step
async def test_a_certificate_must_be_for_the_host_all_the_same(
    *, fetcher, serve, authority, certified
):
    web = serve(*certified)
    error = await failure_of(fetcher(ca_file=authority.file).fetch(tls_url(web)), FetchFailed)
    assert error.text == NO_TLS
    assert [connection.request for connection in web.connections] == [b""]


@step
async def test_all_connections_share_one_context(fetcher, serve, authority, monkeypatch):
    read = []
    real = SSL.Context.set_default_verify_paths
    monkeypatch.setattr(
        SSL.Context, "set_default_verify_paths", lambda one: read.append(1) or real(one)
    )
    web = serve("files.test", "a.b.test")
    made = fetcher(tls_policy=HttpsTrust(authority.file))
    for host in ("files.test", "a.b.test", "files.test"):
        web.answers.append(answer(b"x"))
        assert (await made.fetch(tls_url(web, host))).size == 1
    assert read == [1]
    error = await failure_of(made.fetch(tls_url(web, "wrong.test")), FetchFailed)
    assert error.detail == ("OtherHost: it is not for wrong.test, but for a.b.test, files.test")


def warnings_in(log):
    return [formatEvent(event) for event in log if event["log_level"] == LogLevel.warn]


@pytest.fixture
def no_roots(monkeypatch, tmp_path):
    """The machine has no CA roots, and this process has not said so yet."""
    warn_once.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "roots"))
    yield
    warn_once.cache_clear()


@pytest.mark.usefixtures("no_roots")
@step
async def test_a_machine_without_roots_is_told_of_once(fetcher, authority, log):
    fetcher()
    fetcher()
    [line] = warnings_in(log)
    assert line.startswith("this machine has no CA roots at SSL_CERT_FILE=")
    fetcher(tls_policy=BrowserLikePolicyForHTTPS())
    assert warnings_in(log) == [line]
    fetcher(ca_file=authority.file)
    assert "but those of the ca_file" in warnings_in(log)[1]


@pytest.mark.usefixtures("no_roots")
@step
async def test_without_roots_https_is_for_later_and_the_log_says_why(
    fetcher, serve, authority, tmp_path
):
    web = serve("files.test")
    error = await failure_of(fetcher().fetch(tls_url(web)), ResourceConstraint)
    assert error.text == "https servers can't be verified here now; try again later"
    assert error.detail.startswith("NoRoots: this machine has no CA roots at SSL_CERT_FILE=")
    web.answers = [answer(b"x")]
    both = fetcher(ca_file=authority.file)
    assert (await both.fetch(tls_url(web))).size == 1
    expired = serve("files.test", expired=True)
    error = await failure_of(both.fetch(tls_url(expired)), FetchFailed)
    assert "no CA roots" not in error.detail


@step
async def test_with_roots_nothing_is_said_of_them(fetcher, serve, authority, monkeypatch, log):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert HttpsTrust(None).no_roots is None
    fetcher()
    assert warnings_in(log) == []


@step
async def test_the_file_is_read_once(fetcher, serve, authority, tmp_path):
    file = tmp_path / "moved.pem"
    file.write_bytes(authority.file.read_bytes())
    made = fetcher(ca_file=file)
    file.unlink()
    web = serve("files.test")
    web.answers = [answer(b"x")]
    assert (await made.fetch(tls_url(web))).size == 1


@step
async def test_roots_that_no_descriptor_was_left_for_are_read_later(
    fetcher, serve, authority, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    made = fetcher()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        fetching = made.fetch("https://127.0.0.1:1234/")
        fetching.addErrback(lambda failure: failure.value)
        assert isinstance(await fetching, NoRoom)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    web = serve("files.test")
    web.answers = [answer(b"x")]
    assert (await made.fetch(tls_url(web))).size == 1


@pytest.mark.parametrize(
    ("content", "kind"), [(None, OSError), (b"", ValueError), (b"no certificate", ValueError)]
)
def test_a_file_that_is_no_use_is_named_at_once(fetcher, tmp_path, content, kind):
    file = tmp_path / "bad.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(kind, match=r"bad\.pem"):
        fetcher(ca_file=file)


def test_a_policy_for_tls_would_not_know_of_the_file(net, folder, authority):
    policy = FetchPolicy(ca_file=authority.file)
    with pytest.raises(ValueError, match="not both"):
        Fetcher(net, policy, folder, tls_policy=BrowserLikePolicyForHTTPS())
