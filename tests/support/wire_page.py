"""docs/wire.rst, made of the table of rules: ``python -m tests.support.wire_page`` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from twisted_oob.protocol.rules import ANSWERS, BOUNCES, REQUESTS, SENT, WAITS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "wire.rst"

_EXAMPLE = {
    "peer": "juliet@example.org/phone",
    "bare": "juliet@example.org",
    "domain": "example.org",
    "me": "files.example.org",
    "stranger": "mallory@example.net/x",
    "id": "9f2c...",
    "other": "41d0...",
}
_HEAD = """\
===========
On the wire
===========

What comes in and what goes out, in full. This page is made of the table in
``twisted_oob/protocol/rules.py``, and the tests play each of its rules on every kind of stream.
Don't edit it: run ``python -m tests.support.wire_page``.
"""
_BOUNCES = """
With a ``bounce_timeout``; ``None`` if nothing of this comes in that time.
"""

_ROWS = """
.. list-table::
   :header-rows: 1

"""


def _section(title):
    return f"\n{title}\n{'=' * len(title)}\n"


def _table(*rows):
    text = _ROWS
    for first, *others in rows:
        text += f"   * - {first}\n" + "".join(f"     - {cell}\n" for cell in others)
    return text


def _indented(xml):
    """Put each element that holds others on lines of its own."""
    depth, lines = 0, []
    closed = re.sub(r"<(\w+)( [^<>/]*)?></\1>", r"<\1\2/>", xml.format(**_EXAMPLE))
    for piece in closed.replace("><", ">\0<").split("\0"):
        if piece.startswith("</"):
            depth -= 1
        lines.append("  " * depth + piece)
        if not piece.startswith("</") and not piece.endswith("/>") and "</" not in piece:
            depth += 1
    return lines


def _example(xml):
    lines = _indented(xml)
    return "\n::\n\n" + "".join(f"    {line}\n" for line in lines)


def _outcomes(method, rules):
    return _table(
        ("comes in", method),
        *(
            (
                rule.comes_in,
                "waits on: this is ignored"
                if rule.outcome == WAITS
                else f"fires with ``{rule.outcome!r}``",
            )
            for rule in rules
        ),
    )


def page():
    """Give the whole page."""
    text = _HEAD + _section("What others send us")
    text += _table(
        ("comes in", "what the application does", "goes out"),
        *((rule.comes_in, rule.application, rule.goes_out) for rule in REQUESTS),
    )
    text += _section("What send_url fires with") + _outcomes("send_url", ANSWERS)
    text += _section("What send_message fires with")
    text += _BOUNCES + _outcomes("send_message", BOUNCES)
    text += _section("Examples")
    shown = set()
    for rule in REQUESTS:
        if rule.stanza not in shown:
            shown.add(rule.stanza)
            text += f"\n{rule.comes_in[0].upper()}{rule.comes_in[1:]}:\n{_example(rule.stanza)}"
        if rule.answer and rule.answer not in shown:
            shown.add(rule.answer)
            text += f"\nOut goes {rule.goes_out}:\n{_example(rule.answer)}"
    text += f"\nOut goes what ``send_message`` makes of a file:\n{_example(SENT)}"
    for answer in ANSWERS + BOUNCES:
        text += f"\n{answer.comes_in[0].upper()}{answer.comes_in[1:]}:\n{_example(answer.stanza)}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
