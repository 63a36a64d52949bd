"""The tap of a parser: what it hears and gives back, and that it takes nothing that it must not."""

from __future__ import annotations

import re
from functools import partial

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.words.protocols.jabber import xmlstream
from twisted.words.xish.domish import ExpatElementStream

from tests.support.direct_runs import HANDLERS, Run, both_sockets, hooks, offer, result
from tests.support.streams import PEER, URL, ClientWire, Direct, InternalWire, outcome, query
from twisted_oob import OOBHandler
from twisted_oob.xmpp.parser_tap import Handlers, ParserTap


class Listener:
    """Takes each ``<mine/>`` and what is in it, and passes everything else on at once."""

    def __init__(self, tap):
        self.tap = tap
        self.taken = []
        self.listening = False
        self.inside = False
        forward = tap.ordinary
        tap.listen(
            Handlers(
                self.start,
                self.end,
                lambda text: None if self.inside else forward.text(text),
                forward.start_namespace,
                forward.end_namespace,
            ),
            self.resumed,
        )

    def resumed(self):
        self.listening = True

    def start(self, name, attributes):
        if self.listening and name == f"{self.tap.namespace} mine":
            self.inside = True
            return
        if self.listening:
            self.listening = False
            self.tap.pass_on()
        self.tap.ordinary.start(name, attributes)

    def end(self, name):
        if self.inside:
            self.inside = False
            self.taken.append(name)
            self.tap.stanza_taken()
        else:
            self.tap.ordinary.end(name)

    def close(self):
        self.listening = False
        self.tap.close()


@pytest.fixture
def end():
    made = ClientWire()
    made.open()
    return made


@pytest.fixture
def seen(end):
    """The names of the stanzas that an observer saw."""
    names = []
    end.xmlstream.addObserver("/*", lambda element: names.append(element.name))
    return names


def test_listener_takes_a_stanza_and_passes_others_on(end, seen):
    listener = Listener(ParserTap.of(end.xmlstream))
    end.receive("<mine>text</mine><other><mine/></other><mine/>")
    assert listener.taken == ["jabber:client mine"] * 2
    assert seen == ["other"]


def test_nothing_is_changed_before_it_listens(end):
    found = hooks(end.xmlstream.stream)
    tap = ParserTap.of(end.xmlstream)
    assert hooks(end.xmlstream.stream) == found
    assert tap.namespace == "jabber:client"
    assert list(tap.ordinary) == found[:5]


def test_stream_is_as_it_was_after_close(end, seen):
    found = hooks(end.xmlstream.stream)
    listener = Listener(ParserTap.of(end.xmlstream))
    assert hooks(end.xmlstream.stream) != found
    listener.close()
    assert hooks(end.xmlstream.stream) == found
    end.receive("<mine/>")
    assert (listener.taken, seen) == ([], ["mine"])


def test_tap_that_never_listened_can_be_closed(end, seen):
    found = hooks(end.xmlstream.stream)
    ParserTap.of(end.xmlstream).close()
    assert hooks(end.xmlstream.stream) == found
    end.receive("<mine/>")
    assert seen == ["mine"]


def test_stanza_taken_sets_the_count_of_twisted_back_if_it_counts(end):
    stream = end.xmlstream.stream
    counts = hasattr(stream, "stanzaSize")
    tap = ParserTap.of(end.xmlstream)
    if counts:
        stream.stanzaSize = 77
    tap.stanza_taken()
    assert vars(stream).get("stanzaSize") == (0 if counts else None)
    assert ParserTap.of(end.xmlstream) is not None


def test_listening_begins_at_the_end_of_the_current_stanza(end, seen):
    end.receive("<other><mine>")
    listener = Listener(ParserTap.of(end.xmlstream))
    assert not listener.listening
    end.receive("</mine></other><mine/>")
    assert (listener.taken, seen) == (["jabber:client mine"], ["other"])


@pytest.mark.skipif(
    not hasattr(ExpatElementStream, "maxStanzaSize"), reason="no limit to count for"
)
def test_bytes_of_a_taken_stanza_are_not_counted(end, seen):
    end.xmlstream.stream.maxStanzaSize = 100
    listener = Listener(ParserTap.of(end.xmlstream))
    for _ in range(20):
        end.receive("<mine/>" * 10)
    assert len(listener.taken) == 200
    end.receive(f"<mine a='{'a' * 100}'")
    assert end.transport.disconnecting


# Where it can't listen.


def test_only_a_stream_of_twisteds_own_is_tapped(end):
    internal = InternalWire()
    internal.open()
    assert ParserTap.of(internal.xmlstream) is None
    assert ParserTap.of(None) is None
    assert ParserTap.of(object()) is None
    end.lose()
    assert ParserTap.of(end.xmlstream) is None


def test_a_stream_without_its_header_is_not_tapped():
    end = ClientWire()
    end.connect()
    assert ParserTap.of(end.xmlstream) is None


class Without:
    """Any object, but for one attribute."""

    def __init__(self, original, missing, kind):
        self.__dict__.update(_original=original, _missing=missing, _kind=kind)

    @property
    def __class__(self):
        return self._kind

    def __getattr__(self, name):
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._original, name)


ATTRIBUTES = ["currElem", "defaultNsStack", "ElementEvent", "parser", "stanzaSize"]


@both_sockets
@pytest.mark.parametrize("missing", ATTRIBUTES)
def test_parser_without_an_attribute_means_the_ordinary_way(wire, missing):
    if missing == "stanzaSize" and not hasattr(ExpatElementStream, "maxStanzaSize"):
        pytest.skip("this Twisted does not have it")
    end = wire()
    end.open()
    stream = end.xmlstream.stream
    value = vars(stream).pop(missing)
    offers = []
    made = Direct(offers.append, reactor=Clock())
    waiting = made.send_url(PEER, URL)
    made.setHandlerParent(end.manager)
    setattr(stream, missing, value)
    end.answer(end.sent_one())
    assert outcome(waiting) is None
    seen = []
    end.xmlstream.addObserver("/iq", seen.append)
    end.offer()
    assert len(offers) == len(seen) == 1


@pytest.mark.parametrize("missing", ["namespace", "stream", "setDispatchFn", "dispatch"])
def test_a_stream_without_an_attribute_is_not_tapped(end, missing):
    stand_in = Without(end.xmlstream, missing, xmlstream.XmlStream)
    assert ParserTap.of(Without(end.xmlstream, "nothing", xmlstream.XmlStream)) is not None
    assert ParserTap.of(stand_in) is None


@pytest.mark.parametrize("place", ["ElementEvent", "dispatch", *HANDLERS])
def test_a_stream_that_somebody_else_has_a_hand_in_is_not_tapped(end, place):
    stream = end.xmlstream.stream
    owner = {"ElementEvent": stream, "dispatch": end.xmlstream}.get(place, stream.parser)
    original = getattr(owner, place)
    setattr(owner, place, partial(original))
    assert ParserTap.of(end.xmlstream) is None
    setattr(owner, place, original)
    assert ParserTap.of(end.xmlstream) is not None


def test_only_an_xmlstream_of_twisted_words_is_tapped(end):
    """Not what merely looks like one."""
    assert ParserTap.of(Without(end.xmlstream, "nothing", object)) is None


def test_reason_that_a_stream_cannot_be_tapped_is_logged_at_debug(end, log):
    assert ParserTap.of(Without(end.xmlstream, "setDispatchFn", xmlstream.XmlStream)) is None
    (event,) = log.ours()
    assert event["log_level"] is LogLevel.debug
    assert "setDispatchFn" in formatEvent(event)


@pytest.mark.parametrize("missing", HANDLERS)
def test_a_parser_without_a_handler_is_not_tapped(end, missing):
    end.xmlstream.stream.parser = Without(end.xmlstream.stream.parser, missing, object)
    assert ParserTap.of(end.xmlstream) is None


# Somebody else has a hand in the stream after us.

SCENE = (
    offer("https://files.example/one")
    + f"<message from='{PEER}'><body>hello</body></message>"
    + result()
    + offer(children=f"{query('https://files.example/two')} ")
    + offer("https://files.example/three")
)
PLACES = sorted({0} | {match.end() for match in re.finditer("[<>]", SCENE)})


def wrap_dispatch(run, seen):
    """Put a dispatch function around the one that is there."""
    ours = run.stream.ElementEvent

    def dispatch(element):
        seen.append(element.name)
        ours(element)

    run.xmlstream.setDispatchFn(dispatch)


def wrap_handlers(names):
    """Make what puts expat handlers around those that are there."""

    def wrap(run, seen):
        for name in names:
            ours = getattr(run.stream.parser, name)

            def handler(*event, ours=ours):
                seen.append(event)
                ours(*event)

            setattr(run.stream.parser, name, handler)

    return wrap


WRAPPERS = {
    "dispatch": wrap_dispatch,
    "all handlers": wrap_handlers(HANDLERS),
    **{name: wrap_handlers([name]) for name in HANDLERS},
}


def played(wrap, place, then=lambda run: None):
    """Give a run of SCENE with somebody wrapping something at a place; also what that saw."""
    run, seen = Run(Direct), []
    data = run.data(SCENE)
    run.receive(data[:place])
    wrap(run, seen)
    then(run)
    run.receive(data[place:])
    return run, seen


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_wrapping_our_handlers_changes_nothing_for_anybody(wrap):
    plain = Run(OOBHandler).play(SCENE).outcome()
    for place in PLACES:
        run, _seen = played(wrap, place)
        assert run.outcome() == plain, place


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_nothing_is_taken_after_close_even_if_our_handlers_are_wrapped(wrap):
    for place in PLACES:
        run, seen = played(wrap, place, Run.do_disown)
        others = Run(OOBHandler)
        data = others.data(SCENE)
        others.receive(data[:place])
        others.do_disown()
        others.receive(data[place:])
        assert run.outcome() == others.outcome(), place
        before = hooks(run.stream)
        seen.clear()
        run.play(SCENE)
        assert seen
        assert hooks(run.stream) == before
        assert [element[1][1] for element in run.seen][-5:] == ["iq", "message", "iq", "iq", "iq"]


@pytest.mark.parametrize("name", HANDLERS)
def test_handlers_of_others_stay_where_they_put_them(name):
    run, _seen = played(wrap_handlers([name]), 0)
    theirs = getattr(run.stream.parser, name)
    run.play(SCENE)
    run.do_disown()
    assert getattr(run.stream.parser, name) is theirs


def test_listener_goes_on_once_others_have_removed_their_handlers():
    run = Run(Direct)
    parser = run.stream.parser
    ours = [getattr(parser, name) for name in HANDLERS]
    wrap_handlers(HANDLERS)(run, [])
    run.play(offer() + "<presence/>")
    for name, handler in zip(HANDLERS, ours, strict=True):
        setattr(parser, name, handler)
    run.play("<presence/>")
    run.taken.clear()
    run.play(offer())
    assert run.taken == []
    assert len(run.calls) == 2


# What fails while it begins to listen.


class Stubborn:
    """A parser whose handlers can be read but not set."""

    def __init__(self, parser):
        self.__dict__["_parser"] = parser

    def __getattr__(self, name):
        return getattr(self._parser, name)

    def __setattr__(self, name, value):
        raise TypeError(f"{name} can't be set")


def strange_dispatch(xmlstream):
    def set_dispatch_fn(_function, _more):
        raise AssertionError("unreachable")

    xmlstream.setDispatchFn = set_dispatch_fn


def stubborn_parser(xmlstream):
    xmlstream.stream.parser = Stubborn(xmlstream.stream.parser)


def another_counter(xmlstream):
    """As if Twisted counted a stanza's bytes under another name."""
    xmlstream.stream.bytesOfStanza = 0


@both_sockets
@pytest.mark.parametrize("change", [strange_dispatch, stubborn_parser, another_counter])
def test_what_is_strange_means_the_ordinary_way_and_no_request_is_lost(wire, change):
    end = wire()
    end.open()
    change(end.xmlstream)
    found = hooks(end.xmlstream.stream)
    offers, seen = [], []
    made = Direct(offers.append, reactor=Clock())
    waiting = made.send_url(PEER, URL)
    made.setHandlerParent(end.manager)
    end.xmlstream.addObserver("/iq", seen.append)
    end.answer(end.sent_one())
    assert outcome(waiting) is None
    end.offer()
    assert len(offers) == 1
    assert len(seen) == 2
    assert hooks(end.xmlstream.stream) == found
    made.disownHandlerParent(end.manager)
    assert hooks(end.xmlstream.stream) == found
