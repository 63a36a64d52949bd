"""RequestGuard: lets a gate judge the requests on a stream before any other handler sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted_oob.xmpp.gate import Verdict
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.stream_handler import StreamHandler

if TYPE_CHECKING:
    from twisted_oob.xmpp.gate import Gate, Senders

# Before OneChildHandler (see disco.py), which answers, too.
_FIRST: Final = 200
_ANSWERS: Final = ("result", "error")
_REQUESTS: Final = ("get", "set")
_ASKING: Final = ("probe", "subscribe", "unsubscribe")


class RequestGuard(StreamHandler):
    """Drops the requests that a gate drops: what would be answered and is no offer.

    That is every IQ but results, errors and offers, and presence that asks for a subscription or
    for our presence (RFC 6121 sections 3 and 4.3). Offers have a gate of their own.

    Args:
        gate: Judges the requests; what it denies is dropped, too.
        senders: Is told who we are on each stream.
        offer: The namespace and name of the element that makes an IQ an offer.
    """

    def __init__(self, gate: Gate, senders: Senders, *, offer: tuple[str, str]) -> None:
        StreamHandler.__init__(self)
        self._gate = gate
        self._senders = senders
        self._offer = offer

    def _stream_opened(self, stream: BoundStream) -> None:
        """Begin to judge."""
        self._senders.me = None if stream.me is None else parse_jid(stream.me)
        # One query for all: each costs every stanza on the stream some time.
        self.observe_stream("/*", self._on_stanza, _FIRST)

    def _on_stanza(self, stanza: Any) -> None:
        kind = stanza.attributes.get("type")
        if stanza.name == "iq":
            asks = kind not in _ANSWERS and not (kind in _REQUESTS and self._is_offer(stanza))
        else:
            asks = stanza.name == "presence" and kind in _ASKING
        if asks and self._dropped(stanza.attributes):
            stanza.handled = True
            # Not every handler looks at "handled". Without its name, no query of theirs fits it.
            stanza.name = "dropped"

    def _dropped(self, attributes: Any) -> bool:
        verdict = self._gate.judge(attributes.get("from"), attributes.get("id"))
        return verdict is not Verdict.ADMIT

    def _is_offer(self, iq: Any) -> bool:
        # With another child it is no offer, and OneChildHandler answers it.
        children = list(iq.elements())
        return len(children) == 1 and (children[0].uri, children[0].name) == self._offer
