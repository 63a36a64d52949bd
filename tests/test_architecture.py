"""The house: which room may import which, and that no import installs a reactor."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "twisted_oob"

# From the ground floor up: a room imports only what stands before it.
ORDER = [
    "_version",
    "errors",
    "_tls",
    "xmpp.stanza",
    "xmpp.jid",
    "protocol.data",
    "files.addresses",
    "files.urls",
    "files.names",
    "files.policy",
    "xmpp.guard",
    "xmpp.stream",
    "protocol.direct",
    "xmpp.deadlines",
    "xmpp.tracker",
    "protocol.offers",
    "protocol.handler",
    "xmpp.disco",
    "xmpp.keepalive",
    "files.landing",
    "files.commit",
    "files.failures",
    "files.endpoints",
    "files.fetch",
    "serve",
    "upload",
    "xmpp.access",
    "xmpp.router",
    "transfer.responder",
    "xmpp.presence",
    "xmpp.scram",
    "xmpp.failures",
    "xmpp.account",
    "xmpp.stream_service",
    "transfer.embedded",
    "exit_status",
    "demo",
    "secret_file",
    "options",
    "tap",
    "cli",
    "_compat",
    "xmpp",
    "files",
    "transfer",
    "protocol",
]
PURE = (
    "xmpp.jid",
    "xmpp.stanza",
    "protocol.data",
    "files.addresses",
    "files.names",
    "files.policy",
    "files.urls",
)
PURE_MAY_IMPORT = ("twisted.words.xish", "twisted.words.protocols.jabber.jid")


def imports(source):
    """Every module an import statement names, wherever it stands, by its full name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["twisted_oob" * bool(node.level), node.module]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(name, parents):
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def wrong_imports(room, source):
    """What this room must not import."""
    allowed = [f"twisted_oob.{other}" for other in ORDER[: ORDER.index(room)]]
    for name in imports(source):
        if within(name, ["twisted_oob"]):
            if not within(name, allowed):
                yield name
        elif (
            room in PURE
            and within(name, ["twisted", "wokkel"])
            and not within(name, PURE_MAY_IMPORT)
        ):
            yield name


def rooms(package):
    """Give the path of each module below a package by its dotted name; a folder is named itself."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        name = name.removesuffix("__init__").removesuffix(".")
        if name:
            found[name] = path
    return found


def broken_rules(package):
    """Give what is wrong with each module below a package: where it is, or what it imports."""
    for room, path in rooms(package).items():
        if room not in ORDER:
            yield room, "has no place"
        else:
            for name in wrong_imports(room, path.read_text(encoding="utf-8")):
                yield room, name


def test_imports_point_down():
    assert list(broken_rules(PACKAGE)) == []


@pytest.mark.parametrize("path", ["new.py", "wing/new.py", "wing/room/errors.py"])
def test_a_new_module_needs_a_place(tmp_path, path):
    shutil.copytree(PACKAGE, tmp_path, dirs_exist_ok=True)
    module = tmp_path / path
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text("")
    name = path.removesuffix(".py").replace("/", ".")
    assert list(broken_rules(tmp_path)) == [(name, "has no place")]


@pytest.mark.parametrize(
    ("room", "source", "wrong"),
    [
        ("errors", "from twisted_oob.protocol.data import OOBData", True),
        ("errors", "def f():\n    import twisted_oob.protocol.data", True),
        ("errors", "from twisted_oob import protocol", True),
        ("errors", "from . import protocol", True),
        ("errors", "from .stanza import OOBData", True),
        ("protocol.handler", "from twisted_oob import OOBData", True),
        ("protocol.handler", "import twisted_oob", True),
        ("protocol.handler", "from twisted_oob.protocol.handler import OOBHandler", True),
        ("protocol.handler", "from twisted_oob.protocol.data import OOBData", False),
        ("protocol.handler", "from twisted.internet import defer", False),
        ("files.policy", "from twisted.internet import defer", True),
        ("files.policy", "from twisted.words.protocols.jabber import xmlstream", True),
        ("files.policy", "from twisted.words.protocols.jabber.error import StanzaError", True),
        ("files.policy", "from wokkel import generic", True),
        ("files.policy", "from twisted.words.protocols.jabber import jid", False),
        ("files.policy", "from twisted.words.protocols.jabber.jid import JID", False),
        ("files.policy", "from twisted.words.xish import domish", False),
        ("files.policy", "from twisted_oob.errors import Forbidden", False),
    ],
)
def test_the_rule_itself(room, source, wrong):
    assert bool(list(wrong_imports(room, source))) is wrong


def run(code):
    """Run code in a fresh interpreter; give the words it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_no_import_installs_a_reactor():
    modules = ["twisted_oob", *(f"twisted_oob.{room}" for room in rooms(PACKAGE))]
    modules.append("twisted.plugins.twisted_oob_plugin")
    code = f"""
import importlib, sys
for name in {modules!r}:
    importlib.import_module(name)
    if "twisted.internet.reactor" in sys.modules:
        print(name)
        break
"""
    assert run(code) == []


def test_the_plugin_imports_nothing_of_ours():
    code = "import sys, twisted.plugins.twisted_oob_plugin; print('twisted_oob' in sys.modules)"
    assert run(code) == ["False"]


def test_import_brings_no_http_client_before_it_is_needed():
    code = """
import sys, twisted_oob
print("twisted.web.client" in sys.modules, "Fetcher" in dir(twisted_oob))
from twisted_oob import Fetcher
print("twisted.web.client" in sys.modules, Fetcher is twisted_oob.Fetcher)
"""
    assert run(code) == ["False", "True", "True", "True"]


def test_every_public_name_is_there_and_no_other():
    code = """
import twisted_oob
from twisted_oob import *
print(set(twisted_oob.__all__) <= set(globals()), set(twisted_oob.__all__) <= set(dir(twisted_oob)))
try:
    twisted_oob.Fetched
except AttributeError as error:
    print("Fetched" in str(error))
"""
    assert run(code) == ["True", "True", "True"]
