"""Whether the machine has CA roots, judged in the places where OpenSSL will look."""

from __future__ import annotations

import os

import pytest
from OpenSSL import SSL
from twisted.internet.ssl import Certificate

from tests.support.certificates import Authority
from tests.support.handshakes import shake_hands
from twisted_oob._tls import ServiceTLS, trust_platform
from twisted_oob.files.roots import missing_roots


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A folder with the certificate of an authority, as a file and as OpenSSL finds it there."""
    folder = tmp_path_factory.mktemp("roots")
    authority = Authority(folder)
    (folder / "hashed").mkdir()
    own = Certificate.loadPEM(authority.file.read_bytes()).original
    (folder / "hashed" / f"{own.subject_name_hash():08x}.0").symlink_to(authority.file)
    (folder / "dangling").mkdir()
    (folder / "dangling" / f"{own.subject_name_hash():08x}.0").symlink_to(folder / "nowhere.pem")
    (folder / "plain").mkdir()
    (folder / "plain" / "ca.pem").symlink_to(authority.file)
    (folder / "empty").mkdir()
    (folder / "empty.pem").touch()
    (folder / "text.pem").write_text("no certificate")
    bundle = authority.file.read_bytes()
    (folder / "bundle.pem").write_bytes(b"# The roots\n" + bundle)
    (folder / "trusted.pem").write_bytes(bundle.replace(b" CERT", b" TRUSTED CERT"))
    authority.issue("files.test").rename(folder / "server.pem")
    return folder


def trusted_by_openssl(file):
    tls = ServiceTLS("files.test", trust_platform())
    try:
        shake_hands(file, client=tls.clientConnectionForTLS(tls))
    except SSL.Error:
        return False
    return True


@pytest.mark.parametrize(
    ("file", "folders", "there"),
    [
        ("bundle.pem", "empty", True),
        ("trusted.pem", "empty", True),
        ("nowhere.pem", "hashed", True),
        ("nowhere.pem", "nowhere:empty:hashed", True),
        ("nowhere.pem", "nowhere", False),
        ("empty.pem", "empty", False),
        ("text.pem", "empty", False),
        ("empty", "empty.pem", False),
        ("hashed", "bundle.pem", False),
        # OpenSSL finds nothing by another name than the hash.
        ("nowhere.pem", "plain", False),
        ("nowhere.pem", "dangling", False),
        ("nowhere.pem", "dangling:hashed", True),
        ("", "", False),
    ],
)
def test_the_places_that_the_environment_names(roots, monkeypatch, file, folders, there):
    named = str(roots / file) if file else ""
    search = os.pathsep.join(str(roots / one) for one in folders.split(":")) if folders else ""
    monkeypatch.setenv("SSL_CERT_FILE", named)
    monkeypatch.setenv("SSL_CERT_DIR", search)
    told = missing_roots(None)
    assert trusted_by_openssl(roots / "server.pem") is there
    if there:
        assert told is None
        assert missing_roots("ca.pem") is None
        return
    assert told == (
        f"this machine has no CA roots at SSL_CERT_FILE={named} and SSL_CERT_DIR={search}, so no "
        "https server can be verified: install ca-certificates, or let SSL_CERT_FILE name a file "
        "of roots"
    )
    assert "but those of the ca_file" in missing_roots("ca.pem")


def test_the_places_that_pyopenssl_adds(roots, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    places = {"file": roots / "nowhere.pem", "folder": roots / "nowhere"}

    def add(context):
        context.load_verify_locations(str(places["file"]))
        context.load_verify_locations(None, str(places["folder"]))

    monkeypatch.setattr(SSL.Context, "set_default_verify_paths", add)
    built_in = missing_roots(None)
    places["file"] = roots / "bundle.pem"
    assert missing_roots(None) is None
    places.update(file=roots / "empty.pem", folder=roots / "hashed")
    assert missing_roots(None) is None
    if built_in is not None:  # where OpenSSL's own places are empty, as those of the wheels are
        assert built_in.startswith("this machine has no CA roots, so no https server")
