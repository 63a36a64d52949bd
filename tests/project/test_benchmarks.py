"""The benchmarks do what they say. How fast anything is, no test asks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import exchange, exchanges, fetching, memory, nginx, scaling, targets
from benchmarks.column import Column, measure
from benchmarks.contenders import AMONG_OTHERS, BASE, OURS, Contender, choose, left_out
from benchmarks.exchanges import Offering
from benchmarks.nginx import find_nginx
from benchmarks.process import BenchmarkError, Process, one_processor
from benchmarks.table import NOTHING, columns_table, number, table
from tests.support.processes import missing, started

ROOT = Path(__file__).resolve().parents[2]
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
    "twice": "<iq type='result' id='d0' to='u0@d.example/lab'/>" * 2,
    "id": "<iq type='result' id='d9' to='u9@d.example/lab'/>",
    "to": "<iq type='result' id='d0' to='u1@d.example/lab'/>",
    "nobody": "<iq type='result' id='d0'/>",
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
        ("answer", "to", "the answer to offer 0 went to b'u1@d.example/lab'"),
        ("answer", "nobody", "not only results came"),
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


def test_offers_come_from_ten_thousand_peers_in_turn():
    class Stream:
        domain, sent = "peer.example", b""

        def send(self, data):
            self.sent += data

    stream = Stream()
    Offering(stream, window=1)._send(10_002)
    senders = re.findall(rb" from='(.*?@.*?/.*?)'", stream.sent)
    assert len(set(senders[:10_000])) == 10_000
    assert senders[10_000:] == senders[:2]


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


def test_a_part_that_fails_leaves_the_others_their_figures(tiny, capsys, monkeypatch):
    def run(*, quick):
        return fetching._run(["sh", "-c", "echo what it said >&2; exit 7"])

    monkeypatch.setattr(fetching, "run", run)
    assert program.main(["exchange", "fetching", "--only", "words"]) == 1
    said = capsys.readouterr()
    assert re.search(r"^wokkel +1\.00 ", said.out, re.MULTILINE)
    assert "Fetching\n--------\n\nFailed: sh ended with 7: what it said\n" in said.out
    assert "fetching failed: sh ended with 7: what it said\n" in said.err

    assert program.main(["fetching", "--json"]) == 1
    figures = json.loads(capsys.readouterr().out)
    assert figures["fetching"] == {"error": "sh ended with 7: what it said"}


def test_an_nginx_that_does_not_start_is_quoted(tmp_path, monkeypatch):
    script = tmp_path / "nginx"
    script.write_text("#!/bin/sh\necho what it said >&2; exit 1\n")
    script.chmod(0o700)
    monkeypatch.setattr(nginx, "find_nginx", lambda: str(script))
    with (
        pytest.raises(BenchmarkError, match="nginx does not start: what it said"),
        nginx.served(tmp_path, tmp_path),
    ):
        pass


def test_a_part_that_measured_nothing_is_no_success(tiny, capsys, monkeypatch):
    monkeypatch.setattr(fetching, "find_nginx", lambda: None)
    assert program.main(["fetching"]) == 1
    assert "nginx is missing: not installed: nothing was measured\n" in capsys.readouterr().out
    assert program.main(["fetching", "--json"]) == 1
    figures = json.loads(capsys.readouterr().out)
    assert figures["fetching"]["error"] == "nginx is not installed: nothing was measured"


def run_python(*words):
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_missing_package_is_named():
    code = (
        "import sys; sys.modules['wokkel'] = None; from benchmarks.__main__ import main; "
        "sys.exit(main(['exchange']))"
    )
    done = run_python("-c", code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "wokkel is missing. Install the project: pip install -e '.[benchmarks]'\n"
    )


def test_an_interrupt_ends_it_in_one_line():
    # A shell that runs the tests in the background lets them, and what they start, ignore it.
    code = (
        "import runpy, signal, sys; sys.argv = ['benchmarks', 'exchange']; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('benchmarks', run_name='__main__')"
    )
    with ExitStack() as stack:
        process = started(stack, "-c", code)
        assert process.stderr.readline() == "measuring: exchange\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == ("", "interrupted\n")
        assert process.returncode == 130


def test_options_may_be_between_parts():
    given = program.options(["fetching", "--quick", "imports"])
    assert (given.parts, given.quick) == (["imports", "fetching"], True)
    assert program.options([]).parts == list(program.DEFAULT)
    assert program.options(["--quick", "all"]).parts == list(program.PARTS)


def test_to_try_a_plot_leaves_everything_as_it_was(tmp_path):
    (tmp_path / "old.png").write_text("old")
    program._try_to_write(str(tmp_path / "old.png"))
    program._try_to_write(str(tmp_path / "new.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
    assert (tmp_path / "old.png").read_text() == "old"


def test_scaling_says_what_it_needs():
    code = (
        "import sys; sys.modules['pytest'] = None; from benchmarks import scaling; scaling.main()"
    )
    done = run_python("-c", code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "pytest is missing. Install the project: pip install -e '.[test]'\n"


@pytest.mark.parametrize(
    ("word", "status", "said"),
    [("--help", 0, "usage: python -m benchmarks.scaling"), ("x", 2, "unrecognized arguments: x")],
)
def test_scaling_measures_only_when_asked_to(word, status, said, monkeypatch, capsys):
    monkeypatch.setattr(scaling, "react", lambda _: pytest.fail("it measures"))
    monkeypatch.setattr(sys, "argv", ["scaling.py", word])
    with pytest.raises(SystemExit) as ended:
        scaling.main()
    assert ended.value.code == status
    assert said in "".join(capsys.readouterr())


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
        ["1,100", "1,100", "met"],
        ["2,000", "2,001", "missed"],
    ]
    figures["memory"]["open"] = [{"name": OURS, "kib_per_1000": 2000.0}]
    assert "met" in targets.judge(figures)
    figures["memory"]["open"] = [{"name": OURS, "kib_per_1000": None}]
    assert "offers" not in targets.judge(figures)
    assert targets.judge({}) == ""


@pytest.mark.parametrize(
    ("value", "least", "verdict"),
    [
        (0.284, False, "met"),
        (0.286, False, "missed"),
        (0.276, True, "met"),
        (0.274, True, "missed"),
    ],
)
def test_what_is_judged_is_what_is_printed(value, least, verdict):
    assert targets.verdict(value, 0.28, least=least) == verdict


def test_targets_of_fetching_are_judged_too():
    def spread(middle):
        return {"median": middle, "min": 0.5, "max": 9.0}

    def compared(**ratios):
        names = {name.replace("_", ", "): spread(ratio) for name, ratio in ratios.items()}
        return {"seconds": {name: [1.0, 2.0] for name in names}, "ratios": names}

    figures = {
        "missing": {},
        "size": {"large": 1 << 20, "small": 10},
        "large": compared(ours=1.0, curl_sha256sum_sync=1.3),
        "small": compared(ours=1.0, curl=3.5),
        "memory": {"one_mib_kib": 1, "huge_kib": 2, "growth_mb": 5.004},
        "offers": {"quiet_p99": [1.0], "busy_p99": [2.0], "ratio": spread(2.01)},
    }
    rows = [line.rsplit(maxsplit=1) for line in fetching.report(figures).splitlines()[3:-1]]
    assert [(row[:20].strip(), verdict) for row, verdict in rows] == [
        ("large / ours", NOTHING),
        ("large / curl, sha256", "missed"),
        ("small / ours", NOTHING),
        ("small / curl", "met"),
        ("peak memory, MB more", "met"),
        ("99th percentile / wi", "missed"),
    ]


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
        (["speed"], "no 'speed' among exchange, pending, memory, imports, fetching, all\n"),
        (["--only", "words,perl"], "no 'perl' among"),
        (["memory", "--plot", "x.png"], "--plot draws the part pending"),
        (["pending", "--plot", "not-there/x.png"], "can't be written: No such file or directory"),
        (["pending", "--plot", "tests"], "--plot: 'tests' can't be written: Is a directory"),
        (["pending", "--plot", ""], "--plot: '' can't be written: Is a directory"),
        (["--json", "--readme"], "not allowed with"),
    ],
)
def test_the_program_refuses(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


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
