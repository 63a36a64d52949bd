"""The server's side of SCRAM (RFC 5802 section 3), written for the tests alone."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

ITERATIONS = 4096


class WrongProofError(Exception):
    """The client's last message is not right."""


class ScramServer:
    """One exchange.

    ``flag``: what the client said of channel binding. ``bindings``: the data by type; a client that
    binds must use one of these. ``password``: as it is stored, prepared or not.
    """

    def __init__(self, name, password, *, bindings=None, salt=b"a salt of 16 byte"):
        self._hash = name.removeprefix("SCRAM-").removesuffix("-PLUS").replace("-", "").lower()
        self._salted = hashlib.pbkdf2_hmac(self._hash, password.encode(), salt, ITERATIONS)
        self._salt = b64encode(salt).decode()
        self._bindings = bindings or {}

    def first(self, message):
        """Answer the client's first message."""
        self.flag, authzid, self._client_first = message.split(",", 2)
        assert authzid == ""
        self._nonce = self._client_first.partition(",r=")[2] + "of-the-server"
        self._first = f"r={self._nonce},s={self._salt},i={ITERATIONS}"
        return self._first

    def final(self, message):
        """Check the client's last message; gives the proof of the server."""
        without_proof, _, proof = message.partition(",p=")
        kind = self.flag.partition("p=")[2]
        if kind and kind not in self._bindings:
            raise WrongProofError("type of channel binding")
        channel = f"{self.flag},,".encode() + (self._bindings[kind] if kind else b"")
        if without_proof != f"c={b64encode(channel).decode()},r={self._nonce}":
            raise WrongProofError("channel binding or nonce")
        signed = f"{self._client_first},{self._first},{without_proof}".encode()
        key = self._keyed(self._salted, b"Client Key")
        stored = hashlib.new(self._hash, key).digest()
        signature = self._keyed(stored, signed)
        if b64decode(proof) != bytes(a ^ b for a, b in zip(key, signature, strict=True)):
            raise WrongProofError("proof")
        own = self._keyed(self._keyed(self._salted, b"Server Key"), signed)
        return f"v={b64encode(own).decode()}"

    def _keyed(self, key, message):
        return hmac.new(key, message, self._hash).digest()
