"""Times in stanzas, and when a stanza was first sent."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.written import arrived
from twisted_oob.xmpp.times import delayed_since, is_delayed, read_stamp


def delay(stamp):
    return f"<delay xmlns='urn:xmpp:delay' from='example.net' stamp='{stamp}'>Offline</delay>"


def legacy(stamp):
    return f"<x xmlns='jabber:x:delay' from='example.net' stamp='{stamp}'/>"


def at(*parts):
    return datetime(*parts, tzinfo=timezone.utc)


STAMPS = {
    "in UTC": ([delay("2026-11-26T06:07:08Z")], at(2026, 11, 26, 6, 7, 8)),
    "with a part of a second": ([delay("2026-11-26T06:07:08.25Z")], at(2026, 11, 26, 6, 7, 8)),
    "with an offset": ([delay("2026-11-26T01:07:08-05:30")], at(2026, 11, 26, 6, 37, 8)),
    "without a zone": ([delay("2026-11-26T06:07:08")], at(2026, 11, 26, 6, 7, 8)),
    "the older form": ([legacy("20261126T06:07:08")], at(2026, 11, 26, 6, 7, 8)),
    "both": (
        [delay("2026-11-26T06:07:08Z"), legacy("20261126T06:07:08")],
        at(2026, 11, 26, 6, 7, 8),
    ),
    "several: the earliest": (
        [delay("2026-11-26T06:07:08Z"), delay("2026-11-25T06:07:08Z")],
        at(2026, 11, 25, 6, 7, 8),
    ),
    "one that can't be read beside one": (
        [delay("yesterday"), delay("2026-11-26T06:07:08Z")],
        at(2026, 11, 26, 6, 7, 8),
    ),
    "no delay": (["<body>2026-11-26T06:07:08Z</body>"], None),
    "no stamp": (["<delay xmlns='urn:xmpp:delay'/><x xmlns='jabber:x:delay'/>"], None),
    "of another namespace": (["<delay xmlns='urn:a' stamp='2026-11-26T06:07:08Z'/>"], None),
    "no such day": ([delay("2026-02-30T00:00:00Z"), legacy("20260230T00:00:00")], None),
    "no such time": ([delay("2026-02-03T25:00:00Z"), legacy("20260203T::::::::")], None),
    "before all time": ([delay("0001-01-01T00:00:00+10:00"), legacy("00000101T00:00:00")], None),
}


@pytest.mark.parametrize(("children", "stamp"), STAMPS.values(), ids=STAMPS)
@pytest.mark.parametrize("name", ["message", "presence"])
def test_delayed_since(children, stamp, name):
    stanza = arrived(*children, name=name)
    assert delayed_since(stanza) == stamp
    assert is_delayed(stanza) or stamp is None


@pytest.mark.parametrize(
    ("child", "delayed"),
    [
        (delay("yesterday"), True),
        ("<x xmlns='jabber:x:delay'/>", True),
        ("<delay xmlns='urn:a' stamp='2026-11-26T06:07:08Z'/>", False),
    ],
)
def test_a_delay_that_nobody_can_read_is_one(child, delayed):
    assert is_delayed(arrived(child)) is delayed


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_stamp_or_none(text):
    stamp = read_stamp(text)
    assert stamp is None or stamp.utcoffset() is not None
