"""SASL for an account: SCRAM-SHA-256, SCRAM-SHA-1, and PLAIN inside TLS (RFC 6120 section 6).

SCRAM (RFC 5802) sends no password. Each side proves to the other that it knows the password::

    client                                     server
    auth: our name and nonce             -->
                                         <--   challenge: nonces, salt, iteration count
    response: our proof                  -->
                                         <--   success, or a second challenge: the server's proof

A server that can't give its proof is an impostor, or at least nobody to trust. ``Scram`` has the
messages, ``SaslInitializer`` the elements that carry them, and scramp the arithmetic.

There is no channel binding, and the GS2 header is ``n,,``: TLS 1.3 has no ``tls-unique`` (RFC 8446
appendix C.5), and what replaced it (RFC 9266) is not implemented here.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection
from typing import Any, Final

from scramp import ScramClient, ScramException
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.threads import deferToThread
from twisted.words.protocols.jabber.sasl import NS_XMPP_SASL, get_mechanisms
from twisted.words.protocols.jabber.sasl_mechanisms import ISASLMechanism, Plain
from twisted.words.protocols.jabber.xmlstream import BaseFeatureInitiatingInitializer, Reset
from twisted.words.xish import domish
from zope.interface import implementer

from twisted_oob.errors import AuthenticationFailed, Unencrypted

SCRAM_MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-1")
"""In the order of preference, strongest first."""
FEWEST_ITERATIONS: Final = 4096
"""The minimum of RFC 7677 section 4.

A false server could ask for one iteration. Then it could try passwords against our proof cheaply.
"""
MOST_ITERATIONS: Final = 2_000_000
"""About a second of one core. A false server could ask for billions, to keep us busy.

Prosody uses 10,000 and ejabberd 4096; the most that anybody advises is 1.4 million, for SHA-1.
"""

_FORBIDDEN: Final = "the name or password has characters that SASLprep (RFC 4013) forbids"
_SASL_ELEMENT: Final = f"/*[@xmlns='{NS_XMPP_SASL}']"
# The conditions that another attempt may not meet again (RFC 6120 section 6.5). All others are
# about the account, and servers lock out who goes on trying a wrong password.
_MAY_PASS: Final = ("temporary-auth-failure", "aborted")
_MEANING: Final = {
    "account-disabled": "the account is disabled",
    "credentials-expired": "the password has expired",
    # Servers don't tell which, so that nobody can find out who has an account.
    "not-authorized": "the password is wrong, or there is no such account",
    "temporary-auth-failure": "the server can't check passwords at the moment",
}


@implementer(ISASLMechanism)
class Scram:
    """The client's side of one SCRAM exchange (RFC 5802, RFC 7677).

    Args:
        name: One of SCRAM_MECHANISMS.
        user: The localpart of the account's JID.
        password: The account's password.
        nonce: The client's nonce, for tests; None for a random one.

    Raises:
        AuthenticationFailed: The password is empty, or SASLprep (RFC 4013) forbids a character of
            it or of the name. Some versions of scramp notice that only in ``getResponse``.
    """

    def __init__(self, name: str, user: str, password: str, *, nonce: str | None = None) -> None:
        self.name = name
        if not password:
            raise AuthenticationFailed("the password is empty")
        try:
            self._client = ScramClient([name], user, password, c_nonce=nonce)
        except ScramException:
            # Not chained, so that no traceback shows what scramp complains about.
            raise AuthenticationFailed(_FORBIDDEN) from None
        self._proved = False
        self._verified = False

    def getInitialResponse(self) -> bytes:  # noqa: N802  # the interface's
        """Return the client's first message."""
        first: str = self._client.get_client_first()
        return first.encode()

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
        if self._proved:
            # Servers may send their proof as a challenge, if they don't use the data of success
            # (RFC 6120 section 6.3.10).
            self._verify(challenge)
            return b""
        try:
            message = challenge.decode()
            _check_iterations(message)
            self._client.set_server_first(message)
        except (ScramException, ValueError, LookupError):
            # UnicodeDecodeError is a ValueError. Scramp's own parser raises all three.
            raise _nonsense("its first SCRAM message is wrong") from None
        try:
            final: str = self._client.get_client_final()
        except ScramException:  # until scramp 1.5, which looks at the password before
            raise AuthenticationFailed(_FORBIDDEN) from None
        self._proved = True
        return final.encode()

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

    def _verify(self, message: bytes) -> None:
        try:
            self._client.set_server_final(message.decode())
        except (ScramException, ValueError, LookupError):
            raise AuthenticationFailed(
                "the server's proof that it knows the account's password is wrong"
            ) from None
        self._verified = True


class SaslInitializer(BaseFeatureInitiatingInitializer):
    """The step of a stream's negotiation that authenticates (RFC 6120 section 6.4).

    It uses the best mechanism that the server offers, and no other one if that fails: whoever can
    make SCRAM fail must not get the password by way of PLAIN.

    Args:
        xs: The XmlStream.
        user: The localpart of the account's JID.
        password: The account's password.
    """

    feature = (NS_XMPP_SASL, "mechanisms")

    def __init__(self, xs: Any, user: str, password: str) -> None:
        BaseFeatureInitiatingInitializer.__init__(self, xs, required=True)
        self._user = user
        self._password = password
        self._waiting: Deferred[domish.Element] | None = None
        self._out_of_turn = False

    def initialize(self) -> Deferred[object]:
        """Authenticate.

        Returns:
            A Deferred that fires with Reset once the stream has begun anew, or fails with
            AuthenticationFailed or Unencrypted.
        """
        return ensureDeferred(self._authenticate())

    async def _authenticate(self) -> object:
        xs = self.xmlstream
        offered = get_mechanisms(xs) if self.feature in xs.features else ()
        mechanism = choose(
            offered,
            self._user,
            self._password,
            encrypted=ISSLTransport.providedBy(xs.transport),
        )
        # One observer for the whole exchange, not one per answer: what the server says out of turn
        # must not go unseen.
        xs.addObserver(_SASL_ELEMENT, self._heard)
        try:
            await self._exchange(mechanism)
        except AuthenticationFailed as error:
            if error.condition is None:
                # We broke it off, so the server waits for us (RFC 6120 section 6.4.4).
                self._send("abort")
            raise
        finally:
            xs.removeObserver(_SASL_ELEMENT, self._heard)
        # Nothing from before counts any more, so the stream begins anew (RFC 6120 section 6.4.6).
        xs.reset()
        xs.sendHeader()
        return Reset

    async def _exchange(self, mechanism: Scram | Plain) -> None:
        element = await self._ask("auth", mechanism.getInitialResponse(), mechanism=mechanism.name)
        while element.name == "challenge" and isinstance(mechanism, Scram):
            # In a thread, because the server chooses how much there is to compute.
            response = await deferToThread(mechanism.getResponse, _data(element))
            element = await self._ask("response", response)
        if element.name == "failure":
            raise _error_from(element)
        if element.name != "success":
            raise _nonsense(f"it sent a {element.name} out of turn")
        if isinstance(mechanism, Scram):
            # Success alone is not enough: an impostor lets in everybody.
            mechanism.finish(_data(element))

    def _send(self, name: str, data: bytes = b"", **attributes: str) -> None:
        element = domish.Element((NS_XMPP_SASL, name))
        element.attributes.update(attributes)
        if data:
            element.addContent(b64encode(data).decode())
        self.xmlstream.send(element)

    async def _ask(self, name: str, data: bytes, **attributes: str) -> domish.Element:
        """Send an element, and wait for the server's next one."""
        if self._out_of_turn:
            raise _nonsense("it did not wait for its turn")
        waiting = self._waiting = Deferred()
        self._send(name, data, **attributes)
        return await waiting

    def _heard(self, element: domish.Element) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            # It came while we were computing. ``_ask`` reports it, instead of taking it for the
            # answer to what is still to be sent.
            self._out_of_turn = True
        else:
            waiting.callback(element)


def choose(offered: Collection[str], user: str, password: str, *, encrypted: bool) -> Scram | Plain:
    """Choose the best mechanism of those that a server offers.

    Args:
        offered: The names of the server's mechanisms.
        user: The localpart of the account's JID.
        password: The account's password.
        encrypted: Whether the stream is inside TLS. PLAIN sends the password itself, so it is used
            nowhere else.

    Raises:
        AuthenticationFailed: The server offers none of ours, or the password can't be used.
        Unencrypted: The server offers only PLAIN, outside TLS.
    """
    for name in SCRAM_MECHANISMS:
        if name in offered:
            return Scram(name, user, password)
    if "PLAIN" not in offered:
        raise AuthenticationFailed(
            f"the server offers none of {', '.join(SCRAM_MECHANISMS)} and PLAIN"
        )
    if not encrypted:
        raise Unencrypted("the server wants the password itself, on a stream without TLS")
    # NUL separates the parts of PLAIN's message (RFC 4616 section 2).
    if not password or "\0" in password:
        raise AuthenticationFailed("the password is empty or has a NUL character")
    return Plain(None, user, password)


def _check_iterations(message: str) -> None:
    """Check the server's first message for its iteration count, before scramp believes it.

    Raises:
        ValueError: There is not exactly one count, or it is no number.
        AuthenticationFailed: The count is outside our limits.
    """
    counts = [part[2:] for part in message.split(",") if part.startswith("i=")]
    if len(counts) != 1:
        raise ValueError("exactly one iteration count is needed")
    # By its length first, as converting a very long number takes quadratic time.
    longest = len(str(MOST_ITERATIONS))
    if len(counts[0]) > longest or not FEWEST_ITERATIONS <= int(counts[0]) <= MOST_ITERATIONS:
        raise AuthenticationFailed(
            "the server asks for a number of SCRAM iterations that is not between "
            f"{FEWEST_ITERATIONS} and {MOST_ITERATIONS}"
        )


def _data(element: domish.Element) -> bytes:
    """Decode the data of an element; ``=`` is data of no length (RFC 6120 section 6.4.2)."""
    text = str(element)
    try:
        return b"" if text == "=" else b64decode(text, validate=True)
    except ValueError:
        raise _nonsense(f"its {element.name} is not base64") from None


def _nonsense(what: str) -> AuthenticationFailed:
    return AuthenticationFailed(f"the server does not follow the rules of SASL: {what}")


def _error_from(failure: domish.Element) -> AuthenticationFailed:
    """Read the server's ``<failure/>`` (RFC 6120 section 6.5).

    Without a condition it counts as not-authorized, as that is what most failures mean.
    """
    condition = next(
        (child.name for child in failure.elements(NS_XMPP_SASL) if child.name != "text"),
        "not-authorized",
    )
    meaning = _MEANING.get(condition, "the server did not let us in")
    return AuthenticationFailed(
        f"{meaning} ({condition})", condition=condition, permanent=condition not in _MAY_PASS
    )
