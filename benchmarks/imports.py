"""The time that an import of this project takes, by that of what it is built on."""

from __future__ import annotations

import sys
import tempfile
from statistics import median
from typing import Any

from benchmarks.process import Process
from benchmarks.table import table

PATIENCE = 60.0  # seconds
_CODE = "import time\nbegan = time.process_time()\n{}\nprint(time.process_time() - began)"
_OURS = "import twisted_oob"
# The first lines put back what Wokkel 18 wants of Twisted and no longer finds.
_PARTS = """
import constantly, sys, twisted.python
from twisted.python import compat
compat._PY3 = True
sys.modules["twisted.python.constants"] = twisted.python.constants = constantly
import wokkel.subprotocols, wokkel.disco, twisted.web.client
"""


def run(*, quick: bool = False) -> dict[str, Any]:
    """Import in fresh interpreters, in turn; returns CPU ms of both, and the ``ratio``."""
    with tempfile.TemporaryDirectory() as cache:

        def milliseconds(imports: str) -> float:
            # Byte code goes to a folder of the benchmark's own: the project's may not be writable.
            command = [sys.executable, "-X", f"pycache_prefix={cache}", "-c", _CODE.format(imports)]
            with Process(command, PYTHONDONTWRITEBYTECODE="") as process:
                return 1000 * float(process.line(PATIENCE))

        pairs = [(milliseconds(_OURS), milliseconds(_PARTS)) for _ in range(6 if quick else 26)]
    del pairs[0]  # it wrote the byte code
    ours, parts = (median(each) for each in zip(*pairs, strict=True))
    return {"ours": ours, "parts": parts, "ratio": median(one / other for one, other in pairs)}


def report(figures: dict[str, Any]) -> str:
    """Return the table."""
    ours = ["import twisted_oob", f"{figures['ours']:.0f}", f"{figures['ratio']:.2f}"]
    parts = ["import of its parts", f"{figures['parts']:.0f}", "1.00"]
    return table(["", "CPU ms", "ratio"], [ours, parts])
