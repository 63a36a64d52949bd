"""Python code that runs in a process of its own; a pytest plugin."""

from __future__ import annotations

import sys

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from tests.support.processes import ROOT, Program


@pytest.fixture
def python(tmp_path):
    """Run Python code; gives its Program, which ends with the test."""
    from twisted.internet import reactor

    made = []

    def start(code):
        # Buffered, whatever those who run the tests are used to.
        environment = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
        command = [sys.executable, "-c", code]
        made.append(Program(reactor, command, tmp_path, environment=environment))
        return made[-1]

    yield start
    for program in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(program.stop()))
