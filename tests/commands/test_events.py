"""Events: the JSON and the sentences that commands write."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.processes import ROOT
from twisted_oob.commands.events import (
    End,
    FileFailed,
    FileReceived,
    Reporter,
    Summary,
    to_json,
)

EVIL = "a\x1b[2J\r\n\x7f\x9b\u202eb\u2028"

END = {
    "file": "a/b.pdf",
    "to": "bob@example.org/oob",
    "url": "https://h.example/token/b.pdf?key=secret",
    "via": "share",
    "how": "iq",
    "outcome": "received",
    "condition": None,
    "text": None,
    "bytes": 1_200_000,
    "sha256": "ab" * 32,
    "seconds": 3.00049,
}
TAKEN = {
    "sender": "alice@example.org/phone",
    "url": "https://h.example/b.pdf?key=secret",
    "desc": "for you",
    "file": "/home/bob/b.pdf",
    "bytes": 9,
    "sha256": "ab" * 32,
    "seconds": 0.25,
}


def test_the_keys_of_each_object_and_their_order():
    keys = [
        *("event", "file", "to", "url", "via", "how", "outcome", "condition", "text", "bytes"),
        *("sha256", "seconds"),
    ]
    assert list(json.loads(to_json(End(**END)))) == keys
    assert list(json.loads(to_json(Summary(ok=1, failed=2)))) == ["event", "ok", "failed"]
    keys = [
        *("event", "from", "url", "desc", "file", "bytes", "sha256", "seconds", "condition"),
        "text",
    ]
    for kind in (FileReceived, FileFailed):
        assert list(json.loads(to_json(kind(**TAKEN)))) == keys


def test_the_values_of_an_object():
    assert json.loads(to_json(End(**END))) == {"event": "end"} | END | {"seconds": 3.0}
    assert json.loads(to_json(Summary(ok=1, failed=2))) == {"event": "summary", "ok": 1,
                                                            "failed": 2}  # fmt: skip
    failed = {**TAKEN, "file": None, "condition": "item-not-found", "text": "HTTP 404"}
    expected = {"event": "failed", "from": TAKEN["sender"], **failed}
    del expected["sender"]
    assert json.loads(to_json(FileFailed(**failed))) == expected


def test_json_is_readable_one_line_and_steers_no_terminal():
    line = to_json(End(**{**END, "file": "Grüße 😀.txt", "text": EVIL}))
    assert "Grüße 😀.txt" in line
    assert line.isprintable()
    assert json.loads(line)["text"] == EVIL


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters()))
def test_any_text_comes_back_out_of_json(text):
    output = io.BytesIO()
    Reporter(as_json=True, output=output).tell(End(**{**END, "file": text}))
    line = output.getvalue().decode()
    assert line[-1] == "\n"
    assert line[:-1].isprintable()
    assert json.loads(line)["file"] == text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "a/b.pdf: bob@example.org/oob has it (1.2 MB in 3.0 s, 400 kB/s)"),
        (
            {"outcome": "fetched", "seconds": 0.1},
            "a/b.pdf: bob@example.org/oob fetched all of it (1.2 MB in 0.1 s)",
        ),
        (
            {"outcome": "sent", "file": None, "bytes": None, "sha256": None, "via": "url"},
            "https://h.example/token/b.pdf: sent to bob@example.org/oob",
        ),
        (
            {"outcome": "not-found", "condition": "item-not-found", "text": "HTTP 404"},
            "a/b.pdf: bob@example.org/oob could not fetch it: HTTP 404",
        ),
        (
            {"outcome": "reject", "condition": "not-acceptable"},
            "a/b.pdf: bob@example.org/oob did not take it: not-acceptable",
        ),
        ({"outcome": "unavailable"}, "a/b.pdf: nobody takes it at bob@example.org/oob"),
        (
            {"outcome": "wait"},
            "a/b.pdf: bob@example.org/oob can't take it now; try again later",
        ),
        ({"outcome": "timeout"}, "a/b.pdf: bob@example.org/oob gave no answer in time"),
        (
            {"outcome": "timeout", "how": "message"},
            "a/b.pdf: bob@example.org/oob did not fetch all of it in time",
        ),
        (
            {"outcome": "upload-failed", "url": None, "text": "no space"},
            "a/b.pdf: not sent to bob@example.org/oob, as the upload failed: no space",
        ),
    ],
)
def test_the_sentence_about_what_was_sent(changes, sentence):
    assert End(**END | changes).sentence() == sentence


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (Summary(ok=1, failed=2), "1 of 3 arrived"),
        (
            FileReceived(**TAKEN),
            "/home/bob/b.pdf: received from alice@example.org/phone (9 bytes in 0.2 s)",
        ),
        (FileReceived(**{**TAKEN, "sender": None}), "/home/bob/b.pdf: received (9 bytes in 0.2 s)"),
        (
            FileFailed(**TAKEN, condition="item-not-found", text="HTTP 404"),
            "b.pdf: not received from alice@example.org/phone: HTTP 404",
        ),
        (
            FileFailed(**{**TAKEN, "url": "https://h.example/token/a%20b%0A?x#y"}),
            "a b\ufffd: not received from alice@example.org/phone",
        ),
        (
            FileFailed(**{**TAKEN, "url": "https://u:p@h.example/token/"}),
            "https://h.example/token/: not received from alice@example.org/phone",
        ),
    ],
)
def test_the_sentences_about_the_rest(event, sentence):
    assert event.sentence() == sentence


@pytest.mark.parametrize(
    "event",
    [
        End(**{**END, "file": EVIL, "to": EVIL}),
        End(**{**END, "file": None, "url": f"https://h/{EVIL}", "outcome": "sent"}),
        End(**{**END, "outcome": "reject", "text": EVIL}),
        End(**{**END, "outcome": "reject", "condition": EVIL}),
        FileReceived(**{**TAKEN, "file": EVIL, "sender": EVIL}),
        FileFailed(**{**TAKEN, "url": EVIL, "sender": EVIL}, text=EVIL),
    ],
)
def test_a_sentence_steers_no_terminal_and_tells_no_secret(event):
    output = io.BytesIO()
    Reporter(as_json=False, output=output).tell(event)
    line = output.getvalue().decode()
    assert line[-1] == "\n"
    assert line[:-1].isprintable()
    assert "key=secret" not in line


@pytest.mark.parametrize(
    ("as_json", "quiet", "written"),
    [(True, False, True), (True, True, True), (False, False, True), (False, True, False)],
)
def test_who_wants_quiet_gets_json_all_the_same(as_json, quiet, written):
    output = io.BytesIO()
    Reporter(as_json=as_json, quiet=quiet, output=output).tell(Summary(ok=1, failed=0))
    assert bool(output.getvalue()) is written


def test_a_line_is_written_while_nothing_else_is_in_the_way():
    seen = []

    @contextmanager
    def aside():
        seen.append(output.getvalue())
        yield
        seen.append(output.getvalue())

    output = io.BytesIO()
    Reporter(as_json=False, aside=aside, output=output).tell(Summary(ok=1, failed=0))
    assert seen == [b"", b"1 of 1 arrived\n"]


def test_a_reader_that_has_gone_ends_it_quietly():
    code = (
        "from twisted_oob.commands import events\n"
        "reporter = events.Reporter(as_json=True)\n"
        "while True:\n"
        "    try:\n"
        "        reporter.tell(events.Summary(ok=1, failed=0))\n"
        "    except events.OutputClosed:\n"
        "        break\n"
        "reporter.tell(events.Summary(ok=1, failed=0))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert json.loads(process.stdout.readline())["event"] == "summary"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0
