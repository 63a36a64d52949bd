"""FileShare: the service, its URLs, what may be added, and its end."""

from __future__ import annotations

import os
import socket

import pytest
import pytest_twisted
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock

from tests.support.fetching import descriptors_in
from tests.support.sharing import Answer, MemoryEndpoint, MemoryShare, NetShare, get, path_of
from twisted_oob import FileInfo, FileShare, SharedFile
from twisted_oob.errors import WrongType
from twisted_oob.files.source import SourceFile

CONTENT = b"what is shared"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def memory(tmp_path):
    memory = MemoryShare()
    yield memory
    memory.share.stopService()
    assert descriptors_in(tmp_path) == []


def share_at(address, **options):
    share = FileShare(MemoryEndpoint(address), reactor=Clock(), **options)
    share.startService()
    return share


def result_of(deferred):
    found = []
    deferred.addBoth(found.append)
    return found


# --- URLs


def test_a_url_has_the_port_a_token_and_the_name(memory, path):
    shared, other = memory.share.add(path), memory.share.add(path)
    assert isinstance(shared, SharedFile)
    scheme, _, host, token, name = shared.url.split("/")
    assert (scheme, host, name) == ("http:", "127.0.0.1:8080", "file.txt")
    assert len(token) == 22
    assert token not in other.url


@pytest.mark.parametrize(
    ("address", "begin"),
    [
        (IPv4Address("TCP", "192.0.2.7", 80), "http://192.0.2.7:80/"),
        (IPv4Address("TCP", "0.0.0.0", 81), "http://127.0.0.1:81/"),
        (IPv6Address("TCP", "::", 82), "http://[::1]:82/"),
        (IPv6Address("TCP", "2001:db8::1", 83), "http://[2001:db8::1]:83/"),
    ],
)
def test_a_url_has_the_address_that_is_listened_on(path, address, begin):
    share = share_at(address)
    assert share.add(path).url.startswith(begin)
    share.stopService()


@pytest.mark.parametrize(
    ("listens_at", "hosts", "others"),
    [
        ("0.0.0.0", ["127.0.0.1", "192.0.2.7"], ["::1"]),
        ("::", ["127.0.0.1", "::1"], []),
        ("192.0.2.7", ["192.0.2.7"], ["127.0.0.1", "::1"]),
    ],
)
def test_where_it_listens(listens_at, hosts, others):
    share = share_at(IPv4Address("TCP", listens_at, 80))
    assert all(map(share.is_at, hosts))
    assert not any(map(share.is_at, others))
    share.stopService()


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("files.example", "files.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::5", "[2001:db8::5]"),
        ("[2001:db8::5]", "[2001:db8::5]"),
        ("fe80::1%eth0", "[fe80::1]"),
        ("dömäin.example", "xn--dmin-moa0i.example"),
    ],
)
def test_a_url_for_a_host_that_the_caller_knows(memory, path, host, shown):
    shared = memory.share.add(path)
    assert shared.url_for(host) == shared.url.replace("127.0.0.1", shown)


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ("", ValueError),
        ("a/b", ValueError),
        ("a:80", ValueError),
        ("user@a", ValueError),
        ("a?b", ValueError),
        ("a#b", ValueError),
        ("a b", ValueError),
        ("a\nb", ValueError),
        (None, WrongType),
        (5, WrongType),
    ],
)
def test_no_url_has_such_a_host(memory, path, host, error):
    with pytest.raises(error, match=r"^host must "):
        memory.share.add(path).url_for(host)


@pytest.mark.parametrize(
    ("public", "begin", "prefix"),
    [
        ("https://files.example", "https://files.example/", ""),
        ("https://files.example/", "https://files.example/", ""),
        ("http://files.example:8000/a/b", "http://files.example:8000/a/b/", "/a/b"),
        ("http://files.example/a%20b//", "http://files.example/a%20b/", "/a%20b"),
        ("https://[2001:db8::1]/ä", "https://[2001:db8::1]/%C3%A4/", "/%C3%A4"),
    ],
)
def test_a_public_url_is_where_others_reach_it(path, public, begin, prefix):
    memory = MemoryShare(public_url=public)
    shared = memory.share.add(path)
    assert shared.url.startswith(begin)
    assert shared.url_for("elsewhere.example") == shared.url
    stripped = path_of(shared.url).removeprefix(prefix)
    for target, status in [
        (stripped, 200),
        (prefix + stripped, 200),
        ("/x" + stripped, 404),
        (prefix + "/x" + stripped, 404),
        (prefix + prefix + "x" + stripped, 404),
    ]:
        data = memory.ask(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert Answer(data).status == status
    memory.share.stopService()


def test_white_space_around_a_public_url_is_cut(path):
    share = FileShare("tcp:0", public_url=" http://a/ \n", reactor=Clock())
    assert share.add(path).url.startswith("http://a/")
    share.stopService()


@pytest.mark.parametrize(
    "public",
    [
        "",
        " ",
        "files.example",
        "//files.example",
        "ftp://files.example",
        "http:",
        "http:///a",
        "http://:80/",
        "http://a:99999/",
        "http://a:0/",
        "http://a/?x",
        "http://a/?",
        "http://a/#x",
        "http://a/#",
        "http://user:hidden@a/",
        "http://[::1/",
        "http://a b/",
        "xmpp:a@b",
    ],
)
def test_a_public_url_that_is_no_good(public):
    with pytest.raises(ValueError, match=r"^public_url ") as caught:
        FileShare("tcp:0", public_url=public, reactor=Clock())
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"endpoint": None}, "endpoint"),
        ({"endpoint": 80}, "endpoint"),
        ({"public_url": 5}, "public_url"),
        ({"public_url": b"http://a/"}, "public_url"),
        ({"reactor": 5}, "reactor"),
    ],
)
def test_an_argument_of_the_wrong_type(arguments, name):
    with pytest.raises(WrongType, match=f"^{name} must be "):
        FileShare(**({"endpoint": "tcp:0", "reactor": Clock()} | arguments))


def test_an_endpoint_that_nobody_knows():
    with pytest.raises(ValueError, match="nonsense"):
        FileShare("nonsense:0", reactor=Clock())


# --- adding


def test_what_is_known_of_a_file(memory, path):
    assert memory.share.add(path).info == FileInfo("file.txt", len(CONTENT), "text/plain")
    shared = memory.share.add(str(path), name="photo.png")
    assert shared.info == FileInfo("photo.png", len(CONTENT), "image/png")
    shared = memory.share.add(path, media_type="Application/X-Own")
    assert shared.info.media_type == "application/x-own"
    assert Answer(memory.ask(get(shared.url))).headers["content-type"] == "application/x-own"


@pytest.mark.parametrize(
    "name",
    ["..", ".", "-rf", 'quo"te', "😀.png", "new\nline", "a/b", "%2e%2e", "x" * 1000, "?#", " "],
)
def test_any_name_is_served(memory, path, name):
    shared = memory.share.add(path, name=name)
    assert shared.info.name == name
    assert Answer(memory.ask(get(shared.url))).body == CONTENT


def test_a_name_on_the_disk_that_nobody_can_decode(memory, tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(CONTENT)
    shared = memory.share.add(os.fsdecode(path))
    assert shared.info.name == "caf\ufffd.txt"
    assert Answer(memory.ask(get(shared.url))).body == CONTENT


def test_a_name_that_no_url_can_hold(memory, path):
    with pytest.raises(ValueError, match=r"^name takes 6000 characters in a URL; at most 4096"):
        memory.share.add(path, name="ä" * 1000)


def test_an_open_source_belongs_to_the_share(memory, path):
    source = SourceFile(path)
    shared = memory.share.add(source)
    path.unlink()
    assert Answer(memory.ask(get(shared.url))).body == CONTENT
    shared.close()
    assert source.closed
    with pytest.raises(ValueError, match=r"^path is a SourceFile that is closed"):
        memory.share.add(source)


def test_an_open_source_that_could_not_be_added_stays_the_callers(memory, path):
    source = SourceFile(path)
    with pytest.raises(ValueError, match=r"^name takes"):
        memory.share.add(source, name="x" * 5000)
    assert not source.closed
    source.close()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"path": "/nowhere/at/all"}, FileNotFoundError, "No such file"),
        ({"path": "/"}, IsADirectoryError, "tar -czf"),
        ({"path": "/dev/null"}, OSError, "not a regular file"),
        ({"path": None}, TypeError, "^path must be a path"),
        ({"name": ""}, ValueError, "^name must not be empty"),
        ({"name": 5}, TypeError, "^name must be a str"),
        ({"media_type": "nonsense"}, ValueError, "^media_type must be"),
        ({"media_type": "text/html; charset=x"}, ValueError, "^media_type must be"),
        ({"media_type": "text/html\r\nX: y"}, ValueError, "^media_type must be"),
        ({"media_type": ""}, ValueError, "^media_type must be"),
        ({"media_type": 5}, TypeError, "^media_type must be"),
        ({"expires": 0}, ValueError, "^expires must be"),
        ({"expires": -1}, ValueError, "^expires must be"),
        ({"expires": float("nan")}, ValueError, "^expires must be"),
        ({"expires": "5"}, TypeError, "^expires must be"),
        ({"on_progress": 5}, TypeError, "^on_progress must be"),
    ],
)
def test_what_cannot_be_added_leaves_nothing(memory, path, arguments, error, text):
    with pytest.raises(error, match=text):
        memory.share.add(**({"path": path} | arguments))
    assert descriptors_in(path.parent) == []
    assert memory.clock.getDelayedCalls() == []


def test_what_is_served_is_the_file_as_it_was(memory, tmp_path, path):
    link = tmp_path / "link"
    link.symlink_to(path)
    shared = memory.share.add(link)
    link.unlink()
    link.symlink_to("/etc/passwd")
    with path.open("ab") as file:
        file.write(b", and what was written later")
    assert Answer(memory.ask(get(shared.url))).body == CONTENT
    path.unlink()
    assert Answer(memory.ask(get(shared.url))).body == CONTENT


# --- the end of one


def test_a_closed_file_is_unknown(tmp_path, memory, path):
    shared = memory.share.add(path)
    assert len(descriptors_in(tmp_path)) == 1
    assert Answer(memory.ask(get(shared.url))).status == 200
    shared.close()
    shared.close()
    assert descriptors_in(tmp_path) == []
    closed, unknown = (Answer(memory.ask(get(url))) for url in (shared.url, "http://a/b/c"))
    closed.headers.pop("date")
    unknown.headers.pop("date")
    assert (closed.status, closed.body) == (404, b"Not found\n")
    assert vars(closed) == vars(unknown)
    assert (shared.url.startswith("http://"), shared.reads) == (True, 1)


def test_a_file_expires(memory, path):
    shared, other = memory.share.add(path, expires=10), memory.share.add(path, expires=99)
    memory.clock.advance(9.9)
    assert Answer(memory.ask(get(shared.url))).status == 200
    memory.clock.advance(0.2)
    assert Answer(memory.ask(get(shared.url))).status == 404
    assert shared.source.closed
    other.close()
    memory.clock.advance(60)
    assert memory.clock.getDelayedCalls() == []


def test_the_time_of_a_file_can_be_set_anew(memory, path):
    shared, other = memory.share.add(path, expires=10), memory.share.add(path)
    memory.share.expire(shared, 60)
    memory.share.expire(other, 5)
    memory.clock.advance(10)
    assert (shared.source.closed, other.source.closed) == (False, True)
    memory.share.expire(other, 5)
    memory.clock.advance(50)
    assert shared.source.closed
    assert memory.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"seconds": 0}, ValueError, "^seconds must be"),
        ({"seconds": float("nan")}, ValueError, "^seconds must be"),
        ({"seconds": "5"}, TypeError, "^seconds must be"),
        ({"seconds": None}, TypeError, "^seconds must be"),
        ({"shared": "http://a/b/c"}, TypeError, "^shared must be a SharedFile"),
    ],
)
def test_a_wrong_time_is_not_set(memory, path, arguments, error, text):
    shared = memory.share.add(path)
    with pytest.raises(error, match=text):
        memory.share.expire(**({"shared": shared, "seconds": 5} | arguments))
    assert memory.clock.getDelayedCalls() == []


def test_to_close_a_file_cuts_off_who_reads_it(memory, tmp_path):
    (tmp_path / "large").write_bytes(bytes(500_000))
    shared = memory.share.add(tmp_path / "large")
    transport, other = memory.connect(), memory.connect()
    for each in (transport, other):
        each.protocol.dataReceived(get(shared.url))
    shared.close()
    assert transport.aborted
    assert other.aborted
    assert shared.reads == 0
    assert memory.clock.getDelayedCalls() == []
    assert descriptors_in(tmp_path) == []


def test_who_waits_for_a_read_of_a_closed_file_can_stop(memory, path):
    shared = memory.share.add(path)
    waiting = result_of(shared.when_read())
    shared.close()
    assert waiting == []


# --- the service


def test_nothing_can_be_added_before_it_listens(path):
    share = FileShare(MemoryEndpoint(), reactor=Clock())
    with pytest.raises(RuntimeError, match="wait for its ready"):
        share.add(path)
    share.startService()
    share.add(path)
    share.stopService()
    with pytest.raises(RuntimeError, match="wait for its ready"):
        share.add(path)


def test_with_a_public_url_there_is_nothing_to_wait_for(path):
    share = FileShare(MemoryEndpoint(), public_url="https://files.example/", reactor=Clock())
    shared = share.add(path)
    assert shared.url.startswith("https://files.example/")
    share.startService()
    share.stopService()
    assert shared.source.closed


def test_a_port_without_an_address_needs_a_public_url(tmp_path, path):
    share = share_at(UNIXAddress("/run/share"))
    with pytest.raises(ValueError, match=r"^public_url is needed"):
        share.add(path)
    assert descriptors_in(tmp_path) == []
    share.stopService()


def test_ready_fires_each_time():
    share = FileShare(MemoryEndpoint(), reactor=Clock())
    early, given_up = result_of(share.ready), share.ready
    given_up.addErrback(lambda failure: failure.trap(CancelledError))
    given_up.cancel()
    assert early == []
    share.startService()
    assert early == result_of(share.ready) == [None]
    share.stopService()
    later = result_of(share.ready)
    share.startService()
    assert later == [None]
    share.stopService()


def test_ready_fails_with_what_listening_failed_with(log):
    class Broken:
        def listen(self, factory):
            return fail(CannotListenError("", 80, OSError("in use")))

    share = FileShare(Broken(), reactor=Clock())
    early = result_of(share.ready)
    share.startService()
    [late] = result_of(share.ready)
    assert early[0].check(CannotListenError)
    assert late.check(CannotListenError)
    assert log == []
    share.stopService()
    share.startService()  # and nobody waits
    [event] = log
    assert event["log_level"].name == "error"
    log.clear()
    share.stopService()


def test_whoever_waits_for_a_share_that_is_stopped_hears_of_it():
    class Slow(MemoryEndpoint):
        def listen(self, factory):
            self.listening = Deferred()
            super().listen(factory)
            return self.listening

    endpoint = Slow()
    share = FileShare(endpoint, reactor=Clock())
    share.startService()
    waiting = result_of(share.ready)
    share.stopService()
    assert waiting[0].check(CancelledError)
    endpoint.listening.callback(endpoint)
    assert endpoint.factory.numPorts == 0


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_taken_fails_ready():
    from twisted.internet import reactor

    with socket.create_server(("127.0.0.1", 0)) as taken:
        share = FileShare(f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1")
        ready = share.ready
        share.startService()
        with pytest.raises(CannotListenError):
            await ready
        await share.stopService()
    assert share._reactor is reactor


@pytest_twisted.ensureDeferred
async def test_when_it_stops_nothing_is_left(path, tmp_path):
    from twisted.internet import reactor

    (tmp_path / "large").write_bytes(bytes(30_000_000))
    net = NetShare(reactor)
    await net.start()
    small, large = net.share.add(path, expires=500), net.share.add(tmp_path / "large")
    idle, reading = await net.connect(small.url), await net.connect(small.url)
    reading.transport.write(get(large.url))
    await reading.came(1)
    reading.transport.pauseProducing()
    served = await net.connect(small.url)
    served.transport.write(get(small.url))
    await served.came(len(CONTENT))
    stopped = net.share.stopService()
    reading.transport.resumeProducing()
    await stopped
    for connection in (idle, reading, served):
        await connection.lost
    assert (idle.aborted, reading.aborted, served.aborted) == (False, True, False)
    assert Answer(bytes(served.data)).body == CONTENT
    assert net.clock.getDelayedCalls() == []
    assert descriptors_in(tmp_path) == []


@pytest_twisted.ensureDeferred
async def test_whoever_does_not_close_is_not_waited_for_long(path):
    from twisted.internet import reactor

    net = NetShare(reactor)
    await net.start()
    shared = net.share.add(path)
    with socket.create_connection(("127.0.0.1", int(shared.url.split(":")[2].split("/")[0]))):
        connection = await net.connect(shared.url)
        connection.transport.write(get(shared.url))
        await connection.came(1)
        stopped = net.share.stopService()
        await connection.lost
        assert not stopped.called
        net.clock.advance(2.1)
        await stopped
    assert net.clock.getDelayedCalls() == []
