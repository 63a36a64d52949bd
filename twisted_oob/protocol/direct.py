"""Intake: takes our stanzas off a stream where its parser is, before a tree is built of them.

An offer of the usual form, or an empty result with the id of a request of ours, is recognised by
what expat tells of it. Any other stanza goes the ordinary way, from its first event on: Twisted
builds its element and gives it to the stream's observers. So an Intake makes a difference only in
cost, and in that observers don't see what it took.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Final

from twisted.logger import Logger
from twisted.words.protocols.jabber.xmlstream import XmlStream
from twisted.words.xish.domish import Element, ExpatElementStream
from twisted.words.xish.utility import EventDispatcher
from twisted.words.xish.xmlstream import XmlStream as XishXmlStream

from twisted_oob.protocol.data import MAX_URL_LENGTH, NS_IQ_OOB
from twisted_oob.xmpp.stanza import IQ

_QUERY: Final = f"{NS_IQ_OOB} query"
_PARTS: Final = {f"{NS_IQ_OOB} {name}": name for name in ("url", "desc")}
_MOST_PARTS: Final = 4

_HANDLERS: Final = (
    "StartElementHandler",
    "EndElementHandler",
    "CharacterDataHandler",
    "StartNamespaceDeclHandler",
    "EndNamespaceDeclHandler",
)

_NO_ATTRIBUTES: dict[str, str] = {}

# Where we are: between stanzas; in a result; in an offer, its query, a part of that.
_BETWEEN, _IN_RESULT, _IN_OFFER, _IN_QUERY, _IN_PART = range(5)


class Intake:
    """Takes offers and results off one stream, for which ``can_take_from`` must be true.

    ``awaited``: the ids of results that may be for us.
    ``take_result``: takes an empty IQ result with these attributes; False where it is not for us.
    ``take_offer``: takes an IQ set that holds a ``<query xmlns='jabber:iq:oob'/>``.
    """

    _log = Logger()

    def __init__(
        self,
        xmlstream: Any,
        awaited: Container[str | None],
        take_result: Callable[[dict[str, str]], bool],
        take_offer: Callable[[IQ], None],
    ) -> None:
        self._awaited = awaited
        self._take_result = take_result
        self._take_offer = take_offer
        self._namespace: str = xmlstream.namespace
        self._iq = f"{self._namespace} iq"
        self._uris = (self._namespace, NS_IQ_OOB)
        self._stream: Any = xmlstream.stream
        self._parser = self._stream.parser
        self._ordinary = tuple(getattr(self._parser, name) for name in _HANDLERS)
        self._start, self._end, self._text, self._start_ns, self._end_ns = self._ordinary
        self._own = (
            self._on_start,
            self._on_end,
            self._on_text,
            self._on_start_ns,
            self._on_end_ns,
        )
        self._depth = _BETWEEN
        self._redeclared = False  # the next stanza changes what names mean
        # Of the stanza that we are in:
        self._attributes = _NO_ATTRIBUTES
        self._declared = False  # the query's namespace is, and has not ended
        self._query: dict[str, str] | None = None  # its attributes, once it has begun
        self._parts: list[tuple[str, str]] = []
        self._part = self._part_text = ""
        self._dispatch: Callable[[Element], None] = self._stream.ElementEvent
        xmlstream.setDispatchFn(self._on_element)
        # In the middle of a stanza, we are on watch from its end.
        if self._stream.currElem is None:
            self._handle(self._own)

    def remove(self) -> None:
        """Leave the stream as it was found."""
        self._give_back()
        if self._stream.ElementEvent == self._on_element:
            self._stream.ElementEvent = self._dispatch

    def _handle(self, handlers: tuple[Any, ...]) -> None:
        parser = self._parser
        (
            parser.StartElementHandler,
            parser.EndElementHandler,
            parser.CharacterDataHandler,
            parser.StartNamespaceDeclHandler,
            parser.EndNamespaceDeclHandler,
        ) = handlers

    def _on_element(self, element: Element) -> None:
        """Be on watch again at the end of a stanza that went the ordinary way."""
        self._handle(self._own)
        self._dispatch(element)

    def _on_start(self, name: str, attributes: dict[str, str]) -> None:
        depth = self._depth
        if depth == _BETWEEN:
            if name == self._iq and not self._redeclared:
                kind = attributes.get("type")
                if kind == "result":
                    if attributes.get("id") in self._awaited:
                        self._depth = _IN_RESULT
                        self._attributes = attributes
                        return
                elif kind == "set":
                    self._depth = _IN_OFFER
                    self._attributes = attributes
                    return
            self._redeclared = False
        elif depth == _IN_QUERY:
            part = _PARTS.get(name)
            if part is not None and not attributes and len(self._parts) < _MOST_PARTS:
                self._depth = _IN_PART
                self._part = part
                self._part_text = ""
                return
        elif depth == _IN_OFFER and name == _QUERY and self._declared:
            self._depth = _IN_QUERY
            self._query = attributes
            return
        self._give_back()
        self._start(name, attributes)

    def _on_text(self, text: str) -> None:
        if self._depth == _IN_PART and len(self._part_text) <= MAX_URL_LENGTH:
            self._part_text += text
        elif self._depth != _BETWEEN:
            self._give_back()
            self._text(text)

    def _on_start_ns(self, prefix: str | None, uri: str) -> None:
        if self._depth == _IN_OFFER and prefix is None and uri == NS_IQ_OOB and self._query is None:
            self._declared = True
            return
        if self._depth != _BETWEEN:
            self._give_back()
        elif prefix is not None or uri != self._namespace:
            self._redeclared = True
        self._start_ns(prefix, uri)

    def _on_end_ns(self, prefix: str | None) -> None:
        if self._depth == _IN_OFFER:
            self._declared = False
        else:
            self._end_ns(prefix)

    def _on_end(self, name: str) -> None:
        depth = self._depth
        if depth == _IN_PART:
            self._parts.append((self._part, self._part_text))
            self._depth = _IN_QUERY
        elif depth == _IN_QUERY:
            self._depth = _IN_OFFER
        elif depth == _IN_RESULT:
            attributes, self._attributes = self._attributes, _NO_ATTRIBUTES
            self._depth = _BETWEEN
            # Twisted counts a stanza's bytes from the last end that it saw. As with observers, an
            # error is logged, and the stream goes on.
            self._stream.stanzaSize = 0
            try:
                taken = self._take_result(attributes)
            except Exception:
                self._log.failure("A result could not be handled")
            else:
                if not taken:
                    self._depth = _IN_RESULT
                    self._attributes = attributes
                    self._give_back()
                    self._end(name)
        elif depth == _IN_OFFER and self._query is not None:
            offer = IQ(self._attributes, self._query, tuple(self._parts), uris=self._uris)
            self._done()
            self._stream.stanzaSize = 0
            try:
                self._take_offer(offer)
            except Exception:
                self._log.failure("An offer could not be handled")
        else:
            self._give_back()
            self._end(name)

    def _done(self) -> None:
        """Keep nothing of the stanza, and be ready for the next."""
        self._depth = _BETWEEN
        self._declared = False
        self._attributes = _NO_ATTRIBUTES
        self._query = None
        if self._parts:
            self._parts = []
            self._part_text = ""

    def _give_back(self) -> None:
        """Let Twisted go on, with all that there was of the stanza so far."""
        depth, declared = self._depth, self._declared
        attributes, query, parts = self._attributes, self._query, self._parts
        part, text = self._part, self._part_text
        self._handle(self._ordinary)
        if depth == _BETWEEN:
            return
        self._done()
        self._start(self._iq, attributes)
        if declared or query is not None:
            self._start_ns(None, NS_IQ_OOB)
        if query is None:
            return
        self._start(_QUERY, query)
        for one in parts:
            self._start_part(*one)
            self._end(one[0])
        if depth == _IN_PART:
            self._start_part(part, text)
        elif depth == _IN_OFFER:
            self._end(_QUERY)
            self._end_ns(None)

    def _start_part(self, part: str, text: str) -> None:
        self._start(f"{NS_IQ_OOB} {part}", {})
        if text:
            self._text(text)


def can_take_from(xmlstream: Any) -> bool:
    """Whether a stream is one of Twisted's whose stanzas go to its observers and nowhere else.

    Not so where somebody else has a hand in it already, and relies on seeing every stanza.
    """
    stream = getattr(xmlstream, "stream", None)
    if not isinstance(xmlstream, XmlStream) or type(stream) is not ExpatElementStream:
        return False
    handlers = [getattr(stream.parser, name) for name in _HANDLERS]
    return (
        # In the root: the default namespace is that of stanzas.
        stream.defaultNsStack[1:2] == [xmlstream.namespace]
        and getattr(stream.ElementEvent, "__func__", None) is XishXmlStream.onElement
        and getattr(xmlstream.dispatch, "__func__", None) is EventDispatcher.dispatch
        and all(getattr(handler, "__self__", None) is stream for handler in handlers)
    )
