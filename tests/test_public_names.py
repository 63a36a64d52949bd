"""The public names: each is where the table says, and none is imported before somebody asks."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import twisted_oob
from tests.support.processes import ROOT


def run(code):
    """Run code in a fresh interpreter; give what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_type_checkers_and_programs_get_the_same_names():
    tree = ast.parse(Path(twisted_oob.__file__).read_text(encoding="utf-8"))
    [checked] = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    for_checkers = {
        node.module.removeprefix("twisted_oob."): tuple(alias.name for alias in node.names)
        for node in checked.body
    }
    assert for_checkers == twisted_oob._HOMES
    named = {name for names in for_checkers.values() for name in names}
    assert named | {"__version__"} == set(twisted_oob.__all__)


def test_each_name_is_its_modules():
    from twisted_oob.protocol.handler import OOBHandler

    assert twisted_oob.OOBHandler is OOBHandler
    assert vars(twisted_oob)["OOBHandler"] is OOBHandler
    assert set(twisted_oob.__all__) <= set(dir(twisted_oob))


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="module 'twisted_oob' has no attribute 'Nothing'"):
        twisted_oob.Nothing  # noqa: B018


def test_no_wing_is_imported_before_somebody_asks():
    code = """
import sys, twisted_oob
print(*[name for name in sys.modules if name.startswith("twisted_oob.") and "._" not in name])
"""
    assert run(code) == []
