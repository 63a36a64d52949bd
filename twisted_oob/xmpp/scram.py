"""SASL for an account: SCRAM-SHA-256, SCRAM-SHA-1, and PLAIN inside TLS (RFC 6120 section 6).

There is no channel binding, and the GS2 header is ``n,,``: TLS 1.3 has no ``tls-unique`` (RFC 8446
appendix C.5), and nothing here exports what replaced it (RFC 9266).
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
"""Strongest first."""
FEWEST_ITERATIONS: Final = 4096
"""RFC 7677 section 4: with fewer, passwords are cheap to guess from what a server was sent."""
MOST_ITERATIONS: Final = 2_000_000
"""About a second of one core; a server could ask for billions. Prosody uses 10,000, ejabberd 4096;
the most that anybody advises is 1.4 million, for SHA-1."""

_FORBIDDEN: Final = "the name or password has characters that SASLprep (RFC 4013) forbids"
_SASL_ELEMENT: Final = f"/*[@xmlns='{NS_XMPP_SASL}']"
_MAY_PASS: Final = ("temporary-auth-failure", "aborted")
_MEANING: Final = {
    "account-disabled": "the account is disabled",
    "credentials-expired": "the password has expired",
    "not-authorized": "the password is wrong, or there is no such account",
    "temporary-auth-failure": "the server can't check passwords at the moment",
}


@implementer(ISASLMechanism)
class Scram:
    """One exchange of SCRAM (RFC 5802, RFC 7677), as the client.

    ``name``: one of SCRAM_MECHANISMS. ``user``: the localpart of the account's JID.
    ``nonce``: the client's, for tests; None for a random one.

    Raises AuthenticationFailed, maybe only from ``getResponse``, where the password is empty or
    SASLprep (RFC 4013) forbids it or the name.
    """

    def __init__(self, name: str, user: str, password: str, *, nonce: str | None = None) -> None:
        self.name = name
        if not password:
            raise AuthenticationFailed("the password is empty")
        try:
            self._client = ScramClient([name], user, password, c_nonce=nonce)
        except ScramException:
            raise AuthenticationFailed(_FORBIDDEN) from None
        self._proved = False
        self._verified = False

    def getInitialResponse(self) -> bytes:  # noqa: N802  # the interface's
        """Give the client's first message."""
        first: str = self._client.get_client_first()
        return first.encode()

    def getResponse(self, challenge: bytes) -> bytes:  # noqa: N802  # the interface's
        """Answer the server's first message with our proof, and its last, if right, with nothing.

        The proof takes the time that the server asks for, within MOST_ITERATIONS; it may be
        computed in another thread. Raises AuthenticationFailed for a message that is wrong.
        """
        if self._proved:
            self._verify(challenge)
            return b""
        try:
            message = challenge.decode()
            _check_iterations(message)
            self._client.set_server_first(message)
        except (ScramException, ValueError, LookupError):
            raise _nonsense("its first SCRAM message is wrong") from None
        try:
            final: str = self._client.get_client_final()
        except ScramException:  # until scramp 1.5, which looks at the password before
            raise AuthenticationFailed(_FORBIDDEN) from None
        self._proved = True
        return final.encode()

    def finish(self, data: bytes) -> None:
        """Take the data that came with success: the server's last message, unless it came before.

        Raises AuthenticationFailed where the server did not prove that it knows the account
        (RFC 5802 section 5): then it is an impostor, or at least nobody to trust.
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

    Uses the best mechanism that the server offers, and no other when that fails.
    Fails with AuthenticationFailed.

    ``xs``: the XmlStream. ``user``: the localpart of the account's JID.
    """

    feature = (NS_XMPP_SASL, "mechanisms")

    def __init__(self, xs: Any, user: str, password: str) -> None:
        BaseFeatureInitiatingInitializer.__init__(self, xs, required=True)
        self._user = user
        self._password = password
        self._waiting: Deferred[domish.Element] | None = None
        self._out_of_turn = False

    def initialize(self) -> Deferred[object]:
        """Authenticate; fires when the stream has been reset and has its new header."""
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
        xs.addObserver(_SASL_ELEMENT, self._heard)
        try:
            await self._exchange(mechanism)
        except AuthenticationFailed as error:
            if error.condition is None:
                self._send("abort")
            raise
        finally:
            xs.removeObserver(_SASL_ELEMENT, self._heard)
        xs.reset()
        xs.sendHeader()
        return Reset

    async def _exchange(self, mechanism: Scram | Plain) -> None:
        element = await self._ask("auth", mechanism.getInitialResponse(), mechanism=mechanism.name)
        while element.name == "challenge" and isinstance(mechanism, Scram):
            # In a thread, as the server chooses how much there is to compute.
            response = await deferToThread(mechanism.getResponse, _data(element))
            element = await self._ask("response", response)
        if element.name == "failure":
            raise _refusal(element)
        if element.name != "success":
            raise _nonsense(f"it sent a {element.name} out of turn")
        if isinstance(mechanism, Scram):
            mechanism.finish(_data(element))

    def _send(self, name: str, data: bytes | None = None, **attributes: str) -> None:
        element = domish.Element((NS_XMPP_SASL, name))
        element.attributes.update(attributes)
        if data:
            element.addContent(b64encode(data).decode())
        self.xmlstream.send(element)

    async def _ask(self, name: str, data: bytes, **attributes: str) -> domish.Element:
        """Send an element, and wait for the server's next."""
        if self._out_of_turn:
            raise _nonsense("it did not wait for its turn")
        waiting = self._waiting = Deferred()
        self._send(name, data, **attributes)
        return await waiting

    def _heard(self, element: domish.Element) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._out_of_turn = True
        else:
            waiting.callback(element)


def choose(offered: Collection[str], user: str, password: str, *, encrypted: bool) -> Scram | Plain:
    """Give the best mechanism of those that a server offers.

    ``encrypted``: whether the stream is inside TLS; PLAIN, which sends the password itself,
    goes nowhere else. Raises AuthenticationFailed or, for PLAIN alone outside TLS, Unencrypted.
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
    if not password or "\0" in password:
        raise AuthenticationFailed("the password is empty or has a NUL character")
    return Plain(None, user, password)


def _check_iterations(message: str) -> None:
    counts = [part[2:] for part in message.split(",") if part.startswith("i=")]
    if len(counts) != 1:
        raise ValueError("exactly one iteration count is needed")
    longest = len(str(MOST_ITERATIONS))
    if len(counts[0]) > longest or not FEWEST_ITERATIONS <= int(counts[0]) <= MOST_ITERATIONS:
        raise AuthenticationFailed(
            "the server asks for a number of SCRAM iterations that is not between "
            f"{FEWEST_ITERATIONS} and {MOST_ITERATIONS}"
        )


def _data(element: domish.Element) -> bytes:
    """Decode what an element carries (RFC 6120 section 6.4): ``=`` is data of no length."""
    text = str(element)
    try:
        return b"" if text == "=" else b64decode(text, validate=True)
    except ValueError:
        raise _nonsense(f"its {element.name} is not base64") from None


def _nonsense(what: str) -> AuthenticationFailed:
    return AuthenticationFailed(f"the server does not follow the rules of SASL: {what}")


def _refusal(failure: domish.Element) -> AuthenticationFailed:
    """Read a failure (RFC 6120 section 6.5); one without a condition is final, too."""
    condition = next(
        (child.name for child in failure.elements(NS_XMPP_SASL) if child.name != "text"),
        "not-authorized",
    )
    meaning = _MEANING.get(condition, "the server refuses to let us in")
    return AuthenticationFailed(
        f"{meaning} ({condition})", condition=condition, permanent=condition not in _MAY_PASS
    )
