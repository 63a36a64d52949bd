"""The benchmarks do what they say. How fast anything is, no test asks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import exchange, exchanges, fetching, memory, targets
from benchmarks.column import Column, measure
from benchmarks.contenders import AMONG_OTHERS, BASE, OURS, PEERS, Contender, choose, left_out
from benchmarks.nginx import find_nginx
from benchmarks.process import BenchmarkError, Process, one_processor
from benchmarks.stream import ComponentStream
from benchmarks.table import columns_table, number, table
from tests.processes import missing

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 20.0
ANSWERING = {OURS, AMONG_OTHERS, BASE, "words", "raw"}

# A contender on a bare socket that does wrong in the way that its first argument names.
WRONG = """
import hashlib, re, socket, sys
mode, host, port, domain, secret, *rest = sys.argv[1:]
peer = socket.create_connection((host, int(port)))
def until(pattern):
    data = b""
    while not (found := re.search(pattern, data)):
        data += peer.recv(4096)
    return found
peer.sendall(b"<stream:stream>")
id_ = until(rb"\\sid='(.*?)'")[1].decode()
digest = hashlib.sha1((id_ + secret).encode()).hexdigest()
peer.sendall(f"<handshake>{'0' if mode == 'secret' else digest}</handshake>".encode())
until(rb"<handshake/>")
request = (
    "<iq type='set' id='1'><query xmlns='jabber:iq:oob'><url>http://127.0.0.1/file</url>"
    "</query></iq>"
)
says = {
    "error": "<iq type='error' id='d0'/>",
    "twice": "<iq type='result' id='d0'/><iq type='result' id='d0'/>",
    "id": "<iq type='result' id='d9'/>",
    "url": request.replace("/file", "/other"),
    "many": request * 3,
    "get": request.replace("set", "get"),
}
if mode == "ends":
    sys.exit("what it says at last")
if mode == "lies":
    count, window = int(rest[0]), int(rest[1])
    peer.sendall((request * window).encode())
    sent, answered = window, 0
    while answered < count:
        came = peer.recv(4096).count(b"/>")
        answered += came
        peer.sendall((request * min(came, count - sent)).encode())
        sent += min(came, count - sent)
    print("ok", count - 1, flush=True)
peer.sendall(says.get(mode, "").encode())
while peer.recv(4096):
    pass
"""

NOT_FOUND = (
    "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)


def rows_of(column, only=None):
    rows = measure(column, choose(column.role, only))
    assert [row["error"] for row in rows] == [None] * len(rows)
    return {row["name"]: row for row in rows}


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (Column("answer", 8, rounds=4, size=30, warm=10), ANSWERING),
        (Column("ask", 1, rounds=4, size=30, warm=10), ANSWERING | {"wokkel+timeout"}),
        (Column("ask", 20, rounds=4, size=30, warm=10, full=True), {OURS, BASE}),
        (Column("hold", 4, rounds=4, size=30, warm=10, held=20), {OURS, BASE, "words"}),
    ],
    ids=["answering", "asking", "asking with all pending", "answering with offers open"],
)
def test_every_exchange_of_every_contender_is_checked_and_measured(column, names):
    rows = rows_of(column, names)

    assert set(rows) == names
    for row in rows.values():
        assert row["exchanges"] == 4 * 30
        assert row["cut"] is False
        assert row["microseconds"] > 0
        assert row["quartiles"][0] <= row["ratio"] <= row["quartiles"][1]
    assert rows[BASE]["ratio"] == 1


def test_slixmpp_takes_part_in_every_role():
    pytest.importorskip("slixmpp")
    for column in (
        Column("answer", 4, rounds=1, size=20, warm=5),
        Column("ask", 4, rounds=1, size=20, warm=5),
        Column("hold", 4, rounds=1, size=20, warm=5, held=10),
    ):
        assert rows_of(column, ["slixmpp"])["slixmpp"]["exchanges"] == 20


def test_what_takes_too_long_is_cut_and_says_so():
    column = Column("ask", 2, rounds=9, size=200, warm=200, full=True, limit=0.0)
    row = rows_of(column, [])[BASE]
    assert row["cut"] is True
    assert row["exchanges"] == 2  # one in each of two slices
    assert "cut" in columns_table([("", [row])])


@pytest.mark.parametrize(
    ("role", "mode", "complaint"),
    [
        ("answer", "secret", "does not know the secret"),
        ("answer", "error", "not only results came"),
        ("answer", "twice", "came twice"),
        ("answer", "id", "to no offer"),
        ("answer", "mute", "were not answered in time"),
        ("answer", "ends", "what it says at last"),
        ("ask", "url", "a request for b'http://127.0.0.1/other' came"),
        ("ask", "many", "3 requests are pending at once"),
        ("ask", "get", "not only requests came"),
        ("ask", "lies", "it said 'ok 16' after 17 requests"),
        ("ask", "mute", "only 0 requests were pending in time"),
    ],
)
def test_a_contender_that_does_wrong_fails_and_the_others_go_on(
    role, mode, complaint, tmp_path, monkeypatch
):
    monkeypatch.setattr(exchanges, "PATIENCE", 0.5 if mode == "mute" else PATIENCE)
    script = tmp_path / "wrong.py"
    script.write_text(WRONG)
    wrong = Contender("wrong", "sys", {role: (str(script), mode)})

    rows = measure(Column(role, 2, rounds=2, size=5, warm=5), [wrong, *choose(role, only=[])])

    assert complaint in rows[0]["error"]
    assert rows[0]["ratio"] is None
    assert rows[1]["error"] is None
    assert rows[1]["exchanges"] == 10
    assert program.failed({"part": {"columns": [{"rows": rows}]}})
    assert not program.failed({"part": {"columns": [{"rows": rows[1:]}]}})
    assert f"* wrong, title: {rows[0]['error'].split()[0]}" in columns_table([("title", rows)])


class Peer:
    """A peer of this project, started as its users do, and its stream."""

    def __init__(self, stack, name, *arguments):
        self.stream = ComponentStream("peer.example")
        stack.callback(self.stream.close)
        command = [sys.executable, PEERS / name, *self.stream.address, self.stream.domain]
        command += [self.stream.secret, *arguments]
        self.process = stack.enter_context(Process([str(word) for word in command]))
        self.stream.accept(PATIENCE, lambda: self.process.ended)

    def stanzas(self, count):
        """Read until that many stanzas came, and nothing but them."""
        came = b""
        while came.count(b"</iq>") + came.count(b"/>") < count:
            data = self.stream.read(time.monotonic() + PATIENCE)
            assert data, came
            came += data
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


def test_a_process_is_measured_from_outside_and_ended():
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with Process([sys.executable, "-c", code]) as process:
        pid = int(process.line(PATIENCE))
        assert process.cpu() > 0
        assert process.rss() > 1000
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_processes_share_one_processor_with_their_driver():
    before = os.sched_getaffinity(0)
    code = "import os; print(*os.sched_getaffinity(0))"
    with one_processor(), Process([sys.executable, "-c", code]) as process:
        assert process.line(PATIENCE) == f"{max(before)}"
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before


def test_a_column_leaves_the_processors_as_they_were():
    before = os.sched_getaffinity(0)
    rows_of(Column("answer", 1, 1, 20, 20), ["words"])
    assert os.sched_getaffinity(0) == before


def test_a_process_that_says_nothing_is_an_error():
    with Process([sys.executable, "-c", ""]) as process, pytest.raises(BenchmarkError):
        process.line(PATIENCE)


def test_memory_is_by_thousand():
    figures = memory.run(quick=True, only=[], many=8000)  # few would be lost in the noise
    assert [row["name"] for row in figures["pending"]] == [BASE]
    for rows in figures.values():
        assert rows[0]["error"] is None
        assert 100 < rows[0]["kib_per_1000"] < 20_000
    assert BASE in memory.report(figures)


@pytest.fixture
def tiny(monkeypatch):
    """The part exchange of two small columns; and no handler of signals stays behind."""

    def column(role, window, *, quick):
        return Column(role, window, rounds=2 if quick else 3, size=5, warm=5)

    monkeypatch.setattr(exchange, "column", column)
    monkeypatch.setattr(exchange, "_COLUMNS", (("answer", 2), ("ask", 2)))
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)


def test_the_program_prints_json(tiny, capsys):
    assert program.main(["exchange", "--quick", "--json", "--only", OURS]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"environment", "left_out", "exchange"}
    columns = figures["exchange"]["columns"]
    assert [(each["role"], each["window"]) for each in columns] == [("answer", 2), ("ask", 2)]
    for each in columns:
        assert [row["name"] for row in each["rows"]] == [OURS, BASE]
        assert {row["exchanges"] for row in each["rows"]} == {10}


def test_the_program_prints_tables_and_puts_them_into_the_readme(
    tiny, capsys, monkeypatch, tmp_path
):
    text_before = program.README.read_text()
    assert text_before.count(program.BEGIN) == text_before.count(program.END) == 1
    readme = tmp_path / "README.rst"
    readme.write_text(text_before)
    monkeypatch.setattr(program, "README", readme)

    assert program.main(["exchange", "--only", "words", "--readme"]) == 0

    text = capsys.readouterr().out
    assert "CPU per exchange\n----------------\n" in text
    assert re.search(r"^wokkel +1\.00 \(.*µs\) +1\.00 \(.*µs\)$", text, re.MULTILINE)
    before, _, rest = text_before.partition(program.BEGIN)
    after = rest.partition(program.END)[2]
    assert readme.read_text() == f"{before}{program.BEGIN}\n{text}\n{program.END}{after}"


def test_who_is_not_installed_is_left_out_and_named(monkeypatch):
    monkeypatch.setattr(Contender, "installed", property(lambda self: self.needs != "slixmpp"))
    assert "slixmpp" not in [each.name for each in choose("ask")]
    assert left_out() == left_out(["slixmpp"]) == ["slixmpp"]
    assert left_out(["words"]) == []
    figures = {"environment": "Here.", "left_out": left_out()}
    assert program.report(figures) == "Here.\n\nNot installed, so left out: slixmpp.\n"


def test_targets_are_judged_where_there_are_figures():
    rows = {"pending": [(OURS, 1100.4)], "open": [(OURS, 2001.0), (BASE, 1.0)]}
    figures = {
        "memory": {
            what: [{"name": name, "kib_per_1000": kib} for name, kib in found]
            for what, found in rows.items()
        }
    }
    lines = [line.split() for line in targets.judge(figures).splitlines()]
    assert [line[-3:] for line in lines if line and line[0] == "KiB"] == [
        ["1,100", "1,100", "missed"],
        ["2,000", "2,001", "missed"],
    ]
    figures["memory"]["open"] = [{"name": OURS, "kib_per_1000": 2000.0}]
    assert "met" in targets.judge(figures)
    figures["memory"]["open"] = [{"name": OURS, "kib_per_1000": None}]
    assert "offers" not in targets.judge(figures)
    assert targets.judge({}) == ""


def test_tables_are_as_wide_as_what_they_hold():
    assert table(["", "head"], [["a", "1"], ["name", "12345"]]) == (
        "====  =====\n       head\n====  =====\na         1\nname  12345\n====  =====\n"
    )
    assert [number(value) for value in (0.125, 9.994, 45.67, 1234.5)] == [
        "0.12",
        "9.99",
        "45.7",
        "1,234",
    ]


def test_the_plot_is_a_png(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.plot import draw

    rows = [{"name": OURS, "microseconds": 10.0}, {"name": "slixmpp", "microseconds": None}]
    draw({"asking": [{"count": count, "rows": rows} for count in (1, 10)]}, tmp_path / "it.png")
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["speed"], "invalid choice"),
        (["--only", "words,perl"], "no 'perl' among"),
        (["memory", "--plot", "x.png"], "--plot draws the part pending"),
        (["pending", "--plot", "not-there/x.png"], "there is no folder not-there"),
        (["--json", "--readme"], "not allowed with"),
    ],
)
def test_the_program_refuses(arguments, complaint):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert complaint in done.stderr


def test_fetching_measures_what_it_says(monkeypatch):
    if find_nginx() is None:
        missing("nginx", "the Debian package nginx")
    size = fetching._Size(large=1 << 20, huge=4 << 20, small=6, at_once=2, rounds=1)
    monkeypatch.setattr(fetching, "_QUICK", size)
    figures = fetching.run(quick=True)
    json.dumps(figures)
    assert set(figures["missing"]) <= {"aiohttp"}
    assert {"ours", "curl, sha256sum, sync"} <= figures["large"]["seconds"].keys()
    assert {"ours", "curl"} <= figures["small"]["seconds"].keys()
    assert figures["memory"]["growth_mb"] < 100
    assert figures["offers"]["ratio"]["median"] > 0
    text = fetching.report(figures)
    assert all(name in text for name in fetching.TARGETS if "aiohttp" not in name)
