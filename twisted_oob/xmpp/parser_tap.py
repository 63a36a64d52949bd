"""ParserTap: what expat says of a stream, heard before Twisted builds elements of it.

Theory of operation
===================

Twisted's ``ExpatElementStream`` has five handlers on its expat parser. They build a tree for each
stanza and give it to ``ElementEvent``, which dispatches it to observers. A tap puts a listener's
handlers in their places, between two stanzas, so that the listener may take a whole stanza without
a tree. What the listener does not want it passes on: Twisted's handlers get their places back until
the end of that stanza, and the listener replays to them what it has heard of it so far.

=========  ======================  ===========================================  =========
state      whose handlers          what ends it                                 then
=========  ======================  ===========================================  =========
waiting    Twisted's               the stanza that we came into ends            listening
                                   (``ElementEvent``); if a stream was
                                   initialized by a stanza, that is the next
listening  the listener's          ``pass_on()``                                passing
passing    Twisted's               the stanza ends (``ElementEvent``)           listening
closed     Twisted's               nothing: a tap is closed for good
=========  ======================  ===========================================  =========

Somebody else may put handlers of their own around ours at any time, and a dispatch function of
their own around ours. Ours must stay reachable then. So the tap changes the five places only as
long as all of them hold what it put there itself. If they don't, it listens no more once the
listener has passed a stanza on. The listener's handlers go on being called by whoever wrapped them,
and forward to Twisted's. Nothing is lost or seen twice, and after ``close()`` nothing is taken.

What is borrowed: the five places of the parser, and ``ElementEvent``, by ``setDispatchFn``.
``close()`` gives them back unless somebody else has taken them meanwhile.

Some of this is private to Twisted, or has a public name but no documentation: ``parser``,
``ElementEvent``, ``currElem``, ``defaultNsStack`` and ``stanzaSize`` of ``ExpatElementStream``.
Only this module uses them, and ``ParserTap.of`` gives None unless they are as it knows them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from twisted.logger import Logger
from twisted.words.protocols.jabber.xmlstream import XmlStream
from twisted.words.xish.domish import Element, ExpatElementStream
from twisted.words.xish.utility import EventDispatcher
from twisted.words.xish.xmlstream import XmlStream as XishXmlStream

# All that an ExpatElementStream keeps, and what it counts since Twisted limits stanzas. These two
# are the public face of Twisted's limits; "elementCount" counts what Twisted itself builds.
_STATE: Final = {
    "DocumentEndEvent",
    "DocumentStartEvent",
    "ElementEvent",
    "currElem",
    "defaultNsStack",
    "documentStarted",
    "error",
    "localPrefixes",
    "parser",
}
_COUNTERS: Final = {"elementCount", "maxElementCount", "maxStanzaSize", "stanzaSize"}

_log = Logger()


class Handlers(NamedTuple):
    """The five expat handlers of a namespace-aware parser; a name is ``"namespace local"``."""

    start: Callable[[str, dict[str, str]], None]
    end: Callable[[str], None]
    text: Callable[[str], None]
    start_namespace: Callable[[str | None, str], None]
    end_namespace: Callable[[str | None], None]


class ParserTap:
    """The parser of one XML stream; made by ``of``.

    Attributes:
        namespace: That of the stream's stanzas.
        ordinary: Twisted's own handlers, to forward to.
    """

    def __init__(self, xmlstream: Any) -> None:
        self.namespace: str = xmlstream.namespace
        self._set_dispatch_fn = xmlstream.setDispatchFn
        self._stream: Any = xmlstream.stream
        self._parser: Any = self._stream.parser
        self._dispatch: Callable[[Element], None] = self._stream.ElementEvent
        self.ordinary = _handlers_of(self._parser)
        self._listener = self.ordinary
        self._resumed: Callable[[], None] = lambda: None
        self._closed = False
        self._counts = hasattr(self._stream, "stanzaSize")

    @classmethod
    def of(cls, xmlstream: Any) -> ParserTap | None:
        """Tap the parser of a stream. Nothing is changed before ``listen``.

        Args:
            xmlstream: A stream that is past its header, such as any that is initialized.

        Returns:
            None if it can't be tapped: it is not an XmlStream of Twisted's, this Twisted's parser
            is not the one that this module knows, or somebody else has a hand in it already and
            relies on seeing every stanza.
        """
        try:
            return cls(xmlstream) if _is_usual(xmlstream) else None
        except Exception as error:
            # Something is not as we know it. The ordinary way is always there.
            _log.debug("The parser of a stream can't be tapped: {error!r}", error=error)
            return None

    def listen(self, listener: Handlers, resumed: Callable[[], None]) -> bool:
        """Let handlers hear what comes, from the next start of a stanza on.

        Args:
            listener: Each forwards to ``ordinary`` from ``pass_on()`` or ``close()`` on, until
                ``resumed`` is called.
            resumed: Called when the listener is on again: now or at the end of a stanza.

        Returns:
            False if it can't; then the stream is as it was found.
        """
        self._listener, self._resumed = listener, resumed
        try:
            self._set_dispatch_fn(self._on_element)
            # In the middle of a stanza, _on_element begins at its end.
            if self._stream.currElem is None:
                self._resume()
        except Exception as error:
            _log.debug("The parser of a stream can't be tapped: {error!r}", error=error)
            self._closed = True
            self._stream.ElementEvent = self._dispatch
            return False
        return True

    def pass_on(self) -> None:
        """Let Twisted have the stanza, before what was heard of it is replayed."""
        self._put(self.ordinary, instead_of=self._listener)

    def stanza_taken(self) -> None:
        """Note that a stanza has ended without Twisted.

        Twisted counts the bytes since the last end of a stanza that it saw, against a limit.
        """
        if self._counts:
            self._stream.stanzaSize = 0

    def close(self) -> None:
        """Listen no more, and leave the stream as it was found."""
        self._closed = True
        self.pass_on()
        if self._stream.ElementEvent == self._on_element:
            self._stream.ElementEvent = self._dispatch

    def _resume(self) -> None:
        if not self._closed and self._put(self._listener, instead_of=self.ordinary):
            self._resumed()

    def _put(self, handlers: Handlers, *, instead_of: Handlers) -> bool:
        """Put handlers into the places, unless somebody else's are there; tell if they are."""
        parser = self._parser
        there = _handlers_of(parser)
        if there == instead_of:
            (
                parser.StartElementHandler,
                parser.EndElementHandler,
                parser.CharacterDataHandler,
                parser.StartNamespaceDeclHandler,
                parser.EndNamespaceDeclHandler,
            ) = handlers
            return True
        return there == handlers

    def _on_element(self, element: Element) -> None:
        # Before the dispatch, as whoever gets the element may close the tap.
        self._resume()
        self._dispatch(element)


def _handlers_of(parser: Any) -> Handlers:
    return Handlers(
        parser.StartElementHandler,
        parser.EndElementHandler,
        parser.CharacterDataHandler,
        parser.StartNamespaceDeclHandler,
        parser.EndNamespaceDeclHandler,
    )


def _is_usual(xmlstream: Any) -> bool:
    """Whether stanzas go from this stream's parser to its observers, and to nobody else."""
    stream = getattr(xmlstream, "stream", None)
    if not isinstance(xmlstream, XmlStream) or type(stream) is not ExpatElementStream:
        return False
    return (
        # The root is open: the default namespace is that of stanzas.
        stream.defaultNsStack[1:2] == [xmlstream.namespace]
        and getattr(stream.ElementEvent, "__func__", None) is XishXmlStream.onElement
        and getattr(xmlstream.dispatch, "__func__", None) is EventDispatcher.dispatch
        and all(getattr(one, "__self__", None) is stream for one in _handlers_of(stream.parser))
        # A Twisted that counts a stanza's bytes elsewhere would take all that we take for one
        # endless stanza.
        and vars(stream).keys() - _COUNTERS == _STATE
        and hasattr(stream, "stanzaSize") == hasattr(stream, "maxStanzaSize")
    )
