"""The project's own peers in the benchmarks: they do as they say, and say what is wrong."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import ExitStack
from importlib import import_module
from types import SimpleNamespace

import pytest

from benchmarks.contenders import PEERS
from benchmarks.process import BenchmarkError, Process
from benchmarks.stream import ComponentStream
from tests.support.processes import started

PATIENCE = 20.0

NOT_FOUND = (
    "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)


class Peer:
    """A peer of this project, started as its users do, and its stream."""

    def __init__(self, stack, name, *arguments):
        self.stream = stack.enter_context(ComponentStream())
        command = [sys.executable, PEERS / name, *self.stream.arguments, *arguments]
        self.process = stack.enter_context(Process(command))
        self.stream.accept(PATIENCE, self.process)

    def stanzas(self, count):
        """Read until that many stanzas came, and nothing but them."""
        came = b""
        while came.count(b"</iq>") + came.count(b"/>") < count:
            came += self.stream.read(PATIENCE)
        return came.decode()


def test_send_keeps_w_unanswered_says_ok_and_stays():
    to = "driver@server.example/x"
    request = re.compile(
        rf"<iq (?=[^>]*type=.set)(?=[^>]*to=.{to}.)[^>]*id=.([\w-]+)[^>]*>"
        "<query xmlns=.jabber:iq:oob.><url>http://127.0.0.1/</url><desc>A file</desc></query></iq>"
    )
    with ExitStack() as stack:
        peer = Peer(stack, "send.py", 7, 3, to, "http://127.0.0.1/")
        pending, seen = [], set()
        for answered, new in enumerate([3, 1, 1, 1, 1, 0, 0]):
            came = peer.stanzas(new)
            ids = request.findall(came)
            assert (request.sub("", came), len(ids)) == ("", new)
            pending += ids
            seen |= set(ids)
            kind, why = ("error", NOT_FOUND) if answered in {2, 5} else ("result", "")
            peer.stream.send(
                f"<iq type='{kind}' id='{pending.pop(0)}' from='{to}' to='peer.example'>{why}</iq>"
                "".encode()
            )
        assert len(seen) == 7
        assert peer.process.line(PATIENCE) == "ok 5"
        assert not peer.process.ended


@pytest.mark.parametrize(("count", "to"), [(0, "a@b/c"), (5000, "@@")])
def test_send_says_ok_if_nothing_can_be_sent_and_stays(count, to):
    with ExitStack() as stack:
        peer = Peer(stack, "send.py", count, 3, to, "http://127.0.0.1/")
        assert peer.process.line(PATIENCE) == "ok 0"
        assert not peer.process.ended


def test_send_says_ok_once(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(PEERS))
    sender = import_module("send").Sender(0, 1, "a@b/c", "http://127.0.0.1/")
    sender.go_on()
    sender.go_on()  # as after a stream that was lost
    assert capsys.readouterr().out == "ok 0\n"


WHERE = ("127.0.0.1", "5347", "peer.example", "-secret")  # this one is no option


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("respond", [], "required: HOST, PORT, DOMAIN, SECRET"),
        ("respond", ["a", "xmpp", *WHERE[2:]], "PORT: invalid int value: 'xmpp'"),
        ("respond", [*WHERE, "more"], "unrecognized arguments: more"),
        ("send", [*WHERE, "1", "1", "a@b"], "required: URL"),
        ("send", [*WHERE, "1", "0", "a@b", "http://a/"], "W: 0 is not above 0"),
        ("send", [*WHERE, "1", "x", "a@b", "http://a/"], "W: invalid positive value: 'x'"),
    ],
)
def test_a_peer_tells_what_is_wrong_with_its_arguments(
    name, arguments, complaint, monkeypatch, capsys
):
    monkeypatch.syspath_prepend(str(PEERS))
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        import_module(name).main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert complaint in said.err
    assert said.err.startswith(f"usage: {name}.py [-h] HOST PORT DOMAIN SECRET")


def test_a_peer_tells_that_its_secret_is_wrong_and_that_its_stream_ended():
    with ExitStack() as stack:
        stream = stack.enter_context(ComponentStream())
        where = [*map(str, stream.arguments[:3]), "another"]
        process = started(stack, PEERS / "respond.py", *where)
        with pytest.raises(BenchmarkError, match="does not know the secret"):
            stream.accept(PATIENCE, SimpleNamespace(ended=False))
        stream.send(
            b"<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            b"</stream:error>"
        )
        assert re.match("not connected: .*not-authorized", process.stderr.readline())
        assert process.stderr.readline() == "not connected: Connection was closed cleanly.\n"
        process.kill()
        assert process.stdout.read() == ""


def test_a_peer_tells_that_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as taken, ExitStack() as stack:
        port = taken.getsockname()[1]
        taken.close()
        process = started(
            stack, PEERS / "respond.py", "127.0.0.1", str(port), "peer.example", "secret"
        )
        assert "Connection refused" in process.stderr.readline()
        assert process.poll() is None


def test_respond_answers_each_offer_with_an_empty_result():
    with ExitStack() as stack:
        peer = Peer(stack, "respond.py")
        for id_ in ("a", "b"):
            peer.stream.send(
                f"<iq type='set' id='{id_}' from='driver@server.example/x' to='peer.example'>"
                "<query xmlns='jabber:iq:oob'><url>http://127.0.0.1/</url><desc>A file</desc>"
                "</query></iq>".encode()
            )
            answer = peer.stanzas(1)
            assert re.fullmatch(r"<iq [^<>]*/>", answer)
            attributes = dict(re.findall(r"(\w+)=['\"]([^'\"]*)['\"]", answer))
            assert attributes == {
                "type": "result",
                "id": id_,
                "to": "driver@server.example/x",
                "from": "peer.example",
            }
