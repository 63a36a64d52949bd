"""The status in a presence: who sees it, and how often it changes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from twisted.internet.task import Clock

from tests.support.streams import COMPONENT, ClientWire, ComponentWire, InternalWire, stanza
from twisted_oob import AllowList
from twisted_oob.xmpp.presence import MOMENT, PresenceHandler

FRIEND = "friend@home.example"
OTHER = "other@home.example"
BOT = f"bot@{COMPONENT}"


class Shown:
    """A handler on a stream in memory, with a clock, and what it shows."""

    def __init__(self, wire=ClientWire, *, status=None, allowed=("*",)):
        self.clock = Clock()
        self.handler = PresenceHandler(AllowList(allowed), reactor=self.clock)
        self.set = self.handler.set_status
        if status is not None:
            self.set(status)
        self.wire = wire()
        self.handler.setHandlerParent(self.wire.manager)
        self.wire.open()

    def statuses(self):
        """Give the status of each presence since the last look, and whom it was sent to."""
        return [
            (one.get("to"), one.findtext("{*}status"))
            for one in self.wire.sent()
            if one.tag.endswith("presence") and one.get("type") is None
        ]

    def texts(self):
        return [text for _, text in self.statuses()]

    def advance(self, seconds):
        """Let time pass; gives the texts that were sent to all meanwhile."""
        self.clock.advance(seconds)
        return self.texts()

    def receive(self, kind, sender=FRIEND, to=BOT):
        self.wire.receive(stanza("presence", type=kind, from_=sender, to=to))


def test_the_first_presence_has_the_status_beside_the_rest():
    shown = Shown(status="ready")
    presence = shown.wire.sent_one()
    assert [child.tag.partition("}")[2] or child.tag for child in presence] == ["status", "c"]
    assert presence.findtext("status") == "ready"


def test_without_a_status_there_is_none():
    assert Shown().texts() == [None]


@pytest.mark.parametrize("since", [0, 1, 60, 1000])
def test_the_first_change_of_a_stream_is_shown_with_all_that_comes_in_a_moment(since):
    shown = Shown(status="ready")
    shown.advance(since)
    for number in range(3):
        shown.set(f"busy {number}")
    assert shown.advance(MOMENT - 0.1) == []
    assert shown.advance(0.1) == ["busy 2"]
    assert shown.clock.getDelayedCalls() == []


def test_what_lasts_less_than_a_moment_is_not_shown():
    shown = Shown(status="ready")
    shown.texts()
    shown.set("busy")
    shown.clock.advance(MOMENT / 2)
    shown.set("ready")
    assert shown.advance(600) == []


def test_a_change_within_the_minute_waits_for_its_end_and_the_last_text_is_shown():
    shown = Shown(status="ready")
    shown.set("busy")
    assert shown.advance(MOMENT) == ["ready", "busy"]
    shown.clock.advance(20)
    for number in range(100):
        shown.set(f"busy {number}")
    assert len(shown.clock.getDelayedCalls()) == 1
    assert shown.advance(39) == []
    assert shown.advance(1) == ["busy 99"]
    shown.set("ready")
    assert shown.advance(59) == []
    assert shown.advance(1) == ["ready"]
    assert shown.clock.getDelayedCalls() == []


def test_what_is_as_it_was_is_not_shown_again():
    shown = Shown(status="ready")
    shown.texts()
    shown.set("ready")
    assert shown.clock.getDelayedCalls() == []
    shown.set("busy")
    shown.set("ready")
    assert shown.advance(60) == []
    shown.set("ready")
    assert shown.advance(600) == []
    assert shown.clock.getDelayedCalls() == []


def test_it_changes_at_most_once_a_minute_whatever_happens():
    shown = Shown(status="0")
    shown.texts()
    changes = []
    for second in range(600):
        shown.set(str(second))
        changes += [second for _ in shown.advance(1)]
    assert len(changes) == 10
    assert all(later - earlier >= 60 for earlier, later in pairwise(changes))


def test_a_new_stream_begins_with_what_it_is_now_and_has_no_timer_of_the_old_one():
    shown = Shown(status="ready")
    shown.texts()
    shown.set("busy")
    shown.wire.lose()
    assert shown.clock.getDelayedCalls() == []
    shown.set("very busy")
    assert shown.clock.getDelayedCalls() == []
    shown.wire.open()
    assert shown.texts() == ["very busy"]
    assert shown.advance(120) == []


@pytest.mark.parametrize(("later", "wait"), [("busy", 50), ("ready", 60)])
def test_a_new_stream_is_no_way_around_the_minute(later, wait):
    shown = Shown(status="ready")
    shown.set("busy")
    assert shown.advance(MOMENT) == ["ready", "busy"]
    shown.wire.lose()
    shown.clock.advance(10)
    shown.set(later)
    shown.wire.open()
    assert shown.texts() == [later]
    shown.set("other")
    assert shown.advance(wait - 1) == []
    assert shown.advance(1) == ["other"]


def test_a_status_can_be_taken_back():
    shown = Shown(status="ready")
    shown.texts()
    shown.set("")
    assert shown.advance(MOMENT) == [None]


def test_what_no_xml_can_hold_is_replaced_and_the_rest_is_escaped():
    shown = Shown(status="a\x00b\ud800c <&>")
    assert shown.texts() == ["a\ufffdb\ufffdc <&>"]


@pytest.mark.parametrize("text", [None, 3, b"ready"])
def test_what_is_no_text_is_named(text):
    with pytest.raises(TypeError, match=r"^text must be a str"):
        Shown().set(text)


def test_a_clock_that_is_set_back_does_not_make_it_wait_longer():
    shown = Shown(status="ready")
    shown.texts()
    shown.clock.rightNow -= 10_000
    shown.set("busy")
    assert shown.advance(60) == ["busy"]


# A component, which is its own server.


@pytest.fixture(params=[ComponentWire, InternalWire])
def component(request):
    """A component that shows that it is ready."""
    return Shown(request.param, status="ready")


def test_a_component_tells_those_whom_it_has_shown_its_presence(component):
    assert component.statuses() == []
    component.receive("subscribe")
    component.receive("probe", f"{OTHER}/phone", COMPONENT)
    assert component.statuses() == [(FRIEND, "ready"), (f"{OTHER}/phone", "ready")]
    component.set("busy")
    component.clock.advance(60)
    assert component.statuses() == [(FRIEND, "busy"), (OTHER, "busy")]


def test_a_component_tells_each_contact_once_from_each_address(component):
    for address in (BOT, f"{BOT}/r", COMPONENT):
        for sender in (FRIEND, f"{FRIEND}/a", f"{FRIEND}/b"):
            component.receive("probe", sender, address)
    component.texts()
    component.set("busy")
    component.clock.advance(60)
    assert [(one.get("from"), one.get("to")) for one in component.wire.sent()] == [
        (BOT, FRIEND),
        (COMPONENT, FRIEND),
    ]


def test_who_asks_within_the_minute_sees_what_the_others_see(component):
    component.receive("probe")
    component.set("busy")
    component.receive("probe", OTHER)
    assert component.texts() == ["ready", "ready"]
    component.set("ready")
    assert component.advance(60) == []


@pytest.mark.parametrize("kind", ["unsubscribe", "error"])
@pytest.mark.parametrize("sender", [FRIEND, f"{FRIEND}/phone"])
def test_who_leaves_or_is_not_there_is_told_no_more(component, kind, sender):
    component.receive("probe", sender)
    component.receive("probe", OTHER)
    component.receive(kind, sender)
    component.texts()
    component.set("busy")
    component.clock.advance(60)
    assert component.statuses() == [(OTHER, "busy")]


@pytest.mark.parametrize(("sender", "to"), [(None, BOT), (FRIEND, "@"), (OTHER, BOT), ("@", BOT)])
def test_an_error_of_somebody_else_changes_nothing(component, sender, to):
    component.receive("probe")
    component.receive("error", sender, to)
    component.texts()
    component.set("busy")
    assert component.advance(60) == ["busy"]


def test_who_is_not_allowed_sees_no_status():
    component = Shown(ComponentWire, status="ready", allowed=["far.example"])
    component.receive("probe")
    component.set("busy")
    assert component.advance(60) == []


def test_what_a_component_knows_of_a_stream_ends_with_it(component):
    component.receive("probe")
    component.wire.lose()
    component.wire.open()
    component.texts()
    component.set("busy")
    assert component.advance(60) == []


def test_whom_a_component_tells_is_bounded_and_those_who_asked_last_are(component):
    for number in (*range(500), 0, *range(500, 600)):
        component.receive("probe", f"friend{number}@home.example")
    component.texts()
    component.set("busy")
    component.clock.advance(60)
    told = [to for to, _ in component.statuses()]
    assert told == [
        f"friend{number}@home.example" for number in (*range(101, 500), 0, *range(500, 600))
    ]
