"""The benchmarks do what they say. How fast anything is, no test asks."""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack
from dataclasses import replace

import pytest

from benchmarks import __main__ as program
from benchmarks import (
    command,
    driver,
    exchange,
    fetching,
    memory,
    sharing,
    targets,
    uploading,
)
from benchmarks.certificate import make_certificate
from benchmarks.contenders import BASE, CONTENDERS, DIRECT, OURS, Contender, choose
from benchmarks.driver import Offering
from benchmarks.exchange import Column, Session, measure
from benchmarks.nginx import served
from benchmarks.process import BenchmarkError, Process, cpu_seconds, one_processor
from benchmarks.table import table
from tests.support.processes import IN_CI, free_port, missing

pytestmark = IN_CI  # they take long, and are not what people use

PATIENCE = 20.0
NAMES = [each.name for each in CONTENDERS]

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


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (Column("answer", 8, rounds=4, size=30, warm=10), {DIRECT, OURS, BASE, "raw"}),
        (Column("ask", 8, rounds=4, size=30, warm=10), {DIRECT, OURS, BASE, "raw"}),
        (Column("hold", 4, 20, rounds=4, size=30, warm=10), {DIRECT, OURS, BASE}),
        (Column("ask", 4, 20, rounds=4, size=30, warm=10), {DIRECT, OURS, BASE, "raw"}),
    ],
    ids=["answering", "asking", "with offers open", "with requests pending"],
)
def test_every_exchange_of_every_contender_is_checked_and_measured(column, names):
    before = os.sched_getaffinity(0)
    rows = measure(column, choose(column.role, names))
    assert rows.keys() == names
    for row in rows.values():
        assert row["ratio"] > 0
        assert row["microseconds"] > 0
    assert rows[BASE]["ratio"] == 1
    assert os.sched_getaffinity(0) == before


def test_slixmpp_takes_part_in_every_role():
    pytest.importorskip("slixmpp")
    for column in (
        Column("answer", 4, rounds=1, size=20, warm=5),
        Column("ask", 4, rounds=1, size=20, warm=5),
        Column("hold", 4, 10, rounds=1, size=20, warm=5),
    ):
        assert measure(column, choose(column.role, ["slixmpp"]))["slixmpp"]["ratio"] > 0


@pytest.mark.parametrize(("role", "names"), [("ask", [DIRECT, OURS]), ("hold", [DIRECT, OURS])])
def test_as_many_stay_open_as_the_column_says(role, names):
    with ExitStack() as stack:
        for contender in choose(role, names):
            session = Session(contender, Column(role, 4, 20, rounds=1, size=30), stack)
            session.attempt(session.begin)
            session.attempt(session.slice)
            assert session.error is None
            assert len(session.driver.open) == (24 if role == "ask" else 20)


@pytest.mark.parametrize(
    ("role", "mode", "complaint"),
    [
        ("answer", "secret", "does not know the secret"),
        ("answer", "error", "something else came"),
        ("answer", "twice", "came twice"),
        ("answer", "id", "to no offer"),
        ("answer", "to", "the answer to offer 0 went to b'u1@d.example/lab'"),
        ("answer", "nobody", "something else came"),
        ("answer", "mute", "nothing came for 0.5 s"),
        ("answer", "ends", "what it says at last"),
        ("ask", "url", "a request for b'http://127.0.0.1/other' came"),
        ("ask", "many", "3 requests are pending at once"),
        ("ask", "get", "something else came"),
        ("ask", "lies", "it said 'ok 16' after 17 requests"),
        ("ask", "mute", "nothing came for 0.5 s"),
    ],
)
def test_a_contender_that_does_wrong_has_no_figures_and_the_others_go_on(
    role, mode, complaint, tmp_path, monkeypatch
):
    monkeypatch.setattr(exchange, "PATIENCE", PATIENCE)
    monkeypatch.setattr(driver, "PATIENCE", 0.5 if mode == "mute" else PATIENCE)
    script = tmp_path / "wrong.py"
    script.write_text(WRONG)
    wrong = Contender("wrong", "sys", {role: (str(script), mode)})

    rows = measure(Column(role, 2, rounds=2, size=5, warm=5), [wrong, *choose(role, only=[])])

    assert rows["wrong"].keys() == {"error"}
    assert complaint in rows["wrong"]["error"]
    assert rows[BASE]["ratio"] == 1
    assert program.failed({"part": {"column": rows}})
    assert not program.failed({"part": {"column": {BASE: rows[BASE]}}})
    assert f"* wrong, W: {rows['wrong']['error']}\n" in exchange.report({"W": rows})


def test_a_figure_is_the_median_of_the_rounds_ratios():
    # The machine is slow in the second round, and disturbed one contender in the third.
    with ExitStack() as stack:
        session = Session(choose("answer")[0], Column("answer", 1), stack)
        session.spent = [1e-6, 4e-6, 9e-6]
        assert session.row([2e-6, 8e-6, 2e-6]) == {"ratio": 0.5, "microseconds": 4.0}


def test_without_the_base_there_are_no_ratios(tmp_path):
    script = tmp_path / "wrong.py"
    script.write_text(WRONG)
    broken = Contender(BASE, "sys", {"answer": (str(script), "ends")})
    with pytest.raises(BenchmarkError, match=r"wokkel: .*what it says at last"):
        measure(
            Column("answer", 2, rounds=2, size=5, warm=5), [choose("answer", [DIRECT])[0], broken]
        )


def test_offers_come_from_ten_thousand_peers_in_turn():
    class Stream:
        domain, sent = "peer.example", b""

        def send(self, data):
            self.sent += data

    stream = Stream()
    Offering(stream, in_flight=1).offer(10_002)
    senders = re.findall(rb" from='(.*?@.*?/.*?)'", stream.sent)
    assert len(set(senders[:10_000])) == 10_000
    assert senders[10_000:] == senders[:2]


def test_a_process_is_measured_from_outside_and_ended():
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with Process([sys.executable, "-c", code]) as process:
        assert process.line(PATIENCE) == str(process.pid)
        assert 0 < cpu_seconds(process.pid) < PATIENCE
        assert process.resident() > 1000
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_processes_share_one_processor_with_their_driver():
    before = os.sched_getaffinity(0)
    code = "import os; print(*os.sched_getaffinity(0))"
    with one_processor(), Process([sys.executable, "-c", code]) as process:
        assert process.line(PATIENCE) == f"{max(before)}"
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("code", ["", "import time; time.sleep(600)"])
def test_a_process_that_says_nothing_is_an_error(code):
    with (
        Process([sys.executable, "-c", code]) as process,
        pytest.raises(BenchmarkError, match="it ended, or said nothing for 1 s"),
    ):
        process.line(1)


def test_memory_is_by_thousand(monkeypatch):
    monkeypatch.setattr(memory, "MANY", 8000)  # few would be lost in the noise
    figures = memory.run(quick=True, only=[])
    for rows in figures.values():
        assert rows.keys() == {BASE}
        assert 100 < rows[BASE]["kib"] < 20_000
    assert BASE in memory.report(figures)


@pytest.fixture
def tiny(monkeypatch):
    """The part exchange of two small columns; and no handler of signals stays behind."""

    def small(column, contenders):
        return measure(Column(column.role, 2, rounds=2, size=5, warm=5), contenders)

    monkeypatch.setattr(exchange, "measure", small)
    monkeypatch.setattr(exchange, "COLUMNS", {"A": ("answer", 2, 0), "B": ("ask", 2, 0)})
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)


def test_the_program_prints_tables_and_puts_them_into_the_readme(
    tiny, capsys, monkeypatch, tmp_path
):
    text_before = program.README.read_text()
    assert text_before.count(program.BEGIN) == text_before.count(program.END) == 1
    readme = tmp_path / "README.rst"
    readme.write_text(text_before)
    monkeypatch.setattr(program, "README", readme)

    assert program.main(["exchange", "--only", "raw", "--readme"]) == 0

    text = capsys.readouterr().out
    assert "CPU per exchange\n----------------\n" in text
    assert re.search(r"^wokkel +1\.00 \(.*µs\) +1\.00 \(.*µs\)$", text, re.MULTILINE)
    assert re.findall(r"^([a-z-]+) +\d", text, re.MULTILINE) == [BASE, "raw"]
    before, _, rest = text_before.partition(program.BEGIN)
    after = rest.partition(program.END)[2]
    assert readme.read_text() == f"{before}{program.BEGIN}\n{text}\n{program.END}{after}"


def test_a_part_that_fails_leaves_the_others_their_figures(tiny, capsys, monkeypatch):
    def run(*, quick):
        raise BenchmarkError("what went\nwrong")

    monkeypatch.setattr(fetching, "run", run)
    assert program.main(["exchange", "fetching", "--only", "raw"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^wokkel +1\.00 ", said, re.MULTILINE)
    assert "Fetching\n--------\n\nFailed: what went wrong\n" in said


def test_an_nginx_that_does_not_start_is_quoted(tmp_path, monkeypatch):
    script = tmp_path / "nginx"
    script.write_text("#!/bin/sh\necho what it said >&2; exit 1\n")
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with (
        pytest.raises(BenchmarkError, match="nginx does not start: what it said"),
        served(tmp_path, tmp_path),
    ):
        pass


def test_both_sides_verify_the_web_server(tmp_path):
    file = tmp_path / "certificate"
    make_certificate(file)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "one").write_bytes(b"x")
    other = tmp_path / "other"
    make_certificate(other)
    with served(tmp_path, tmp_path / "root", certificate=file) as url:
        place = fetching.Place(url, file, tmp_path, *fetching.QUICK)
        script = f"{fetching._curl(place)} $2/one"
        assert fetching._fetched(place, "one")[0] > 0
        assert fetching._shell(place, script) > 0
        unknown = replace(place, ca_file=other)
        with pytest.raises(BenchmarkError, match="certificate"):
            fetching._shell(unknown, script)
        with pytest.raises(BenchmarkError, match=r"certificate verify failed"):
            fetching._fetched(unknown, "one")


def test_a_program_that_fails_is_quoted(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    place = fetching.Place(url, None, tmp_path, *fetching.QUICK)
    with pytest.raises(BenchmarkError, match=r"exit 7.*: what it said"):
        fetching._shell(place, "echo what it said >&2; exit 7")
    with pytest.raises(BenchmarkError, match=r"it ended, or .*refused"):
        fetching._fetched(place, "large")


def test_options_may_be_between_parts():
    given = program.options(["fetching", "--quick", "memory"])
    assert (given.parts, given.quick) == (["memory", "fetching"], True)
    assert program.options([]).parts == list(program.DEFAULT)
    assert program.options(["--quick", "all"]).parts == list(program.PARTS)


def test_who_is_not_installed_is_left_out_and_named(monkeypatch):
    for module in ("benchmarks.contenders", "benchmarks.__main__"):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: name in {"twisted", "wokkel"})
    assert [each.name for each in choose("ask")] == [BASE, "raw"]
    assert "no slixmpp" in program.environment(quick=True)


def test_slixmpp_is_spared_what_it_takes_hours_for(monkeypatch):
    measured = {}
    monkeypatch.setattr(
        exchange, "measure", lambda column, who: measured.update({column: [it.name for it in who]})
    )
    monkeypatch.setattr("benchmarks.contenders.find_spec", bool)
    exchange.run()
    found = {(column.role, column.held): names for column, names in measured.items()}
    assert found["ask", 0] == NAMES
    assert found["ask", 10_000] == [DIRECT, OURS, BASE, "raw"]
    assert found["hold", 10_000] == [DIRECT, OURS, BASE, "slixmpp"]


def exchanges(**ratios):
    rows = {name.replace("_", "-"): {"ratio": ratio} for name, ratio in ratios.items()}
    return rows | {BASE: {"ratio": 1.0}}


def verdicts(figures):
    lines = targets.judge(figures).splitlines()[6:-1]
    return {re.split("  +", line)[0]: line.split()[-2:] for line in lines}


def test_targets_are_judged_if_there_are_figures():
    assert targets.judge({}) == ""
    figures = {
        "exchange": {
            "answering, W=64": exchanges(ours_direct=0.334, ours=0.994, slixmpp=2.0),
            "asking, W=64": exchanges(ours_direct=0.306, ours=0.996, slixmpp=0.9),
            "10,000 pending": exchanges(ours_direct=0.373),
        },
        "memory": {
            "KiB per 1,000 pending requests": {DIRECT: {"kib": 1250.4}},
            "KiB per 1,000 open offers": {DIRECT: {"kib": 1500.6}, BASE: {"kib": 1.0}},
        },
        "fetching": {
            "small / curl": {"ratio": [3.5, 0.5, 9.0]},
            "small / curl, https": {"ratio": [2.99, 0.5, 9.0]},
            "large / curl, sha256sum, sync": {"ratio": [0.81, 0.5, 9.0]},
            "large / curl, sha256sum, sync, https": {"ratio": [0.804, 0.5, 9.0]},
            "peak memory, MB more": {"ratio": [5.004]},
            "99th percentile / without a fetch": {"ratio": [2.01, 0.5, 9.0]},
        },
    }
    assert figures["exchange"].keys() < exchange.COLUMNS.keys()
    assert figures["memory"].keys() == memory.ROLES.keys()
    assert verdicts(figures) == {
        "ours-direct, answering, W=64": ["0.33", "met"],
        "ours-direct, asking, W=64": ["0.31", "missed"],
        "ours, answering, W=64": ["0.99", "met"],
        "ours, asking, W=64": ["1.00", "missed"],
        "ours / slixmpp, answering, W=64": ["0.50", "met"],
        "ours / slixmpp, asking, W=64": ["1.11", "missed"],
        "ours-direct, 10,000 pending / asking, W=64": ["1.22", "missed"],
        "ours-direct, KiB per 1,000 pending requests": ["1,250", "met"],
        "ours-direct, KiB per 1,000 open offers": ["1,501", "missed"],
        "small / curl": ["3.50", "met"],
        "small / curl, https": ["2.99", "missed"],
        "large / curl, sha256sum, sync": ["0.81", "missed"],
        "large / curl, sha256sum, sync, https": ["0.80", "met"],
        "peak memory, MB more": ["5.00", "met"],
        "99th percentile / without a fetch": ["2.01", "missed"],
    }
    figures["memory"]["KiB per 1,000 open offers"][DIRECT] = {"error": "it ended"}
    figures["fetching"] = {"error": "nginx is not installed"}
    assert len(verdicts(figures)) == 8


def test_tables_are_as_wide_as_what_they_hold():
    assert table(["", "head"], [["a", "1"], ["name", "12345"]]) == (
        "====  =====\n       head\n====  =====\na         1\nname  12345\n====  =====\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["speed"],
            "'speed' is not one of exchange, memory, fetching, sharing, uploading, command, all\n",
        ),
        (["--only", "raw,perl"], "'perl' is not one of ours-direct"),
    ],
)
def test_a_wrong_command_line_is_an_error(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_sharing_measures_what_it_says(monkeypatch, tmp_path):
    try:
        with served(tmp_path, tmp_path):
            pass
    except BenchmarkError as error:
        missing(str(error), "the Debian package nginx")
    monkeypatch.setattr(sharing, "QUICK", (4, 2))
    figures = sharing.run(quick=True)
    text = sharing.report(figures)
    for name, row in figures.items():
        assert len(row["ratio"]) == (1 if "memory" in name else 2)
        assert f"{name}  " in text
    assert verdicts({"sharing": figures}).keys() == figures.keys()
    assert abs(figures["share, peak memory, MB more"]["ratio"][0]) < 100


def test_uploading_measures_what_it_says(monkeypatch, tmp_path):
    try:
        with served(tmp_path, tmp_path, uploads=True):
            pass
    except BenchmarkError as error:
        missing(str(error), "the Debian package nginx")
    monkeypatch.setattr(uploading, "QUICK", (2, 1))
    figures = uploading.run(quick=True)
    text = uploading.report(figures)
    for name, row in figures.items():
        assert len(row["ratio"]) == 1
        assert f"{name}  " in text
    assert verdicts({"uploading": figures}).keys() == figures.keys()
    assert abs(figures["upload, peak memory, MB more"]["ratio"][0]) < 100


def test_an_upload_that_fails_has_no_figures(tmp_path):
    (tmp_path / "large").touch()
    place = uploading.Place(f"http://127.0.0.1:{free_port()}", tmp_path, tmp_path, *uploading.QUICK)
    with pytest.raises(BenchmarkError, match=r"curl .*-T .*onnect"):
        uploading._curl(place)
    with pytest.raises(BenchmarkError, match=r"it ended, or .*could not be reached"):
        uploading._put(place, "large")


def test_a_file_that_curl_cannot_read_has_no_figures():
    with pytest.raises(BenchmarkError, match=r"curl: .*onnect"):
        sharing._read("http://127.0.0.1:1/")


def test_fetching_measures_what_it_says(monkeypatch, tmp_path):
    try:
        with served(tmp_path, tmp_path):
            pass
    except BenchmarkError as error:
        missing(str(error), "the Debian package nginx")
    monkeypatch.setattr(fetching, "QUICK", (4, 6, 2))
    figures = fetching.run(quick=True)
    text = fetching.report(figures)
    for name, row in figures.items():
        assert len(row["ratio"]) == (1 if "memory" in name else 2)
        assert f"{name}  " in text
    assert verdicts({"fetching": figures}).keys() == figures.keys()
    assert abs(figures["peak memory, MB more"]["ratio"][0]) < 100


def test_the_command_is_measured_from_its_start_to_its_exit(monkeypatch):
    monkeypatch.setattr(command, "QUICK", 1)
    figures = command.run(quick=True)
    text = command.report(figures)
    for name, row in figures.items():
        assert len(row["ratio"]) == 1
        assert row["ratio"][0] > 0
        assert f"{name}  " in text
    assert verdicts({"command": figures}).keys() < figures.keys()


def test_a_command_that_fails_is_quoted(tmp_path):
    with pytest.raises(BenchmarkError, match="missing: No such file"):
        command._seconds(tmp_path, command.OOB, ["send", "missing", "a.b"])
