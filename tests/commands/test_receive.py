"""``oob receive`` as a person runs it: its options, and two processes that hand a file over."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import pytest
import pytest_twisted

from tests.support.hostile_http import HostileServer, answer
from tests.support.network import Sender
from tests.support.processes import free_port
from tests.support.waiting import in_time
from twisted_oob import FetchPolicy
from twisted_oob.commands import reception, start

pytest_plugins = ["tests.support.commands"]

PROMPT = r"Take it\? \[y\]es, \[N\]o, \[a\]lways, \[q\]uit: "
BODY = b"all of it" * 1000


@pytest.fixture
def terms(typed, monkeypatch):
    """Type a command line of ``oob receive``; gives the Terms, and what came of the line."""
    seen = []
    monkeypatch.setattr(reception, "receive_all", lambda *words: seen.append(words))
    monkeypatch.setattr(start, "start", lambda main, _output: main(None))

    def run(*words):
        seen.clear()
        result = typed("receive", *words)
        return (seen[0][0] if seen else None), result

    return run


def test_the_defaults(terms, tmp_path):
    given, result = terms()
    assert result.status == 0
    assert given.folder == tmp_path
    assert (given.senders, given.yes, given.count, given.networks) == ((), False, None, ())
    assert (given.max_size, given.timeout) == (10_000_000_000, 900.0)
    assert (given.denied, given.min_rate, given.user_agent) == ((), 1000, FetchPolicy().user_agent)
    assert not given.asks


def test_the_values_of_options(terms, tmp_path):
    given, _ = terms(
        *("--from", "a@b.c", "--from", "d.e", "--count", "2", "--max-size", "2Ki"),
        *("--allow-network", "10.0.0.0/8", "--timeout", "7", "--download-dir", "new", "--yes"),
        *("--deny-network", "10.1.0.0/16", "--deny-network", "fd00::/8"),
        *("--min-rate", "0", "--user-agent", "somebody"),
    )
    assert given.folder == tmp_path / "new"
    assert (given.senders, given.yes, given.count) == (("a@b.c", "d.e"), True, 2)
    assert (given.max_size, given.timeout) == (2048, 7.0)
    assert [str(network) for network in given.networks] == ["10.0.0.0/8"]
    assert [str(network) for network in given.denied] == ["10.1.0.0/16", "fd00::/8"]
    assert (given.min_rate, given.user_agent) == (0, "somebody")


@pytest.mark.parametrize(
    ("ends", "asks"), [(("stdin", "stderr"), True), (("stdin",), False), (("stderr",), False)]
)
def test_it_asks_if_both_its_ends_are_a_terminal(terms, monkeypatch, ends, asks):
    streams = {
        name: SimpleNamespace(isatty=lambda name=name: name in ends) for name in ("stdin", "stderr")
    }
    # click has the process's own streams.
    monkeypatch.setattr("twisted_oob.commands.receive.sys", SimpleNamespace(**streams))
    given, _ = terms()
    assert given.asks == asks


@pytest.mark.parametrize("words", [["--yes"], ["--from", "*"]])
def test_who_says_what_is_taken_needs_no_terminal(terms, words):
    given, result = terms(*words)
    assert given is not None
    assert result.errors == ""


def test_without_a_terminal_it_says_that_nothing_is_taken(terms):
    given, result = terms()
    assert given is not None
    assert result.errors == (
        "oob receive: warning: there is no terminal to ask on, so nothing is taken: "
        "give --from or --yes\n"
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--count", "0"], "--count '0' is not valid: expected a whole number above 0"),
        (["--from", "*@a.b"], "--from '*@a.b' is not valid: expected a JID, a domain or *"),
        (["--max-size", "big"], "--max-size 'big' is not valid: expected a size above 0"),
        (["--timeout", "never"], "--timeout 'never' is not valid: expected a number of seconds"),
        (["--allow-network", "home"], "--allow-network 'home' is not valid: expected a network"),
        (["--deny-network", "10"], "--deny-network '10' is not valid: expected a network"),
        (["--min-rate", "-1"], "--min-rate '-1' is not valid: expected bytes a second"),
        (["--user-agent", "a\nb"], "--user-agent 'a\\nb' is not valid: expected printable ASCII"),
        (["--download-dir", "/dev/null"], "--download-dir '/dev/null' is not valid: not a"),
        (["--component", "a.b", "--secret-file", "none"], "--secret-file"),
        (["word"], "word"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(terms, words, reason):
    given, result = terms(*words)
    assert given is None
    assert result.status == 2
    assert reason in result.errors
    assert result.errors.count("\n") == 1


@pytest_twisted.ensureDeferred
async def test_two_processes_hand_a_file_over_after_a_question(oob, tmp_path):
    (tmp_path / "there.bin").write_bytes(BODY)
    port = str(free_port())
    receive = oob(
        *("receive", "--port", port, "--download-dir", "landed", "--count", "1", "--json"),
        terminal=True,
    )
    await receive.printed("waiting for files to oob.localhost; they land in ")
    send = oob("send", "--json", "--port", port, "there.bin", "oob.localhost")
    await receive.printed(PROMPT)
    receive.types("y\n")
    assert await send.finished() == 0
    assert await receive.finished() == 0
    assert (tmp_path / "landed/there.bin").read_bytes() == BODY
    [sent, _summary] = [json.loads(line) for line in send.output.splitlines()]
    [received] = [json.loads(line) for line in receive.output.splitlines() if '"event"' in line]
    assert sent["outcome"] == "received"
    assert sent["sha256"] == received["sha256"] == hashlib.sha256(BODY).hexdigest()


@pytest_twisted.ensureDeferred
async def test_ctrl_c_in_the_middle_of_a_file_leaves_nothing(oob, tmp_path):
    from twisted.internet import reactor

    web = HostileServer(reactor)
    port = free_port()
    receive = oob(
        "receive", "--port", str(port), "--download-dir", "new/landed", "--yes", terminal=True
    )
    await receive.printed("waiting for files")
    secret = (tmp_path / "oob-responder.secret").read_text().strip()
    sender = Sender(port, secret=secret)
    await in_time(sender.start())
    sent = sender.oob.send_url("oob.localhost", web.url())
    connection = await in_time(web.arrivals.get())
    connection.write(answer(b"half", length=8))
    receive.types("\x03")
    assert await receive.finished() == 130
    assert await in_time(sent) == "wait"
    assert "no files were received" in receive.output
    assert "Traceback" not in receive.output
    assert list(tmp_path.rglob("*")) == []
    await sender.stop()
    await web.stop()
