"""Makes Wokkel 18 importable on today's Twisted; nothing else.

Twisted 21.2 removed ``twisted.python.compat._PY3``, and Twisted 24.11 removed
``twisted.python.constants`` (now the package ``constantly``). Wokkel's newest release still
imports both. Without them ``wokkel.disco``, ``data_form``, ``ping``, ``muc`` and ``pubsub`` fail
to import.

``twisted_oob/__init__.py`` imports this module first, before anything that imports Wokkel.
"""

from __future__ import annotations

import importlib.util
import sys

import twisted.python
from twisted.python import compat


def restore_names_for_wokkel() -> None:
    """Put both names back if this Twisted lacks them. It can be called more than once."""
    if not hasattr(compat, "_PY3"):
        setattr(compat, "_PY3", True)  # noqa: B010  (to a type checker it does not exist)
    name = "twisted.python.constants"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        import constantly  # noqa: PLC0415  (older Twisted has a module of its own)

        sys.modules[name] = constantly
        setattr(twisted.python, "constants", constantly)  # noqa: B010


restore_names_for_wokkel()
