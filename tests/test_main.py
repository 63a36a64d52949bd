"""``python -m twisted_oob``: what a newcomer reads who tries it first."""

from __future__ import annotations

import runpy
import sys

import pytest

from twisted_oob import __version__
from twisted_oob.commands import oob


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["twisted_oob", *arguments])
    monkeypatch.delitem(sys.modules, "twisted_oob.__main__", raising=False)
    with pytest.raises(SystemExit) as raised:
        runpy.run_module("twisted_oob", run_name="__main__")
    return raised.value.code


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["--version"]])
def test_it_says_what_there_is(monkeypatch, capsys, arguments):
    assert run(monkeypatch, *arguments) == 0
    out, err = capsys.readouterr()
    assert __version__ in out
    assert "oob-responder --demo" in out
    assert all(f"oob {command} " in out for command in oob.main.list_commands(None))
    assert err == ""


@pytest.mark.parametrize("arguments", [["send", "file", "jid"], ["send", "--help"], ["help"]])
def test_it_is_no_command_itself(monkeypatch, capsys, arguments):
    assert run(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "oob send FILE JID" in err
