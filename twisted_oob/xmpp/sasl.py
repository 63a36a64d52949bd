"""SASL for an account: the choice of a mechanism, and the elements that carry it (RFC 6120, 6).

Two kinds of mechanism are used, and one login tries just one of them (with the exception below):

- SCRAM (see scram.py) with the strongest hash that the server offers, and with channel binding (see
  channel_binding.py) if both sides have the same type of it.
- PLAIN, which sends the password itself: only inside TLS, and only if the server offers no SCRAM at
  all, not even one that we don't know. Whoever can make SCRAM fail must not get the password.

What SCRAM says of channel binding lets the server notice that somebody has removed the mechanisms
with it from its offer (RFC 5802 section 6):

===============================================  ===============  ==================================
the server offers                                the mechanism    what it says
===============================================  ===============  ==================================
``-PLUS``, with a type that our end has          with ``-PLUS``   ``p=TYPE``
``-PLUS``, but no such type                      without          ``n``: our end has no binding
no ``-PLUS``                                     without          ``y``: ours has, yours has not
anything, on a connection without TLS            without          ``n``
===============================================  ===============  ==================================

On TLS 1.3, we may have to guess the type (see channel_binding.py). If a login with a guessed type
fails, it is tried once more, by SCRAM without a binding. That gives away no more than if we had not
guessed.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import ISSLTransport, ISystemHandle
from twisted.internet.threads import deferToThread
from twisted.words.protocols.jabber.sasl import NS_XMPP_SASL, get_mechanisms
from twisted.words.protocols.jabber.sasl_mechanisms import Plain
from twisted.words.protocols.jabber.xmlstream import BaseFeatureInitiatingInitializer, Reset
from twisted.words.xish import domish

from twisted_oob.errors import AuthenticationFailed, Unencrypted
from twisted_oob.xmpp.channel_binding import TLS_EXPORTER, bindings, known_types
from twisted_oob.xmpp.scram import MECHANISMS, PLUS, Scram, nonsense

_SASL_ELEMENT: Final = f"/*[@xmlns='{NS_XMPP_SASL}']"
_NO_BINDINGS: Final[Mapping[str, bytes]] = MappingProxyType({})
# The conditions that another attempt may not meet again (RFC 6120 section 6.5). All others are
# about the account, and servers lock out who goes on trying a wrong password.
_MAY_PASS: Final = ("temporary-auth-failure", "aborted")
# What a server may say to a channel binding that it does not know.
_WRONG_GUESS: Final = ("malformed-request", "not-authorized")
_MEANING: Final = {
    "account-disabled": "the account is disabled",
    "credentials-expired": "the password has expired",
    # What servers say, too, if the channel binding of the two ends is not the same.
    "malformed-request": (
        "the server can't read our login: if TLS ends before it, at a proxy, turn its channel "
        "binding off"
    ),
    # Servers don't tell which, so that nobody can find out who has an account.
    "not-authorized": "the password is wrong, or there is no such account",
    "temporary-auth-failure": "the server can't check passwords at the moment",
}


class SaslInitializer(BaseFeatureInitiatingInitializer):
    """The step of a stream's negotiation that authenticates (RFC 6120 section 6.4).

    It uses the best mechanism that the server offers, and no other one if that fails, unless that
    guessed what the server can do.

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
        encrypted = ISSLTransport.providedBy(xs.transport)
        has_handle = encrypted and ISystemHandle.providedBy(xs.transport)
        ours = bindings(xs.transport.getHandle()) if has_handle else _NO_BINDINGS
        choose_for = partial(
            choose, offered, self._user, self._password, encrypted=encrypted, ours=ours
        )
        theirs, announced = known_types(xs.features)
        mechanism = choose_for(theirs=theirs)
        # One observer for the whole exchange, not one per answer: what the server says out of turn
        # must not go unseen.
        xs.addObserver(_SASL_ELEMENT, self._heard)
        try:
            try:
                await self._exchange(mechanism)
            except AuthenticationFailed as error:
                guessed = mechanism.name.endswith(PLUS) and not announced and TLS_EXPORTER in ours
                if not (guessed and error.condition in _WRONG_GUESS):
                    raise
                try:
                    mechanism = choose_for(theirs=())
                except AuthenticationFailed:
                    raise error from None  # there is none without a binding
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
            raise nonsense(f"it sent a {element.name} out of turn")
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
            raise nonsense("it did not wait for its turn")
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


def choose(
    offered: Collection[str],
    user: str,
    password: str,
    *,
    encrypted: bool,
    ours: Mapping[str, bytes] = _NO_BINDINGS,
    theirs: Collection[str] = (),
) -> Scram | Plain:
    """Choose the best mechanism of those that a server offers.

    Args:
        offered: The names of the server's mechanisms.
        user: The localpart of the account's JID.
        password: The account's password.
        encrypted: Whether the stream is inside TLS. PLAIN sends the password itself, so it is used
            nowhere else.
        ours: The channel bindings that our end has, strongest first, by type.
        theirs: The types of channel binding that the server knows.

    Raises:
        AuthenticationFailed: The server offers none of ours, or the password can't be used.
        Unencrypted: The server offers only PLAIN, outside TLS.
    """
    scrams = [name for name in offered if name.startswith("SCRAM-")]
    binds = any(name.endswith(PLUS) for name in scrams)
    shared = next((kind for kind in ours if kind in theirs), None)
    for name in MECHANISMS:
        if shared is not None and name + PLUS in scrams:
            flag = f"p={shared}"
            return Scram(name + PLUS, user, password, flag=flag, binding=ours[shared])
        if name in scrams:
            return Scram(name, user, password, flag="y" if ours and not binds else "n")
    if scrams:
        raise AuthenticationFailed(
            "the server offers SCRAM only in a form that can't be used here "
            f"({', '.join(scrams)}), and beside SCRAM the password itself is never sent: let it "
            "offer SCRAM-SHA-256, too"
        )
    if "PLAIN" not in offered:
        raise AuthenticationFailed(f"the server offers none of {', '.join(MECHANISMS)} and PLAIN")
    if not encrypted:
        raise Unencrypted("the server wants the password itself, on a stream without TLS")
    # NUL separates the parts of PLAIN's message (RFC 4616 section 2).
    if not password or "\0" in password:
        raise AuthenticationFailed("the password is empty or has a NUL character")
    return Plain(None, user, password)


def _data(element: domish.Element) -> bytes:
    """Decode the data of an element; ``=`` is data of no length (RFC 6120 section 6.4.2)."""
    text = str(element)
    try:
        return b"" if text == "=" else b64decode(text, validate=True)
    except ValueError:
        raise nonsense(f"its {element.name} is not base64") from None


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
