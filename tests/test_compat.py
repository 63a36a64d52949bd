"""Wokkel 18 on today's Twisted, once ``twisted_oob`` is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(code):
    """Run code in a new interpreter; it must not raise."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["data_form", "disco", "muc", "ping", "pubsub"])
def test_wokkel_imports_after_twisted_oob(module):
    run(f"import twisted_oob, wokkel.{module}")


WOKKEL = (
    "client component data_form disco generic iwokkel muc ping pubsub server subprotocols xmppim"
)


@pytest.mark.parametrize(
    ("first", "ours"),
    [
        # These fail before.
        ("disco", "import twisted_oob.errors"),
        ("data_form", "from twisted_oob import testing"),
        ("muc", "import twisted_oob"),
        # These do not.
        ("client", "import twisted_oob"),
        ("generic", "import twisted_oob._version"),
        ("xmppim", "from twisted_oob import OOBHandler"),
    ],
)
def test_wokkel_imports_whatever_was_imported_or_failed_to_import_before(first, ours):
    run(f"""
import importlib
try:
    import wokkel.{first}
except ImportError:
    pass
try:
    from twisted.python import constants
except ImportError:
    pass
{ours}
for name in {WOKKEL!r}.split():
    importlib.import_module("wokkel." + name)
""")


def test_names_that_are_there_stay_as_they_are():
    run("""
import sys
from twisted.python import compat
sys.modules["twisted.python.constants"] = constants = object()
compat._PY3 = flag = object()
from twisted_oob import _compat
_compat.restore_names_for_wokkel()
assert compat._PY3 is flag
assert sys.modules["twisted.python.constants"] is constants
""")


def test_names_that_are_missing_are_put_back_where_importing_looks_for_them():
    run("""
import importlib.util, sys
import constantly, twisted.python
from twisted.python import compat
vars(compat).pop("_PY3", None)
theirs = importlib.util.find_spec("twisted.python.constants") is not None
from twisted_oob import _compat
_compat.restore_names_for_wokkel()
from twisted.python.compat import _PY3
assert _PY3 is True
from twisted.python import constants
assert constants.NamedConstant is constantly.NamedConstant
assert theirs or constants is constantly is sys.modules["twisted.python.constants"]
""")


def test_a_module_of_twisteds_own_is_not_replaced(tmp_path):
    (tmp_path / "constants.py").write_text("mine = True")
    run(f"""
import twisted.python
twisted.python.__path__.insert(0, {str(tmp_path)!r})
from twisted_oob import _compat
from twisted.python import constants
assert constants.mine
""")
