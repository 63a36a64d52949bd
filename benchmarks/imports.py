"""The time that an import of this project takes, by that of what it is built on."""

from __future__ import annotations

import sys
import tempfile
from statistics import median
from typing import Any

from benchmarks.process import Process
from benchmarks.table import table

PATIENCE = 60.0

# Fresh byte code is not written everywhere: here it is, into a folder of the benchmark's own.
_CODE = """
import sys, time
sys.dont_write_bytecode, sys.pycache_prefix = False, {cache!r}
began = time.process_time()
{imports}
print(time.process_time() - began)
"""
_OURS = "import twisted_oob"
# The first lines put back what Wokkel 18 wants of Twisted and no longer finds.
_PARTS = """
import constantly, twisted.python
from twisted.python import compat
compat._PY3 = True
sys.modules["twisted.python.constants"] = twisted.python.constants = constantly
import wokkel.subprotocols, wokkel.disco, twisted.web.client
"""


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure fresh interpreters in turn; gives ``ours`` and ``parts`` (CPU ms) and ``ratio``."""
    with tempfile.TemporaryDirectory() as cache:
        _import(_OURS, cache)
        _import(_PARTS, cache)
        pairs = [(_import(_OURS, cache), _import(_PARTS, cache)) for _ in range(5 if quick else 25)]
    return {
        "ours": 1000 * median(ours for ours, _ in pairs),
        "parts": 1000 * median(parts for _, parts in pairs),
        "ratio": median(ours / parts for ours, parts in pairs),
    }


def _import(imports: str, cache: str) -> float:
    """Give the CPU seconds of an import in a fresh interpreter."""
    code = _CODE.format(cache=cache, imports=imports)
    with Process([sys.executable, "-c", code]) as process:
        return float(process.line(PATIENCE))


def report(figures: dict[str, Any]) -> str:
    """Give the table."""
    return table(
        ["", "CPU ms", "ratio"],
        [
            ["import twisted_oob", f"{figures['ours']:.0f}", f"{figures['ratio']:.2f}"],
            ["import of its parts", f"{figures['parts']:.0f}", "1.00"],
        ],
    )
