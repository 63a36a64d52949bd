"""A test that hangs fails by its name, and the tests after it run."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import IN_CI, ROOT

HANGING = """
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

def loop():
    while True:
        pass

@pytest.fixture
def waits():
    pytest_twisted.blockon(Deferred())

@pytest_twisted.async_yield_fixture
async def fires_late():
    waited_for = Deferred()
    yield waited_for
    waited_for.callback(None)
    await deferLater(reactor, 0)

@pytest_twisted.ensureDeferred
async def test_waits():
    await Deferred()

@pytest_twisted.ensureDeferred
async def test_ends_late(fires_late):
    await fires_late

def test_fixture(waits):
    pass

def test_loops():
    loop()

@pytest_twisted.ensureDeferred
async def test_reactor_loops():
    reactor.callLater(0, loop)
    await Deferred()

@pytest_twisted.ensureDeferred
async def test_right():
    await deferLater(reactor, 0)
"""


@IN_CI
def test_what_hangs_fails_and_what_follows_runs(tmp_path):
    (tmp_path / "test_hanging.py").write_text(HANGING)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.support.hangs",
            "--timeout=0.5",
            tmp_path,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for name in ("waits", "ends_late", "fixture", "loops", "reactor_loops"):
        assert f"::test_{name} did not end within 0.5 seconds" in done.stdout
    assert "4 failed, 1 passed, 1 error in" in done.stdout
