"""Putting a file: what goes over the wire, and what each way to end it leaves."""

from __future__ import annotations

import errno
import ipaddress
import os

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.support.certificates import server_options
from tests.support.fetching import end, ends_of, failure_of, step, told_by
from tests.support.hostile_http import answer, redirect, then_close
from tests.support.put_server import CREATED, PutServer, Timed, hangs_up, heard_by_clients
from twisted_oob.errors import UploadFailed
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.put import put
from twisted_oob.files.source import SourceFile
from twisted_oob.files.trust import HttpsTrust

LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
LARGE = 12_000_000  # bytes; more than the kernel takes before anybody reads
SECRET = "secret-of-the-slot"


@pytest.fixture
def timed(net, clock):
    timed = Timed(net, clock)
    timed.hosts = net.hosts
    return timed


@pytest_twisted.async_yield_fixture
async def web(net):
    web = PutServer(net)
    yield web
    await end(web)


@pytest.fixture
def file(tmp_path):
    """Makes an open file of these bytes."""
    sources = []

    def make(data, name="photo.jpg"):
        path = tmp_path / name
        path.write_bytes(data)
        sources.append(SourceFile(path))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


@pytest.fixture
def putting(timed):
    """Begins to put a file."""

    def begin(url, source, *, networks=LOOPBACK, ca_file=None, **options):
        options.setdefault("media_type", "image/jpeg")
        return put(
            timed,
            url,
            source,
            policy=FetchPolicy(allow_networks=networks, stall_timeout=30),
            tls_policy=HttpsTrust(ca_file),
            **options,
        )

    return begin


def slot_url(web, *, tls=False, **parts):
    url = web.url(f"/slot/photo.jpg?sig={SECRET}", **parts)
    return url.replace("http:", "https:") if tls else url


def tls_options(authority):
    return server_options(authority.issue("server", names=["127.0.0.1"]))


@pytest.mark.parametrize("size", [0, 1, 65_536, 524_287, 524_288, 524_289, 3_000_000])
@step
async def test_a_file_arrives_as_it_is(web, file, putting, size):
    data = os.urandom(size)
    web.answers = [CREATED]
    told = []
    done = putting(slot_url(web), file(data), on_progress=lambda *args: told.append(args))
    assert await done is None
    [connection] = web.connections
    assert connection.body == data
    assert connection.line == f"PUT /slot/photo.jpg?sig={SECRET} HTTP/1.1"
    assert connection.headers["content-length"] == str(size)
    assert connection.headers["content-type"] == "image/jpeg"
    assert connection.headers["host"] == f"127.0.0.1:{web.port}"
    assert "transfer-encoding" not in connection.headers
    assert told == sorted(set(told))
    assert told[-1] == (size, size)


@step
async def test_headers_go_in_their_order(web, file, putting):
    web.answers = [CREATED]
    given = [("Cookie", "a=1"), ("Authorization", "Bearer x"), ("Cookie", "b=ü"), ("Expires", "0")]
    await putting(slot_url(web), file(b"x"), headers=given)
    [connection] = web.connections
    assert [field for field in connection.fields if field in given] == given


@pytest.mark.parametrize(
    ("headers", "sent"),
    [([], "Basic bWU6cHc="), ([("Authorization", "Bearer x")], "Bearer x")],
)
@step
async def test_a_user_in_the_url_is_sent_unless_the_slot_says_otherwise(
    web, file, putting, headers, sent
):
    web.answers = [CREATED]
    await putting(slot_url(web).replace("http://", "http://me:pw@"), file(b"x"), headers=headers)
    fields = web.connections[0].fields
    assert [value for name, value in fields if name == "Authorization"] == [sent]


@pytest.mark.parametrize(
    "said",
    [
        CREATED,
        answer(b"", status="200 OK"),
        answer(b"<stored/>", "Content-Type: text/xml", status="201 Created"),
        answer(b"", status="201 Created", length=10**15),
        b"HTTP/1.1 201 Created\r\n\r\n",
        b"HTTP/1.0 201\r\n\r\n",
        b"HTTP/1.1 201 \n\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + CREATED,
    ],
)
@step
async def test_a_file_that_is_stored(web, file, putting, said):
    web.answers = [said]
    assert await putting(slot_url(web), file(b"data")) is None


@pytest.mark.parametrize(
    ("said", "status", "text"),
    [
        (answer(b"", status="204 No Content"), 204, "the server answered 204 No Content"),
        (answer(b"", status="500 Out of Cheese"), 500, "the server answered 500 Out of Cheese"),
        (answer(b"", status="599 "), 599, "the server answered 599"),
        (answer(b"", status=f"403 not {SECRET}"), 403, "the server answered 403 Forbidden"),
        (answer(b"", status="403 BEARER 8c1f"), 403, "the server answered 403 Forbidden"),
        (answer(b"", status="403 \x1b[31mred"), 403, "the server answered 403 Forbidden"),
        (answer(b"", status="404 " + "a b " * 99), 404, "the server answered 404 Not Found"),
        (redirect("http://127.0.0.1:1/"), 302, "the server answered 302 Found"),
        (redirect("/other", "307 Temporary"), 307, "the server answered 307 Temporary"),
        (answer(b"secret page", status="413 Too Large"), 413, "the server answered 413 Too Large"),
        (b"nonsense", None, "no proper answer from the server"),
        (b"HTTP/2 201 Created\r\n\r\n", None, "no proper answer from the server"),
        (b"HTTP/1.1 2010 Created\r\n\r\n", None, "no proper answer from the server"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", None, "no proper answer from the server"),
        (b"HTTP/1.1 600 What\r\n\r\n", None, "no proper answer from the server"),
        (b"HTTP/1.1 100 C\r\n\r\n" * 20_000, None, "the server's headers are too long"),
        (b"HTTP/1.1 201 C\r\nA: " + b"a" * 300_000, None, "the server's headers are too long"),
        (then_close(b"HTTP/1.1 201 Created\r\nA: b"), None, "no proper answer from the server"),
        (then_close(b""), None, "no proper answer from the server"),
    ],
)
@step
async def test_any_other_answer_is_a_failure(*, web, file, putting, said, status, text):
    web.answers = [said]
    sent = [("Authorization", "Bearer 8c1f")]
    error = await failure_of(putting(slot_url(web), file(b"data"), headers=sent), UploadFailed)
    assert error.status == status
    assert error.text.startswith(text)
    assert len(error.text) < 200
    assert SECRET not in told_by(error)
    assert "8c1f" not in told_by(error)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("reply", [answer, hangs_up], ids=["and reads on", "and hangs up"])
@step
async def test_an_answer_before_the_end_is_what_counts(
    *, net, authority, file, putting, reply, tls
):
    refused = answer(b"<html/>", status="413 Too Large")
    web = PutServer(net, tls=tls_options(authority) if tls else None)
    source = file(bytes(LARGE))
    for _ in range(8):
        web.early = [refused if reply is answer else hangs_up(refused)]
        done = putting(slot_url(web, tls=tls), source, ca_file=authority.file if tls else None)
        error = await failure_of(done, UploadFailed)
        assert (error.status, error.text) == (413, "the server answered 413 Too Large")
    await end(web)


@step
async def test_a_success_before_the_end_is_none(web, file, putting):
    web.early = [CREATED]
    error = await failure_of(putting(slot_url(web), file(bytes(LARGE))), UploadFailed)
    assert error.status == 201
    assert error.text == "the server answered 201 before it had the whole file"


@step
async def test_a_connection_that_breaks_in_the_middle(web, file, putting):
    web.early = [lambda connection: connection.transport.abortConnection()]
    error = await failure_of(putting(slot_url(web), file(bytes(LARGE))), UploadFailed)
    assert error.status is None
    assert error.text.startswith("no proper answer from the server (127.0.0.1, port ")


@step
async def test_a_file_that_got_shorter_aborts_the_connection(web, file, putting):
    source = file(bytes(LARGE))
    web.begins = begins = Deferred()
    web.early = [lambda connection: connection.transport.pauseProducing()]
    done = putting(slot_url(web), source)
    connection = await begins
    os.truncate(source.path, 1000)
    connection.transport.resumeProducing()
    error = await failure_of(done, UploadFailed)
    assert (error.status, error.text) == (None, "the file got shorter while it was sent")
    await connection.lost
    assert connection.aborted
    assert len(connection.body) < LARGE


@step
async def test_a_file_that_grew_is_sent_as_it_was(web, file, putting):
    source = file(b"as it was")
    with source.path.open("ab") as grows:
        grows.write(b" and more")
    web.answers = [CREATED]
    await putting(slot_url(web), source)
    assert web.connections[0].body == b"as it was"


@step
async def test_a_file_that_cant_be_read_is_its_error(web, file, putting, monkeypatch):
    source = file(b"data")

    def broken(*_args):
        raise OSError(5, "the disk is broken")

    monkeypatch.setattr(source, "read", broken)
    error = await failure_of(putting(slot_url(web), source), OSError)
    assert "the disk is broken" in str(error)


async def settled(reactor, told):
    """Wait until no more leaves, as the server does not read."""
    for _ in range(20):
        before = told[-1:]
        await deferLater(reactor, 0.002)
        if told[-1:] != before:
            return await settled(reactor, told)
    return told[-1]


@pytest.mark.parametrize("size", [10, LARGE], ids=["after all is sent", "in the middle"])
@step
async def test_silence_is_a_stall(web, file, putting, clock, size):
    web.begins = begins = Deferred()
    web.early = [lambda connection: connection.transport.pauseProducing()]
    told = []
    done = putting(slot_url(web), file(bytes(size)), on_progress=lambda *args: told.append(args))
    connection = await begins
    await settled(web.reactor, told)
    clock.advance(29)
    ends = ends_of(done)
    assert not ends
    clock.advance(1)
    error = await failure_of(done, UploadFailed)
    assert (error.status, error.text) == (None, "no byte went or came for 30 s")
    connection.transport.resumeProducing()


@pytest.mark.parametrize("tls", [False, True])
@step
async def test_bytes_that_the_server_confirms_put_a_stall_off(
    *, net, authority, file, putting, clock, tls
):
    web = PutServer(net, tls=tls_options(authority) if tls else None)
    web.hold_little()
    web.begins = begins = Deferred()
    web.early = [lambda connection: connection.transport.pauseProducing()]
    told = []
    source = file(bytes(200_000))
    done = putting(
        slot_url(web, tls=tls),
        source,
        ca_file=authority.file if tls else None,
        on_progress=lambda *args: told.append(args),
    )
    connection = await begins
    await settled(net, told)
    assert told[-1] == (source.size, source.size)
    ends = ends_of(done)
    clock.advance(29)
    connection.transport.resumeProducing()
    while not connection.ended:
        await deferLater(net, 0.001)
    # That was at 29 s, as far as anybody knows.
    for seconds in (1, 28):
        clock.advance(seconds)
        await settled(net, told)
        assert not ends
    # The system may have told later that the last bytes were confirmed: by the next look, at 4 s.
    for _ in range(5):
        if not ends:
            clock.advance(1)
            await settled(net, told)
    error = await failure_of(done, UploadFailed)
    assert error.text == "no byte went or came for 30 s"
    await end(web)


@step
async def test_interim_answers_put_a_stall_off(web, file, putting, clock, monkeypatch):
    heard = heard_by_clients(monkeypatch)
    done = putting(slot_url(web), file(b"data"))
    ends = ends_of(done)
    connection = await web.arrivals.get()
    for _ in range(3):
        clock.advance(29)
        connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await heard.get()
    assert not ends
    connection.write(CREATED)
    await done


@step
async def test_to_cancel_closes_the_connection_at_once(web, file, putting):
    web.begins = begins = Deferred()
    done = putting(slot_url(web), file(bytes(LARGE)))
    connection = await begins
    done.cancel()
    await failure_of(done, CancelledError)
    await connection.lost
    assert connection.aborted


@pytest.mark.parametrize(
    ("host", "networks"),
    [("127.0.0.1", ()), ("localhost", ()), ("127.0.0.1", LOOPBACK[1:])],
)
@step
async def test_a_forbidden_address_names_what_to_do(web, file, putting, host, networks):
    error = await failure_of(
        putting(slot_url(web, host=host), file(b"x"), networks=networks), UploadFailed
    )
    assert error.status is None
    assert error.text.count("allow_networks") == 1
    assert host in error.text
    assert web.connections == []


@pytest.mark.parametrize("url", ["ftp://files.example/", "nonsense", "http://a b/", "https://"])
@step
async def test_a_url_that_cant_be_used(net, file, putting, url):
    error = await failure_of(putting(url, file(b"x")), UploadFailed)
    assert error.text.startswith("the URL can't be used: ")


@step
async def test_a_server_that_isnt_there(web, file, putting):
    await web.stop()
    error = await failure_of(putting(slot_url(web), file(b"x")), UploadFailed)
    assert error.text == f"the server could not be reached (127.0.0.1, port {web.port})"


@step
async def test_a_certificate_of_an_unknown_authority(net, authority, file, putting):
    web = PutServer(net, tls=tls_options(authority))
    web.answers = [CREATED]
    url = slot_url(web, tls=True)
    error = await failure_of(putting(url, file(b"x")), UploadFailed)
    assert "ca_file" in error.text
    assert web.connections[0].request == b""
    await putting(url, file(b"over TLS"), ca_file=authority.file)
    assert web.connections[1].body == b"over TLS"
    await end(web)


@step
async def test_on_a_machine_without_roots_the_person_is_told_what_to_install(
    *, net, authority, file, putting, monkeypatch, tmp_path
):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "roots"))
    web = PutServer(net, tls=tls_options(authority))
    error = await failure_of(putting(slot_url(web, tls=True), file(b"x")), UploadFailed)
    assert "this machine has no CA roots" in error.text
    assert "install ca-certificates" in error.text
    await end(web)


@pytest.mark.parametrize("host", ["a_b.test", "ab--c.test", "files.test."])
@step
async def test_a_certificate_may_name_whatever_dns_can_have(net, authority, file, putting, host):
    net.hosts[host] = ["127.0.0.1"]
    web = PutServer(net, tls=server_options(authority.issue("x", names=[host.rstrip(".")])))
    web.answers = [CREATED]
    url = slot_url(web, tls=True, host=host)
    await putting(url, file(b"over TLS"), ca_file=authority.file)
    assert web.connections[0].body == b"over TLS"
    await end(web)


@pytest.mark.parametrize("status", ["201 Created", "500 Oops"])
@step
async def test_when_it_is_over_no_connection_is_left(web, file, putting, timed, status):
    web.answers = [answer(b"", status=status)]
    over = []
    putting(slot_url(web), file(b"x")).addBoth(lambda _: over.append(timed.open_sockets()))
    while not over:
        await deferLater(web.reactor, 0.001)
    assert timed.tried
    assert over == [0]


@step
async def test_when_descriptors_run_out_it_says_so(web, file, putting, timed):
    def fails(_host, _port, factory, **_options):
        factory.doStart()
        factory.clientConnectionFailed(None, Failure(ConnectError(errno.EMFILE)))

    timed.connectTCP = fails
    error = await failure_of(putting(slot_url(web), file(b"x")), UploadFailed)
    assert error.text == "this process has too many open files"


@step
async def test_a_callback_that_fails_does_no_harm(web, file, putting, log):
    def fails(*_args):
        raise RuntimeError("a mistake")

    web.answers = [CREATED]
    await putting(slot_url(web), file(b"x"), on_progress=fails)
    [mistake] = log.failures()
    assert str(mistake) == "a mistake"
