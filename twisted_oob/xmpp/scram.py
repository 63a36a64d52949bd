"""SCRAM: both sides prove that they know the password, and nobody sends it (RFC 5802).

::

    client                                     server
    auth: our name and nonce             -->
                                         <--   challenge: nonces, salt, iteration count
    response: our proof                  -->
                                         <--   success, or a second challenge: the server's proof

A server that can't give its proof is an impostor, or at least nobody to trust. ``Scram`` has the
messages; sasl.py has the elements that carry them and chooses the mechanism.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode
from typing import Final

from twisted.words.protocols.jabber.sasl_mechanisms import ISASLMechanism
from zope.interface import implementer

from twisted_oob.errors import AuthenticationFailed
from twisted_oob.xmpp.saslprep import saslprep

MECHANISMS: Final = {
    "SCRAM-SHA-512": "sha512",
    "SCRAM-SHA-256": "sha256",
    "SCRAM-SHA-1": "sha1",
}
"""The hash of each mechanism, the strongest first (RFC 5802, RFC 7677)."""
PLUS: Final = "-PLUS"
"""What the name of a mechanism ends in if it has channel binding."""
FEWEST_ITERATIONS: Final = 4096
"""The minimum of RFC 7677 section 4.

A false server could ask for one iteration. Then it could try passwords against our proof cheaply.
"""
MOST_ITERATIONS: Final = 2_000_000
"""About a second of one core. A false server could ask for billions, to keep us busy.

Prosody uses 10,000 and ejabberd 4096; the most that anybody advises is 1.4 million, for SHA-1.
"""

_FORBIDDEN: Final = "the name or password has characters that SASLprep (RFC 4013) forbids"
_NONCE: Final = re.compile(r"[!-+\--~]+")  # printable, without a comma
_NUMBER: Final = re.compile(r"-?[0-9]+")


@implementer(ISASLMechanism)
class Scram:
    """The client's side of one SCRAM exchange (RFC 5802, RFC 7677).

    Args:
        name: One of MECHANISMS, with PLUS behind it if there is channel binding.
        user: The localpart of the account's JID.
        password: The account's password.
        flag: What the server is told of channel binding: ``n``, ``y`` or ``p=TYPE`` (section 7).
        binding: The channel binding data of that type.
        nonce: The client's nonce, for tests; None for a random one.

    Raises:
        AuthenticationFailed: The password is empty, or SASLprep (RFC 4013) forbids a character of
            it or of the name.
    """

    def __init__(
        self,
        name: str,
        user: str,
        password: str,
        *,
        flag: str = "n",
        binding: bytes = b"",
        nonce: str | None = None,
    ) -> None:
        self.name = name
        self._hash = MECHANISMS[name.removesuffix(PLUS)]
        try:
            self._password = saslprep(password).encode()
            user = saslprep(user)
        except ValueError:
            # Not chained: neither the text nor what was tried belongs in a traceback.
            raise AuthenticationFailed(_FORBIDDEN) from None
        if not self._password:
            raise AuthenticationFailed("the password is empty")
        self._nonce = nonce or secrets.token_urlsafe(24)
        self._header = f"{flag},,"
        self._binding = binding
        escaped = user.replace("=", "=3D").replace(",", "=2C")
        self._first = f"n={escaped},r={self._nonce}"
        self._server_signature: bytes | None = None
        self._verified = False

    def getInitialResponse(self) -> bytes:  # noqa: N802  # the interface's
        """Return the client's first message."""
        return f"{self._header}{self._first}".encode()

    def getResponse(self, challenge: bytes) -> bytes:  # noqa: N802  # the interface's
        """Answer a challenge.

        Args:
            challenge: The server's first message or, later, its last.

        Returns:
            Our proof for the first message, and nothing for a last message that is right. Computing
            the proof takes as long as the server asks for, within MOST_ITERATIONS. It can be done
            in another thread.

        Raises:
            AuthenticationFailed: The message is wrong.
        """
        if self._server_signature is not None:
            # Servers may send their proof as a challenge, if they don't use the data of success
            # (RFC 6120 section 6.3.10).
            self._verify(challenge)
            return b""
        try:
            message = challenge.decode()
            nonce, salt, iterations = self._read_first(message)
        except ValueError:  # UnicodeDecodeError and binascii.Error are among these
            raise nonsense("its first SCRAM message is wrong") from None
        channel = b64encode(self._header.encode() + self._binding).decode()
        final = f"c={channel},r={nonce}"
        signed = ",".join((self._first, message, final)).encode()
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, salt, iterations)
        client_key = self._hmac(salted, b"Client Key")
        signature = self._hmac(hashlib.new(self._hash, client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = self._hmac(self._hmac(salted, b"Server Key"), signed)
        return f"{final},p={b64encode(proof).decode()}".encode()

    def finish(self, data: bytes) -> None:
        """End the exchange after the server's success.

        Args:
            data: What came with success: the server's last message, or nothing if that came before.

        Raises:
            AuthenticationFailed: The server did not prove that it knows the account (RFC 5802
                section 5).
        """
        if data:
            self._verify(data)
        if not self._verified:
            raise AuthenticationFailed(
                "the server let us in without proof that it knows the account's password"
            )

    def _hmac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self._hash)

    def _read_first(self, message: str) -> tuple[str, bytes, int]:
        """Read the server's nonce, salt and iteration count.

        Raises:
            ValueError: The message is wrong.
            AuthenticationFailed: The count is outside our limits.
        """
        attributes = [part.partition("=") for part in message.split(",")]
        names = [name for name, _, _ in attributes]
        # Extensions may follow, which we may ignore, but not "m", which says that we may not.
        if names[:3] != ["r", "s", "i"] or len(set(names)) != len(names) or "m" in names:
            raise ValueError("other attributes than those that are needed")
        nonce, salt, count = (value for _, _, value in attributes[:3])
        own = nonce.startswith(self._nonce) and len(nonce) > len(self._nonce)
        if not own or not _NONCE.fullmatch(nonce):
            raise ValueError("not our nonce, followed by the server's")
        return nonce, b64decode(salt, validate=True), _iterations(count)

    def _verify(self, message: bytes) -> None:
        """Check the server's last message: ``v=`` and its signature, perhaps with extensions."""
        try:
            attribute, _, value = message.decode().split(",")[0].partition("=")
            proof = b64decode(value, validate=True) if attribute == "v" else b""
        except ValueError:
            proof = b""
        expected = self._server_signature
        if expected is None or not hmac.compare_digest(proof, expected):
            raise AuthenticationFailed(
                "the server's proof that it knows the account's password is wrong"
            )
        self._verified = True


def nonsense(what: str) -> AuthenticationFailed:
    """Return the error for a server that does not follow the rules of SASL."""
    return AuthenticationFailed(f"the server does not follow the rules of SASL: {what}")


def _iterations(count: str) -> int:
    """Read an iteration count.

    Raises:
        ValueError: It is no number.
        AuthenticationFailed: It is outside our limits.
    """
    if not _NUMBER.fullmatch(count):
        raise ValueError("no number")
    # By its length first, as converting a very long number takes quadratic time.
    longest = len(str(MOST_ITERATIONS))
    if len(count) > longest or not FEWEST_ITERATIONS <= int(count) <= MOST_ITERATIONS:
        raise AuthenticationFailed(
            "the server asks for a number of SCRAM iterations that is not between "
            f"{FEWEST_ITERATIONS} and {MOST_ITERATIONS}"
        )
    return int(count)
