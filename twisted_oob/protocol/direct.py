"""Intake: takes offers and results off a stream at its parser, before a tree is built of them.

This is what ``OOBHandler(direct=True)`` means for stanzas that come in.

Theory of operation
===================

What comes in: the events of the stream's expat parser, by a ParserTap. What goes out: an IQ for
each offer of the usual form, the attributes of each empty result that has the id of a request of
ours, and everything else to Twisted's own handlers, as if nobody had listened.

The usual form is what real senders write::

    <iq type='set' ...><query xmlns='jabber:iq:oob' ...><url>..</url><desc>..</desc></query></iq>
    <iq type='result' id='ours' .../>

with any attributes on ``<iq/>`` and ``<query/>``, no prefix or other namespace, no attribute on
``<url/>`` and ``<desc/>``, at most four of them, and no white space outside of them. What differs,
such as an offer with a ``<file/>``, is not wrong. It goes the ordinary way from its first event on,
and the handler gets it from its observers.

=============  ============================  ====================================================
state          where the parser is           what is kept, for the IQ or for a replay
=============  ============================  ====================================================
``_BETWEEN``   between two stanzas           nothing, but whether the next one binds namespaces
``_IN_RESULT`` in ``<iq type='result'>``     the attributes
``_IN_OFFER``  in ``<iq type='set'>``        the attributes; the query, before or after it
``_IN_QUERY``  in ``<query/>``               the same, the query's attributes, its finished parts
``_IN_PART``   in ``<url/>`` or ``<desc/>``  the same, the part's name and its text so far
``_PASSING``   in a stanza that is not       nothing: Twisted has it
               of the usual form
=============  ============================  ====================================================

Each event either fits the state, and leads to the next, or ends the attempt: ``_pass_on`` gives
Twisted's handlers their places back, and replays to them what is kept, in the order it came; then
they get the event itself. So what is kept must always be enough to replay all that there was.
Comments and processing instructions may be lost, as Twisted has no handlers for them either. A text
comes in pieces and is replayed as one; Twisted joins them anyway.

The limits of Twisted hold. An offer that is taken has a bounded number of parts, a part's text that
grows beyond what any URL may have is passed on, and bytes are counted by Twisted itself, which
``stanza_taken`` tells of each end.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final

from twisted.logger import Logger

from twisted_oob._urls import MAX_URL_LENGTH
from twisted_oob.protocol.data import NS_IQ_OOB
from twisted_oob.xmpp.parser_tap import Handlers, ParserTap
from twisted_oob.xmpp.stanza import IQ, Payload

_QUERY: Final = f"{NS_IQ_OOB} query"
_PARTS: Final = {f"{NS_IQ_OOB} {name}": name for name in ("url", "desc")}
_MOST_PARTS: Final = 4

_NO_ATTRIBUTES: dict[str, str] = {}

_BETWEEN, _IN_RESULT, _IN_OFFER, _IN_QUERY, _IN_PART, _PASSING = range(6)


class Intake:
    """Takes offers and results off one stream until it is closed.

    Args:
        tap: The stream's parser.
        awaited: The ids of results that may be for us.
        take_result: Takes an empty IQ result with these attributes; False if it is not for us.
        take_offer: Takes an IQ set that holds a ``<query xmlns='jabber:iq:oob'/>``; False to leave
            it to others.
    """

    _log = Logger()

    def __init__(
        self,
        tap: ParserTap,
        awaited: Container[str | None],
        take_result: Callable[[dict[str, str]], bool],
        take_offer: Callable[[IQ], bool],
    ) -> None:
        self._tap = tap
        self._stanza_taken = tap.stanza_taken
        self._awaited = awaited
        self._take_result = take_result
        self._take_offer = take_offer
        self._namespace = tap.namespace
        self._iq = f"{tap.namespace} iq"
        self._start, self._end, self._text, self._start_ns, self._end_ns = tap.ordinary
        self._state = _PASSING
        self._redeclared = False  # the next stanza changes what names mean
        # Of the stanza that we are in:
        self._attributes = _NO_ATTRIBUTES
        self._declared = False  # the query's namespace is, and has not ended
        self._query: dict[str, str] | None = None  # its attributes, once it has begun
        self._parts: list[tuple[str, str]] = []
        self._part = self._part_text = ""
        handlers = (
            self._on_start,
            self._on_end,
            self._on_text,
            self._on_start_ns,
            self._on_end_ns,
        )
        # If it can't listen, nothing comes, and everything goes the ordinary way.
        tap.listen(Handlers(*handlers), self._resumed)

    def close(self) -> None:
        """Take nothing more; a stanza that has begun goes the ordinary way."""
        self._tap.close()
        self._replay()

    def _resumed(self) -> None:
        self._state = _BETWEEN

    def _on_start(self, name: str, attributes: dict[str, str]) -> None:
        state = self._state
        if state == _BETWEEN:
            # Expat resolves prefixes, so that a name means the same however it was written. But one
            # that the stanza itself declares is part of what Twisted would build.
            if name == self._iq and not self._redeclared:
                kind = attributes.get("type")
                if kind == "result":
                    # Most results on a stream are for somebody else, and stay as fast as they were.
                    if attributes.get("id") in self._awaited:
                        self._state = _IN_RESULT
                        self._attributes = attributes
                        return
                elif kind == "set":
                    self._state = _IN_OFFER
                    self._attributes = attributes
                    return
            self._redeclared = False
        elif state == _IN_QUERY:
            part = _PARTS.get(name)
            # An attribute would be lost, as only names and texts are kept.
            if part is not None and not attributes and len(self._parts) < _MOST_PARTS:
                self._state = _IN_PART
                self._part = part
                self._part_text = ""
                return
        elif state == _IN_OFFER and name == _QUERY and self._declared:
            self._state = _IN_QUERY
            self._query = attributes
            return
        self._pass_on()
        self._start(name, attributes)

    def _on_text(self, text: str) -> None:
        # A text that is too long for a URL is kept no more: it may be as long as a stanza.
        if self._state == _IN_PART and len(self._part_text) <= MAX_URL_LENGTH:
            self._part_text += text
        elif self._state != _BETWEEN:
            self._pass_on()
            self._text(text)

    def _on_start_ns(self, prefix: str | None, uri: str) -> None:
        state = self._state
        # Expat tells of a declaration before the start of the element that makes it.
        if state == _IN_OFFER and prefix is None and uri == NS_IQ_OOB and self._query is None:
            self._declared = True
            return
        if state != _BETWEEN:
            self._pass_on()
        elif prefix is not None or uri != self._namespace:
            self._redeclared = True
        self._start_ns(prefix, uri)

    def _on_end_ns(self, prefix: str | None) -> None:
        if self._state == _IN_OFFER:
            self._declared = False
        else:
            self._end_ns(prefix)

    def _on_end(self, name: str) -> None:
        state = self._state
        if state == _IN_PART:
            self._parts.append((self._part, self._part_text))
            self._state = _IN_QUERY
        elif state == _IN_QUERY:
            self._state = _IN_OFFER
        elif state == _IN_RESULT:
            attributes, self._attributes = self._attributes, _NO_ATTRIBUTES
            # First, as a callback of the request may close us, or lose the stream.
            self._state = _BETWEEN
            self._stanza_taken()
            # As with observers, any exception is logged, and the stream goes on.
            try:
                taken = self._take_result(attributes)
            except BaseException:
                self._log.failure("A result could not be handled")
            else:
                if not taken:
                    # An answer of somebody whom we did not ask, which others may know.
                    self._state = _IN_RESULT
                    self._attributes = attributes
                    self._pass_on()
                    self._end(name)
        elif state == _IN_OFFER and self._query is not None:
            # The end of the IQ: it had one query, and nothing else.
            attributes, query, parts = self._attributes, self._query, self._parts
            payload = Payload(NS_IQ_OOB, "query", tuple(parts), query)
            offer = IQ(attributes, payload, namespace=self._namespace)
            # Before the handler has it: what it does may close us, or bring the next stanza.
            self._forget()
            self._stanza_taken()
            try:
                taken = self._take_offer(offer)
            except BaseException:
                self._log.failure("An offer could not be handled")
            else:
                if not taken:
                    self._state = _IN_OFFER
                    self._attributes, self._query = attributes, query
                    self._parts = parts
                    self._pass_on()
                    self._end(name)
        else:
            self._pass_on()
            self._end(name)

    def _forget(self) -> None:
        """Keep nothing of the stanza, and be ready for the next."""
        self._state = _BETWEEN
        self._declared = False
        self._attributes = _NO_ATTRIBUTES
        self._query = None
        if self._parts:
            self._parts = []
            self._part_text = ""

    def _pass_on(self) -> None:
        """Let Twisted go on with the stanza, from its first event on."""
        if self._state != _PASSING:
            self._tap.pass_on()
            self._replay()

    def _replay(self) -> None:
        """Give Twisted what there was of the stanza so far; all that follows is forwarded to it."""
        state, declared = self._state, self._declared
        attributes, query, parts = self._attributes, self._query, self._parts
        part, text = self._part, self._part_text
        self._forget()
        self._state = _PASSING
        if state in (_BETWEEN, _PASSING):
            return
        self._start(self._iq, attributes)
        if declared or query is not None:
            self._start_ns(None, NS_IQ_OOB)
        if query is None:
            return
        self._start(_QUERY, query)
        for one in parts:
            self._start_part(*one)
            self._end(one[0])
        if state == _IN_PART:
            self._start_part(part, text)
        elif state == _IN_OFFER:
            self._end(_QUERY)
            self._end_ns(None)

    def _start_part(self, part: str, text: str) -> None:
        self._start(f"{NS_IQ_OOB} {part}", {})
        if text:
            self._text(text)
