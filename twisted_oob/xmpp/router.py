"""Router: passes stanzas between the components of one process.

It stands in for an XMPP server. Components get a route through ``component_server`` (by TCP,
XEP-0114) or in this process (``wokkel.component.InternalComponent``). Unlike Twisted's router,
which it replaces:

- a domain has one holder, and nobody can take it away (XEP-0114 section 3);
- there is no default route, so that what has no holder is answered with an error;
- a stanza without a valid address is answered or dropped, where Twisted's raises an exception;
- a component that doesn't read makes nobody's memory grow: what it has no room for is answered;
- no payload is logged, and nothing about one stanza above the level of debug.

What a component may send is checked where it comes in, before it gets here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger
from twisted.words.protocols.jabber import component
from twisted.words.protocols.jabber.error import StanzaError, StreamError

from twisted_oob.xmpp.guard import error_response
from twisted_oob.xmpp.jid import parse_jid, shown

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID
    from twisted.words.xish import domish


_MOST_TOLD: Final = 100
"""Domains without a holder that the log tells of, until somebody gets a route."""

_log = Logger()


class Router(component.Router):
    """Passes stanzas to whoever holds the domain that they are addressed to.

    ``InternalComponent`` calls ``addRoute`` and ``removeRoute`` of any router that it is given.

    Attributes:
        routes: The streams by domain, as parse_jid prepares it.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}
        self._told: set[str | None] = set()

    def addRoute(self, destination: str, xs: Any) -> None:
        """Give a domain to a stream: its stanzas go there, and what the stream sends is routed.

        Args:
            destination: The domain. A stanza from the stream without a ``from`` gets it as one.
            xs: An XmlStream, or one end of an XmlPipe as ``InternalComponent`` has it. Its ``send``
                may raise a StanzaError: that is the answer to what was to be sent.

        Raises:
            ValueError: ``destination`` is not a domain.
            StreamError: Another stream holds it: ``conflict`` (XEP-0114 section 3, RFC 6120
                section 4.9.3.3).
        """
        domain = only_domain(destination)
        # The first holder keeps it. If the newer one won, whoever knows the secret could cut off
        # every other component, the responder in this process included.
        if self.routes.setdefault(domain, xs) is not xs:
            raise StreamError("conflict", f"{domain} is connected already")
        self._told.clear()
        # If the stream holds another domain already, Twisted ignores this: the observer is there,
        # and what the stream sends is routed once, as from its first domain.
        xs.addObserver("/*", self._from_component, 0, domain)

    def removeRoute(self, destination: str, xs: Any) -> None:
        """Withdraw a domain from the stream that holds it. For any other stream, do nothing."""
        domain = only_domain(destination)
        if domain not in self.routes or self.routes[domain] is not xs:
            return
        del self.routes[domain]
        xs.removeObserver("/*", self._from_component)
        for other, holder in self.routes.items():
            if holder is xs:
                # It holds another domain: what it sends is routed as from that one.
                xs.addObserver("/*", self._from_component, 0, other)
                break

    def _from_component(self, domain: str, stanza: domish.Element) -> None:
        # Only components in this process may leave it out; component_server requires it.
        if not stanza.getAttribute("from"):
            stanza["from"] = domain
        self.route(stanza)

    def route(self, stanza: domish.Element) -> None:
        """Pass a stanza on, or tell its sender why not.

        ========================================  =========================================
        what is wrong                             the sender gets
        ========================================  =========================================
        nobody holds the domain                   remote-server-not-found (RFC 6120 8.3.3.16)
        there is no valid address                 jid-malformed (8.3.3.8)
        too much waits for the holder already     resource-constraint (8.3.3.18), to wait;
                                                  a presence is dropped
        ========================================  =========================================

        A result or error is dropped in each case, as nobody may answer those (sections 8.2.3 and
        8.3.1).
        """
        domain = domain_of(stanza.getAttribute("to"))
        holder = None if domain is None else self.routes.get(domain)
        if holder is None:
            self._tell_unrouted(domain, stanza)
            condition = "jid-malformed" if domain is None else "remote-server-not-found"
            self.answer(stanza, StanzaError(condition))
            return
        try:
            holder.send(stanza)
        except StanzaError as error:
            if stanza.name != "presence":
                self.answer(stanza, error, echo=False)

    def answer(self, stanza: domish.Element, error: StanzaError, *, echo: bool = True) -> None:
        """Tell the sender of a stanza what is wrong with it, unless it is an answer itself.

        Args:
            stanza: What was sent, as it came.
            error: The answer.
            echo: Whether the answer holds what the stanza held.
        """
        if stanza.getAttribute("type") not in ("result", "error"):
            # The answer is of type error, so this ends here even if its recipient is gone, too.
            self.route(error_response(stanza, error, echo=echo))

    def _tell_unrouted(self, domain: str | None, stanza: domish.Element) -> None:
        """Log that there is no route, once for each domain: a component may send without end."""
        if domain in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(domain)
        _log.debug(
            "no route: {name} from {sender} to {recipient}",
            name=stanza.name,
            sender=shown(stanza.getAttribute("from")),
            recipient=shown(stanza.getAttribute("to")),
        )


def domain_of(address: str | None) -> str | None:
    """Return the domain of an address as parse_jid prepares it, or None if that is not valid."""
    prepared = _prepared(address)
    return None if prepared is None else str(prepared.host)


def only_domain(address: str | None) -> str:
    """Return, prepared, the domain of an address that must be nothing but a domain.

    Raises:
        ValueError: It is something else.
    """
    prepared = _prepared(address)
    if prepared is None or prepared.user or prepared.resource:
        raise ValueError(f"a component's address is a bare domain, not {address!r}")
    return str(prepared.host)


def _prepared(address: str | None) -> JID | None:
    """Return the address as parse_jid prepares it, or None if it is absent or not valid."""
    if not address:
        return None
    try:
        return parse_jid(address)
    except ValueError:
        return None
