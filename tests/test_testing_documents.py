"""What ``docs/testing.rst`` says about tests is run as it stands there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "testing.rst"
_BLOCK = re.compile(r"^\.\. code-block:: python\n   :name: (.+)\n((?:    .*\n|\n)+)", re.MULTILINE)


def code(path, *names):
    """Compile the blocks of a document, each line where it stands there; all if none is named."""
    text = path.read_text(encoding="utf-8")
    source = ""
    for block in _BLOCK.finditer(text):
        if not names or block[1] in names:
            source += "\n" * (text.count("\n", 0, block.start(2)) - source.count("\n"))
            source += textwrap.dedent(block[2])
    return compile(source, str(path), "exec")


# Pytest, with pytest-twisted, finds the document's tests as if they stood here.
exec(code(DOCUMENT))

_that_fails = globals().pop("test_that_fails")


def test_the_one_that_fails():
    with pytest.raises(AssertionError) as caught:
        _that_fails()
    text = textwrap.indent(f"AssertionError: {caught.value}\n", "    ")
    assert f"\n::\n\n{text}\n" in DOCUMENT.read_text(encoding="utf-8")


def test_all_that_the_document_promises_is_there():
    expected = {
        "test_only_pictures",
        "test_a_picture_is_fetched",
        "test_the_answer_comes_after_the_fetch",
        "test_the_fetch_ends_with_the_stream",
        "test_the_report_arrived",
        "test_the_report_is_not_found",
        "test_no_answer_in_time",
        "test_the_connection_is_lost",
        "test_both_sides",
        "MessageTests",
    }
    assert expected <= globals().keys()
