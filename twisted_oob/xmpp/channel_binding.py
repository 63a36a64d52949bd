"""Channel binding: a login that is good for one TLS connection alone (RFC 5056).

Both ends of a TLS connection can compute something that only they share. A SCRAM mechanism whose
name ends in ``-PLUS`` makes it a part of the login, and the login fails if somebody sits between
with two connections of his own. There are types of it:

========================  ===================================  ==================================
type                      what it is                           where it is defined
========================  ===================================  ==================================
``tls-exporter``          keying material of the connection    RFC 9266; TLS 1.3 only, see below
``tls-unique``            the first Finished message           RFC 5929; until TLS 1.2
``tls-server-end-point``  the hash of the server's             RFC 5929; a certificate signed with
                          certificate                          one hash, so not with EdDSA or PSS
========================  ===================================  ==================================

RFC 9266 allows ``tls-exporter`` before TLS 1.3 if the extended master secret is in use, but
pyOpenSSL does not tell that.

A server announces its types (XEP-0440). Those from before 2023 don't. They should have what is the
default: ``tls-unique`` until TLS 1.2 (RFC 5802 section 6.1), ``tls-exporter`` since (RFC 9266
section 3). Ejabberd 23.01 offers ``-PLUS`` on TLS 1.3, too, and has only ``tls-unique`` there,
which is not defined. To it, our proof is wrong. So on TLS 1.3 the default is a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from twisted.words.xish import domish

NS_CHANNEL_BINDING: Final = "urn:xmpp:sasl-cb:0"
TLS_EXPORTER: Final = "tls-exporter"
TLS_UNIQUE: Final = "tls-unique"
TLS_SERVER_END_POINT: Final = "tls-server-end-point"

_FEATURE: Final = (NS_CHANNEL_BINDING, "sasl-channel-binding")
_DEFAULT: Final = frozenset({TLS_EXPORTER, TLS_UNIQUE})
# RFC 9266 section 2.
_LABEL: Final = b"EXPORTER-Channel-Binding"
_LENGTH: Final = 32
# RFC 5929 section 4.1: SHA-256 takes the place of what is broken.
_BROKEN: Final = ("md5", "sha1")
_RSA_PSS: Final = x509.ObjectIdentifier("1.2.840.113549.1.1.10")


def bindings(connection: Any) -> dict[str, bytes]:
    """Compute the channel bindings of a TLS connection.

    Args:
        connection: A pyOpenSSL Connection after its handshake.

    Returns:
        The data of each type that this connection has, the strongest type first.
    """
    found: dict[str, bytes | None] = {}
    if connection.get_protocol_version_name() == "TLSv1.3":
        found[TLS_EXPORTER] = connection.export_keying_material(_LABEL, _LENGTH, b"")
    else:
        # Ours is the first, as we resume no sessions.
        found[TLS_UNIQUE] = connection.get_finished()
    certificate = connection.get_peer_certificate()
    if certificate is not None:
        found[TLS_SERVER_END_POINT] = _end_point(certificate.to_cryptography())
    return {name: data for name, data in found.items() if data}


def known_types(
    features: Mapping[tuple[str, str], domish.Element],
) -> tuple[Collection[str], bool]:
    """Read which types of channel binding a server knows (XEP-0440).

    Args:
        features: The stream features, by namespace and name.

    Returns:
        The types, and whether the server announces them. If it does not, they are the defaults.
    """
    feature = features.get(_FEATURE)
    if feature is None:
        return _DEFAULT, False
    types = feature.elements(NS_CHANNEL_BINDING, "channel-binding")
    return {each.getAttribute("type", "") for each in types}, True


def _end_point(certificate: x509.Certificate) -> bytes | None:
    """Hash a certificate as ``tls-server-end-point`` wants it; None if that is not defined."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    # EdDSA has no such hash, and PSS may have two of them.
    if algorithm is None or certificate.signature_algorithm_oid == _RSA_PSS:
        return None
    return certificate.fingerprint(SHA256() if algorithm.name in _BROKEN else algorithm)
