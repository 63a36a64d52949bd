"""What is said, in English."""

from __future__ import annotations

import pytest

from twisted_oob import ChatTexts
from twisted_oob.files.served_folder import ServedFile

TEXTS = ChatTexts()
JULY = 1_783_000_000.0  # 2026-07-02
FILES = [ServedFile("b.png", 1, JULY), ServedFile("a.pdf", 1_200_000, 0.0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXTS.stored("report.pdf", 1_200_000), "stored report.pdf (1.2 MB)"),
        (
            TEXTS.failed("report.pdf", "HTTP status 404"),
            "could not fetch report.pdf: HTTP status 404",
        ),
        (TEXTS.too_many(1, 20), "left out 1 file: send at most 20 in one message"),
        (TEXTS.too_many(5, 20), "left out 5 files: send at most 20 in one message"),
        (
            TEXTS.listing(FILES, 0),
            "I have these files:\nb.png (1 byte, 2026-07-02)\na.pdf (1.2 MB, 1970-01-01)",
        ),
        (
            TEXTS.listing(FILES[:1], 12),
            "I have these files:\nb.png (1 byte, 2026-07-02)\n"
            "and 12 more: list PATTERN shows some, such as list *.pdf",
        ),
        (
            TEXTS.listing([ServedFile("a", 1, -2e9), ServedFile("b", 1, -6e10)], 0),
            "I have these files:\na (1 byte, 1906-08-16)\nb (1 byte, 0068-09-03)",
        ),
        *(
            (TEXTS.listing([ServedFile("a", 1, odd)], 0), "I have these files:\na (1 byte)")
            for odd in (253402300800.0, 2.0**63, -1e12, -(2.0**63))
        ),
        (TEXTS.no_files(None), "there are no files"),
        (TEXTS.no_files("*.pdf"), "there are no files like *.pdf"),
        (TEXTS.not_listed(), "could not list the files; try again later"),
        (TEXTS.no_such_file("a.png"), "there is no file a.png"),
        (TEXTS.not_sent("a.png", "it can't be read"), "could not send a.png: it can't be read"),
        (TEXTS.handed_over("a.png", 9), "sent a.png (9 bytes)"),
        (TEXTS.status(0), "ready"),
        (TEXTS.status(1), "busy: 1 transfer"),
        (TEXTS.status(3), "busy: 3 transfers"),
    ],
)
def test_a_text(text, said):
    assert text == said


def test_help_tells_what_there_is():
    without = TEXTS.help(gives_files=False, max_size=None)
    assert "list" not in without
    assert "send NAME" not in without
    with_files = TEXTS.help(gives_files=True, max_size=1_000_000_000)
    assert [line.partition(":")[0] for line in with_files.splitlines()[1:]] == [
        "list",
        "send NAME",
        "help",
    ]
    assert "at most 1.0 GB" in with_files
