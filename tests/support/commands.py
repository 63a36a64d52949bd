"""The command ``oob`` as a person runs it: in this process up to its reactor, and as a process."""

from __future__ import annotations

import sys

import click
import pytest
import pytest_twisted
from click.testing import CliRunner
from twisted.internet.defer import Deferred

from tests.support.processes import ROOT, Program
from twisted_oob.commands.config import ConfiguredCommand
from twisted_oob.commands.oob import main
from twisted_oob.commands.shared_options import shared_options

OOB = "from twisted_oob.commands.oob import main; main()"


class Oob(Program):
    """An ``oob`` process. ``output`` is its standard output, ``errors`` its standard error."""

    def __init__(self, reactor, folder, *words, before="", **options):
        self.errors = ""
        environment = {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder)}
        command = [sys.executable, "-c", before + OOB, *words]
        super().__init__(reactor, command, folder, environment=environment, **options)

    def errReceived(self, data):
        self.errors += data.decode(errors="replace")


@pytest.fixture
def oob(tmp_path):
    """Start ``oob`` in a folder of its own; gives its process, which ends with the test."""
    from twisted.internet import reactor

    made = []

    def start(*words, **options):
        made.append(Oob(reactor, tmp_path, *words, **options))
        return made[-1]

    yield start
    for program in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(program.stop()))


class Typed:
    """What a command line does that ends before anything starts."""

    def __init__(self, result):
        self.status = result.exit_code
        self.output = result.stdout
        self.errors = result.stderr


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type a command line in a folder of its own; gives what comes of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*words, **options):
        result = CliRunner().invoke(main, words, prog_name="oob", **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Typed(result)

    return run


@pytest.fixture
def parse(tmp_path, monkeypatch):
    """Parse the shared options; gives the Connection and the Output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    @click.command(cls=ConfiguredCommand)
    @shared_options
    def command(*, connection, output):
        return connection, output

    return lambda *words: command.main(words, prog_name="oob test", standalone_mode=False)


@pytest.fixture
def write(tmp_path):
    """Write a file that is private; gives its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o600)
        return path

    return write
