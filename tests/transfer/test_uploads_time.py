"""What an upload waits for, and for how long."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from twisted.internet.task import deferLater
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from tests.support.fetching import ends_of, failure_of, step
from tests.support.hostile_http import answer
from tests.support.put_server import CREATED, heard_by_clients
from tests.support.slot_service import INFO, NS, SILENCE, refusal
from twisted_oob import SlotRefused, UploadFailed


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"data")
    return path


def retry(seconds, condition="resource-constraint", kind="wait", zone="Z"):
    """A refusal that says when to ask again."""
    now = datetime.now(timezone.utc)
    if zone != "Z":
        now = now.astimezone(timezone(timedelta(hours=int(zone))))
    stamp = (now + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    stamp += zone if zone == "Z" else f"{zone}:00"
    return refusal(condition, kind, f"<retry xmlns='{NS}' stamp='{stamp}'/>")


@pytest.mark.parametrize("kind", ["wait", "cancel"])
@pytest.mark.parametrize("zone", ["Z", "+05", "-11"])
@step
async def test_it_waits_until_the_stamp(uploads, path, kind, zone):
    one = uploads()
    one.web.answers = [CREATED]
    one.slots.script["request"] = [retry(100, kind=kind, zone=zone), one.slot()]
    uploading = one.handler.upload(path)
    one.clock.advance(98)
    assert len(one.slots.requests()) == 1
    one.clock.advance(2)
    assert len(one.slots.requests()) == 2
    assert await uploading == one.url


@pytest.mark.parametrize("wait", [101, 10**6])
@step
async def test_a_stamp_beyond_the_timeout_fails_at_once(uploads, path, wait):
    one = uploads()
    one.slots.script["request"] = retry(wait)
    error = await failure_of(one.handler.upload(path, timeout=100), SlotRefused)
    assert error.condition == "resource-constraint"
    assert wait - 1 < error.retry <= wait
    assert len(one.slots.requests()) == 1


@step
async def test_type_wait_without_a_stamp_is_asked_again_a_few_times(uploads, path):
    one = uploads()
    one.slots.script["request"] = refusal("resource-constraint", "wait", text="quota reached")
    uploading = one.handler.upload(path)
    for seconds, requests in ((1.9, 1), (0.1, 2), (4.9, 2), (0.1, 3), (9.9, 3), (0.1, 4)):
        one.clock.advance(seconds)
        assert len(one.slots.requests()) == requests
    error = await failure_of(uploading, SlotRefused)
    assert (error.condition, error.text) == ("resource-constraint", "quota reached")
    assert error.retry is None


@step
async def test_a_stamp_that_has_passed_is_no_reason_to_ask_without_end(uploads, path):
    one = uploads()
    one.slots.script["request"] = lambda _: retry(-100)
    uploading = one.handler.upload(path)
    one.clock.advance(2)
    one.clock.advance(5)
    one.clock.advance(10)
    error = await failure_of(uploading, SlotRefused)
    assert error.retry == 0
    assert len(one.slots.requests()) == 4


@step
async def test_a_wait_beyond_the_timeout_fails_at_once(uploads, path):
    one = uploads(timeout=2)
    one.slots.script["request"] = refusal("resource-constraint", "wait")
    await failure_of(one.handler.upload(path), SlotRefused)


@step
async def test_a_slot_comes_within_the_stall_timeout_or_not_at_all(uploads, path):
    one = uploads(stall_timeout=20)
    one.slots.script["request"] = SILENCE
    uploading = one.handler.upload(path)
    ends = ends_of(uploading)
    one.clock.advance(19)
    assert not ends
    one.clock.advance(1)
    await failure_of(uploading, IQTimeoutError)


@step
async def test_a_service_is_found_within_the_timeout_or_not_at_all(uploads, path):
    one = uploads(timeout=2)
    one.slots.script[INFO] = SILENCE
    uploading = one.handler.upload(path)
    one.clock.advance(2)
    error = await failure_of(uploading, IQTimeoutError)
    assert str(error) == "no slot for the file after 2 s"


@step
async def test_the_whole_upload_has_a_limit(uploads, path, monkeypatch):
    heard = heard_by_clients(monkeypatch)
    one = uploads(stall_timeout=20)
    uploading = one.handler.upload(path, timeout=50)
    connection = await one.web.arrivals.get()
    ends = ends_of(uploading)
    for _ in range(3):
        one.clock.advance(16)
        connection.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await heard.get()
    assert not ends
    one.clock.advance(2)
    error = await failure_of(uploading, UploadFailed)
    assert (error.status, error.text) == (
        None,
        "the server did not have the whole file after 50 s",
    )
    await connection.lost
    assert connection.aborted


@step
async def test_a_server_without_an_answer_is_a_stall(uploads, path):
    one = uploads(stall_timeout=20)
    uploading = one.handler.upload(path)
    connection = await one.web.arrivals.get()
    one.clock.advance(19)
    assert not ends_of(uploading)
    one.clock.advance(1)
    error = await failure_of(uploading, UploadFailed)
    assert (error.status, error.text) == (None, "no byte went or came for 20 s")
    await connection.lost
    assert connection.aborted
    assert len(one.slots.requests()) == 1


@step
async def test_a_second_slot_that_does_not_come_in_time(uploads, path):
    one = uploads(stall_timeout=90)
    one.slots.script["request"] = [one.slot(), SILENCE]
    one.web.answers = [answer(b"", status="409 Conflict")]
    uploading = one.handler.upload(path, timeout=50)
    while len(one.slots.requests()) < 2:
        await deferLater(one.web.reactor.real, 0.001)
    one.clock.advance(50)
    error = await failure_of(uploading, IQTimeoutError)
    assert str(error) == "no slot for the file after 50 s"


@step
async def test_an_upload_may_wait_longer_for_a_stream_than_the_handler(uploads, path):
    one = uploads(connected=False, timeout=10)
    uploading = one.handler.upload(path, timeout=50)
    ends = ends_of(uploading)
    one.clock.advance(49)
    assert not ends
    one.clock.advance(1)
    await failure_of(uploading, IQTimeoutError)
