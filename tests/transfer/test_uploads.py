"""Uploading: what is asked, what is put, and what is given away; and that nothing is left."""

from __future__ import annotations

import os
from ipaddress import ip_network

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import ConnectionLost
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from tests.support.fetching import descriptors_in, ends_of, failure_of, step
from tests.support.hostile_http import answer
from tests.support.put_server import CREATED
from tests.support.slot_service import (
    COMPONENT,
    DOMAIN,
    INFO,
    ITEMS,
    ME,
    NS,
    SILENCE,
    UPLOAD,
    form,
    info,
    items,
    refusal,
)
from tests.support.waiting import until
from twisted_oob import (
    FileTooLarge,
    SlotRefused,
    StreamRefused,
    UploadFailed,
    UploadHandler,
    UploadService,
    UploadServiceNotFound,
)
from twisted_oob.files.source import SourceFile
from twisted_oob.testing import result_of


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(os.urandom(200_000))
    yield path
    assert descriptors_in(tmp_path) == []


# What is asked, and what is given away.


@pytest.mark.parametrize("component", [False, True])
@step
async def test_a_file_is_uploaded(uploads, path, component):
    one = uploads(component=component)
    one.web.answers = [CREATED]
    told = []
    url = await one.handler.upload(path, on_progress=lambda *args: told.append(args))
    assert url == one.url
    [request] = one.slots.requests()
    assert request.attributes == {
        "filename": "photo.jpg",
        "size": "200000",
        "content-type": "image/jpeg",
    }
    [connection] = one.web.connections
    assert connection.body == path.read_bytes()
    assert connection.line == "PUT /slot/a.bin?sig=secret HTTP/1.1"
    assert connection.headers["content-type"] == "image/jpeg"
    assert told[-1] == (200_000, 200_000)


@pytest.mark.parametrize(
    ("given", "name", "media_type"),
    [
        ({"name": "other.png"}, "other.png", "image/png"),
        ({"name": "/a/b/other.bin"}, "other.bin", "application/octet-stream"),
        ({"media_type": "Audio/OGG"}, "photo.jpg", "audio/ogg"),
        ({"name": "a\nb\0.txt", "media_type": "text/csv"}, "a_b_.txt", "text/csv"),
        ({"name": "\N{CAT} & <'\">.gif"}, "\N{CAT} & <'\">.gif", "image/gif"),
    ],
)
@step
async def test_a_name_and_a_type_can_be_given(uploads, path, given, name, media_type):
    one = uploads()
    one.web.answers = [CREATED]
    await one.handler.upload(str(path), **given)
    [request] = one.slots.requests()
    assert (request["filename"], request["content-type"]) == (name, media_type)
    assert one.web.connections[0].headers["content-type"] == media_type


@step
async def test_an_open_file_stays_open(uploads, path):
    one = uploads()
    one.web.answers = [CREATED]
    source = SourceFile(path)
    path.unlink()
    await one.handler.upload(source)
    assert not source.closed
    source.close()
    error = await failure_of(one.handler.upload(source), ValueError)
    assert str(error) == f"{path} is closed"


@step
async def test_an_empty_file_is_a_file(uploads, tmp_path):
    one = uploads()
    one.web.answers = [CREATED]
    (tmp_path / "empty").touch()
    assert await one.handler.upload(tmp_path / "empty") == one.url
    assert one.web.connections[0].headers["content-length"] == "0"


@step
async def test_several_uploads_go_side_by_side(uploads, path):
    one = uploads()
    one.web.answers = [CREATED] * 5
    urls = await gatherResults([one.handler.upload(path) for _ in range(5)])
    assert urls == [one.url] * 5
    assert len(one.slots.requests()) == 5
    assert [payload.uri for payload in one.domain.asked] == [INFO, ITEMS]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"name": ""}, ValueError, "name must not be empty"),
        ({"name": 5}, TypeError, "name must be a str, not int"),
        ({"media_type": "text"}, ValueError, "media_type must be a media type"),
        ({"media_type": "a/b\r\nX: y"}, ValueError, "media_type must be a media type"),
        ({"on_progress": 5}, TypeError, "on_progress must be callable"),
        ({"timeout": 0}, ValueError, "timeout must be a positive number"),
        ({"timeout": "5"}, TypeError, "timeout must be a positive number"),
        ({"path": 5}, TypeError, "path must be a path, not int"),
    ],
)
@step
async def test_a_wrong_argument_fails_at_once(uploads, path, arguments, error, text):
    one = uploads()
    failed = await failure_of(one.handler.upload(**({"path": path} | arguments)), error)
    assert text in str(failed)
    assert one.domain.asked == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"allow_networks": ["127.0.0.0/8"]}, TypeError),
        ({"deny_networks": "127.0.0.0/8"}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"stall_timeout": "5"}, TypeError),
        ({"allow_http": "no"}, TypeError),
        ({"ca_file": "/nowhere"}, OSError),
        ({"reactor": 5}, TypeError),
    ],
)
def test_a_wrong_option_is_an_error(options, error, uploads):
    options.setdefault("reactor", uploads().net)
    with pytest.raises(error):
        UploadHandler(**options)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: path.unlink(), FileNotFoundError),
        (lambda path: (path.unlink(), path.mkdir()), IsADirectoryError),
        (lambda path: (path.unlink(), os.mkfifo(path)), OSError),
    ],
)
@step
async def test_what_cant_be_opened_is_its_error(uploads, path, make, error):
    make(path)
    one = uploads()
    await failure_of(one.handler.upload(path), error)
    assert one.domain.asked == []


# The service.


@step
async def test_without_a_service_nothing_is_asked(uploads, path):
    one = uploads()
    one.domain.script[ITEMS] = items()
    assert await one.handler.find_service() is None
    await failure_of(one.handler.upload(path), UploadServiceNotFound)


@pytest.mark.parametrize(("limit", "fits"), [(199_999, False), (200_000, True), (None, True)])
@step
async def test_the_limit_is_checked_before_a_slot_is_asked_for(uploads, path, limit, fits):
    one = uploads()
    one.web.answers = [CREATED]
    one.slots.script[INFO] = info(*([] if limit is None else [form(limit)]))
    assert await one.handler.find_service() == UploadService(JID(UPLOAD), limit)
    if fits:
        await one.handler.upload(path)
    else:
        error = await failure_of(one.handler.upload(path), FileTooLarge)
        assert error.max_size == limit
    assert len(one.slots.requests()) == fits


@step
async def test_the_answer_is_kept_as_long_as_the_stream(uploads):
    one = uploads()
    first = [one.handler.find_service() for _ in range(3)]
    assert set(map(result_of, first)) == {UploadService(JID(UPLOAD))}
    assert result_of(one.handler.find_service()) == UploadService(JID(UPLOAD))
    assert len(one.domain.asked) == 2
    one.end.lose()
    one.domain.script[ITEMS] = items()
    one.end.open()
    assert result_of(one.handler.find_service()) is None
    assert result_of(one.handler.find_service()) is None
    assert len(one.domain.asked) == 4


@step
async def test_silence_is_not_kept(uploads):
    one = uploads()
    one.slots.script[INFO] = [SILENCE, info()]
    finding = one.handler.find_service()
    one.clock.advance(3)
    assert result_of(finding) is None
    assert result_of(one.handler.find_service()) == UploadService(JID(UPLOAD))


@step
async def test_who_waits_for_the_service_can_leave(uploads):
    one = uploads()
    one.slots.script[INFO] = [SILENCE, info()]
    first, second = one.handler.find_service(), one.handler.find_service()
    first.cancel()
    await failure_of(first, CancelledError)
    assert not ends_of(second)
    second.cancel()
    await failure_of(second, CancelledError)
    assert one.clock.getDelayedCalls() == []
    assert result_of(one.handler.find_service()) == UploadService(JID(UPLOAD))


@step
async def test_one_who_hears_of_the_service_can_let_another_leave(uploads):
    one = uploads()
    one.slots.script[INFO] = [SILENCE, info()]
    first, second = one.handler.find_service(), one.handler.find_service()
    first.addCallback(lambda _: second.cancel())
    one.clock.advance(3)
    assert result_of(first) is None
    await failure_of(second, CancelledError)


@step
async def test_a_stream_that_is_lost_ends_the_search(uploads):
    one = uploads()
    one.slots.script[INFO] = SILENCE
    finding = [one.handler.find_service() for _ in range(2)]
    one.end.lose()
    for each in finding:
        await failure_of(each, ConnectionLost)


@step
async def test_without_a_stream_it_waits_for_one(uploads, path):
    one = uploads(connected=False)
    one.web.answers = [CREATED]
    uploading, finding = one.handler.upload(path), one.handler.find_service()
    assert not ends_of(uploading)
    one.end.open()
    assert await uploading == one.url
    assert result_of(finding) == UploadService(JID(UPLOAD))


@step
async def test_without_a_stream_it_does_not_wait_for_ever(uploads, path):
    one = uploads(connected=False, timeout=50)
    uploading, finding = one.handler.upload(path, timeout=40), one.handler.find_service()
    one.clock.advance(40)
    await failure_of(uploading, IQTimeoutError)
    assert not ends_of(finding)
    one.clock.advance(10)
    await failure_of(finding, IQTimeoutError)


@step
async def test_a_stream_that_is_refused_fails_it(uploads, path):
    one = uploads(connected=False)
    uploading = one.handler.upload(path)
    one.handler.stream_refused(StreamRefused("no such account"))
    await failure_of(uploading, StreamRefused)


def test_a_component_asks_the_domain_after_its_first_label(uploads):
    one = uploads(component=True)
    assert result_of(one.handler.find_service()) == UploadService(JID(UPLOAD))
    assert {stanza["to"] for stanza in one.end.sent()} == {DOMAIN, UPLOAD}
    assert one.end.jid.full() == COMPONENT


# Slots.


@pytest.mark.parametrize("limit", [None, 1000])
@step
async def test_a_service_that_says_too_large(uploads, path, limit):
    one = uploads()
    size = "" if limit is None else f"<max-file-size>{limit}</max-file-size>"
    one.slots.script["request"] = refusal(
        "not-acceptable", "modify", f"<file-too-large xmlns='{NS}'>{size}</file-too-large>"
    )
    error = await failure_of(one.handler.upload(path), FileTooLarge)
    assert error.max_size == limit


@pytest.mark.parametrize(
    ("condition", "text"), [("not-allowed", "not for you"), ("forbidden", ""), ("bad-request", "")]
)
@step
async def test_a_service_that_refuses(uploads, path, condition, text):
    one = uploads()
    one.slots.script["request"] = refusal(condition, text=text)
    error = await failure_of(one.handler.upload(path), SlotRefused)
    assert (error.condition, error.text, error.retry) == (condition, text or None, None)
    assert len(one.slots.requests()) == 1


@pytest.mark.parametrize("status", [401, 403, 409, 410, 413])
@step
async def test_a_slot_that_is_gone_gets_one_new_one(uploads, path, status):
    gone = answer(b"", status=f"{status} Gone")
    one = uploads()
    one.slots.script["request"] = [one.slot(path=f"/slot/{n}.bin") for n in (1, 2)]
    one.web.answers = [gone, CREATED]
    assert await one.handler.upload(path) == one.web.url("/slot/2.bin")
    assert len(one.slots.requests()) == 2
    one.slots.script["request"] = one.slot
    one.web.answers = [gone, gone, CREATED]
    error = await failure_of(one.handler.upload(path), UploadFailed)
    assert error.status == status
    assert len(one.slots.requests()) == 4


@pytest.mark.parametrize("status", [204, 302, 400, 404, 411, 500, 503])
@step
async def test_any_other_status_gets_no_new_slot(uploads, path, status):
    one = uploads()
    one.web.answers = [answer(b"", "Location: /other", status=f"{status} What")]
    error = await failure_of(one.handler.upload(path), UploadFailed)
    assert error.status == status
    assert len(one.slots.requests()) == len(one.web.connections) == 1


@step
async def test_networks_can_be_allowed_later(uploads, path):
    one = uploads(allow_networks=())
    error = await failure_of(one.handler.upload(path), UploadFailed)
    assert error.status is None
    assert "allow_networks" in error.text
    one.handler.allow_networks = uploads().handler.allow_networks
    one.web.answers = [CREATED]
    assert await one.handler.upload(path) == one.url


@step
async def test_a_denied_network_stays_denied(uploads, path):
    one = uploads(deny_networks=(ip_network("127.0.0.1/32"),))
    error = await failure_of(one.handler.upload(path), UploadFailed)
    assert "127.0.0.1 is in a denied network" in error.text
    assert one.web.connections == []


# Cancelling.


@pytest.mark.parametrize("where", ["stream", "service", "slot", "wait", "answer"])
@step
async def test_to_cancel_leaves_nothing(uploads, path, where):
    one = uploads(connected=where != "stream")
    if where == "service":
        one.slots.script[INFO] = SILENCE
    elif where == "slot":
        one.slots.script["request"] = SILENCE
    elif where == "wait":
        one.slots.script["request"] = refusal("resource-constraint", "wait")
    uploading = one.handler.upload(path)
    if where == "answer":
        connection = await one.web.arrivals.get()
    uploading.cancel()
    await failure_of(uploading, CancelledError)
    assert one.clock.getDelayedCalls() == []
    if where == "answer":
        await connection.lost
        assert connection.aborted


@step
async def test_to_cancel_in_the_middle_closes_the_connection(uploads, tmp_path):
    one = uploads()
    large = tmp_path / "large"
    large.write_bytes(b"")
    os.truncate(large, 1 << 30)
    one.web.begins = begins = Deferred()
    uploading = one.handler.upload(large)
    connection = await begins
    uploading.cancel()
    await failure_of(uploading, CancelledError)
    await connection.lost
    assert connection.aborted
    # A thread may read the last piece.
    await until(lambda: descriptors_in(tmp_path) == [])


def test_its_address_is_that_of_the_stream(uploads):
    assert uploads().handler.me == JID(ME)
