"""Values of options: what click makes of our parsers."""

from __future__ import annotations

import click
import pytest

from twisted_oob.commands.parameters import BadValue, Value
from twisted_oob.commands.values import parse_existing_file, parse_port


def parse(value, kind, *words):
    @click.command()
    @click.option("-p", "--port", type=kind, default=value)
    def command(port):
        return port

    return command.main(words, standalone_mode=False)


def test_a_value_is_parsed_wherever_it_comes_from():
    kind = Value(parse_port, "PORT")
    assert parse("5", kind) == 5
    assert parse("5", kind, "--port", "6") == 6
    assert parse(None, kind) is None


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        (
            Value(parse_port, "PORT"),
            "x",
            "--port 'x' is not valid: expected a TCP port, 1 to 65535",
        ),
        (Value(parse_existing_file, "FILE"), "x" * 300, "is not valid: File name too long"),
    ],
)
def test_a_bad_value_is_told_as_twistd_tells_it(kind, text, line):
    with pytest.raises(BadValue) as raised:
        parse(None, kind, "-p", text)
    assert raised.value.format_message().endswith(line)
    assert raised.value.exit_code == 2
    assert line.endswith(raised.value.message)
