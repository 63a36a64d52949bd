"""Wokkel 18 on today's Twisted, once ``twisted_oob`` is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("module", ["data_form", "disco", "muc", "ping", "pubsub"])
def test_wokkel_imports_after_twisted_oob(module):
    code = f"import twisted_oob, wokkel.{module}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_names_that_are_there_stay_as_they_are():
    code = """
import sys
from twisted.python import compat
sys.modules["twisted.python.constants"] = constants = object()
compat._PY3 = flag = object()
from twisted_oob import _compat
_compat.restore_names_for_wokkel()
assert compat._PY3 is flag
assert sys.modules["twisted.python.constants"] is constants
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
