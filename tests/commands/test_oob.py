"""The group of the commands: help, errors in one line, completion, and what it imports."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.support.oob_page import PAGE, page
from tests.support.processes import ROOT
from twisted_oob.commands.events import Checked, End, FileReceived, Summary
from twisted_oob.commands.oob import main

pytest_plugins = ["tests.support.commands"]

COMMANDS = ["send", "receive", "check"]


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_the_help_names_the_commands(typed, words):
    shown = typed(*words)
    assert shown.status == 0
    for name in main.list_commands(None):
        assert f"\n  {name} " in shown.output


def test_without_a_command_the_help_is_an_error(typed):
    shown = typed()
    assert shown.status == 2
    assert shown.output == ""
    assert shown.errors == typed("--help").output


def test_the_version(typed):
    from twisted_oob import __version__

    assert typed("--version").output == f"oob {__version__}\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nope"], "oob: No such command 'nope'."),
        (["--nope"], "oob: No such option"),
        (["check", "--nope"], "oob check: No such option"),
        (["check", "extra"], "oob check: Got unexpected extra argument (extra)"),
        (["send"], "oob send: give a FILE or URL, and behind it the JID that gets it"),
        (["check", "--port", "x\ny"], "oob check: --port 'x\\ny' is not valid: expected a TCP "),
        (["send", "f", "b@c", "--via", "x"], "oob send: Invalid value for '--via': 'x' is not one"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(typed, words, line):
    shown = typed(*words)
    assert shown.errors.startswith(line)
    assert shown.errors.count("\n") == 1
    assert (shown.status, shown.output) == (2, "")


def wide(command):
    """Make a context for help whose lines are not folded."""
    return click.Context(command, terminal_width=100)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_of_itself_what_the_list_says(name):
    command = main.get_command(None, name)
    said = command.get_short_help_str(limit=200)
    listed = next(line for line in main.get_help(wide(main)).splitlines() if name in line)
    assert listed.split(maxsplit=1)[1] == said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_its_help_and_its_default_there(name):
    command = main.get_command(None, name)
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in {"help", "config"}:
            assert option.help, option
            assert option.show_default or option.default is not None, option
    assert "[default: $XDG_CONFIG_HOME/oob/config.toml]" in " ".join(
        command.get_help(wide(command)).split()
    )


def test_a_question_that_is_interrupted_is_status_130(typed, monkeypatch):
    def interrupted(*_words, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr("twisted_oob.commands.connection.Connection.read_secret", interrupted)
    assert typed("check").status == 130


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "completed"),
    [("oob s", "send"), ("oob send --passw", "--password-file"), ("oob send --via ", "upload")],
)
def test_shells_complete(typed, shell, words, completed):
    last = "" if words.endswith(" ") else words.split()[-1]
    environment = {"_OOB_COMPLETE": f"{shell}_complete", "COMP_WORDS": words}
    # fish gives the word itself, the other shells where it stands.
    environment["COMP_CWORD"] = last if shell == "fish" else str(len(words.rstrip().split(" ")))
    if last and shell != "fish":
        environment["COMP_CWORD"] = str(len(words.split()) - 1)
    assert completed in typed(env=environment).output


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("send ho", "file"),
        ("receive --download-dir ho", "dir"),
        ("check --ca-file ho", "file"),
        ("check --config ho", "file"),
    ],
)
def test_a_shell_completes_paths_by_itself(typed, words, kind):
    environment = {"_OOB_COMPLETE": "bash_complete", "COMP_WORDS": f"oob {words}"}
    environment["COMP_CWORD"] = str(len(words.split()))
    assert typed(env=environment).output == f"{kind},ho\n"


def test_a_shell_gets_its_script(typed):
    assert "_OOB_COMPLETE=bash_complete" in typed(env={"_OOB_COMPLETE": "bash_source"}).output


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed_are_no_fault(tmp_path, closed):
    code = "from twisted_oob.commands.oob import main; main()"
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -c "$1" send missing b@c {closed}', sys.executable, code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    line = "" if "2>&-" in closed else "oob send: missing: No such file or directory\n"
    assert (done.stdout, done.stderr) == ("", line)


@pytest.mark.parametrize("words", ["--version", "--help", "send --help", "missing"])
def test_a_full_disk_is_one_line(words):
    code = "from twisted_oob.commands.oob import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *words.split()],
            env={"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if words == "missing":
        assert done.returncode == 2
    else:
        line = "oob: the results can't be written: No space left on device\n"
        assert (done.returncode, done.stderr) == (74, line)


@pytest.mark.parametrize("words", [["--help"], ["send", "--help"]])
def test_help_imports_neither_a_reactor_nor_what_transfers(words):
    code = f"""
import sys
from twisted_oob.commands.oob import main
try:
    main({words!r})
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = done.stderr.split()
    for name in ("twisted.internet.reactor", "twisted_oob.commands.errand", "tqdm"):
        assert name not in loaded


def test_the_manual_has_every_option_as_the_help_has_it():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run python -m tests.support.oob_page"
    for name in main.list_commands(None):
        assert f".. options of {name}\n" in text or name == "check"


def test_the_manual_has_every_event_with_its_keys():
    shown = [
        json.loads(line)
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("    {")
    ]
    for kind in (End, Summary, FileReceived, Checked):
        [example] = [event for event in shown if event["event"] == kind.event]
        fields = [field.name for field in dataclasses.fields(kind)]
        assert list(example)[1:] == ["from" if name == "sender" else name for name in fields]
