"""One request on a transport in memory, whatever the pieces in which its answer comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.support.streams import outcome
from twisted_oob.errors import UploadFailed
from twisted_oob.files.put_request import PutRequest, request_head
from twisted_oob.files.urls import read_url


class Body:
    """In the place of an Outgoing."""

    def begin(self, transport, on_stop):
        transport.write(b"the body")
        self.stopped_by_transport = on_stop


class Transport(StringTransport):
    """A transport whose socket holds what the server said last."""

    unread = b""

    def doRead(self):
        data, self.unread = self.unread, b""
        self.protocol.dataReceived(data)


def requesting():
    request, transport = PutRequest(b"the head ", Body()), Transport()
    transport.protocol = request
    request.makeConnection(transport)
    return request, transport


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_an_answer_is_the_same_in_any_pieces(data):
    said = (
        b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 413 Too Large\r\nC: d\r\n\r\nHTTP/1.1 201 X"
    )
    request, _ = requesting()
    while said:
        size = data.draw(st.integers(1, len(said)))
        request.dataReceived(said[:size])
        said = said[size:]
    assert outcome(request.answer) == (413, b"Too Large")


def test_the_head_goes_before_the_body():
    _, transport = requesting()
    assert transport.value() == b"the head the body"


def test_the_last_words_of_a_server_are_read_when_a_write_finds_the_connection_closed():
    request, transport = requesting()
    transport.unread = b"HTTP/1.1 413 Too Large\r\n\r\n"
    # Twisted does so before it closes a socket.
    request._body.stopped_by_transport()
    request.connectionLost(Failure(ConnectionLost()))
    assert outcome(request.answer) == (413, b"Too Large")


@pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 201 Created\r\nServer: x\r\n"])
def test_a_connection_that_ends_before_the_answer_is_its_error(said, reason):
    request, _ = requesting()
    request.dataReceived(said)
    request.connectionLost(Failure(reason))
    assert outcome(request.answer) is reason


@pytest.mark.parametrize("said", [b"I", b"\0", b"HTTX", b"HTTP/1.1 2xx\r\n\r\n", b"HTTP/1.1\n\n"])
def test_what_can_become_no_answer_is_told_at_once(said):
    request, _ = requesting()
    request.dataReceived(said)
    assert isinstance(outcome(request.answer), UploadFailed)
    # It may go on as long as it likes.
    request.dataReceived(said)
    request.connectionLost(Failure(ConnectionDone()))


def test_without_a_socket_nobody_knows_what_is_confirmed():
    request, transport = requesting()
    transport.getHandle = lambda: None
    assert request.acknowledged() == 0


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://files.example/a", "files.example"),
        ("https://files.example:443/a", "files.example"),
        ("https://files.example:8443/a", "files.example:8443"),
        ("http://[2001:db8::1]:81/a", "[2001:db8::1]:81"),
    ],
)
def test_the_host_is_that_of_the_url(url, host):
    head = request_head(read_url(url), 7, "image/jpeg", [], user_agent="mine/1 (+x)")
    lines = head.decode().split("\r\n")
    assert lines[:2] == ["PUT /a HTTP/1.1", f"Host: {host}"]
    assert {"Content-Length: 7", "User-Agent: mine/1 (+x)", "Connection: close"} < set(lines)
    assert lines[-2:] == ["", ""]


def test_the_request_target_is_the_urls_own():
    target = read_url("https://files.example//a;/../b?")
    head = request_head(target, 0, "text/plain", [], user_agent="x")
    assert head.startswith(b"PUT //a;/../b? HTTP/1.1\r\n")


def test_an_answer_in_single_bytes_costs_linear_time():
    request, _ = requesting()
    for byte in b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 40_000:
        request.dataReceived(bytes([byte]))
    request.dataReceived(b"\r\n")
    assert outcome(request.answer) == (200, b"OK")
