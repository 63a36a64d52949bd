"""The house: which wing may import which, and that no import installs a reactor."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "twisted_oob"

# A wing imports the hall's lower floor, itself, and the wings that are named here.
WINGS = {
    "xmpp": set(),
    "files": set(),
    "protocol": {"xmpp"},
    "transfer": {"xmpp", "files", "protocol"},
    "commands": {"xmpp", "files", "protocol", "transfer"},
}
# The hall: what every wing may import, and what stands above them all.
BELOW = {"_checks", "_compat", "_file_info", "_shown", "_tls", "_urls", "_version", "errors"}
WITHIN = {"_checks": {"errors"}, "_file_info": {"_checks"}}  # of these; the others import none
ABOVE = {
    "__init__": {"xmpp", "files", "protocol", "transfer"},
    "__main__": set(),
    "testing": {"xmpp", "protocol"},
}
HALL = BELOW | set(ABOVE)

# Values and decisions, which know neither a reactor nor a stream.
PURE = {
    "xmpp.jid",
    "xmpp.jid_parts",
    "xmpp.stanza",
    "files.addresses",
    "files.bad_names",
    "files.bad_ports",
    "files.codings",
    "files.cookies",
    "files.framing",
    "files.header_lines",
    "files.names",
    "files.policy",
    "files.redirects",
    "files.request",
    "files.response_head",
    "files.retry_after",
    "files.suffixes",
    "files.urls",
    "protocol.data",
}
PURE_MAY_IMPORT = (
    "twisted.words.xish",
    "twisted.words.protocols.jabber.jid",
    "twisted.words.protocols.jabber.xmpp_stringprep",
)


def imports(source, package="twisted_oob"):
    """Every module an import statement names, wherever it stands, by its full name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -node.level + 1 or None] if node.level else []
            base = ".".join(filter(None, [*above, node.module]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(name, parents):
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def rooms(package):
    """Give the path of each module below a package by its dotted name."""
    return {
        ".".join(path.relative_to(package).with_suffix("").parts): path
        for path in sorted(package.rglob("*.py"))
    }


def wing_of(room):
    """Give the wing that a module stands in, "" for the hall; None if it stands in neither."""
    wing, dot, module = room.rpartition(".")
    if not dot:
        return "" if module in HALL else None
    return wing if wing in WINGS else None


def allowed(room):
    """Give what of this package a module may import, as dotted names without the package's."""
    wing = wing_of(room)
    if wing:
        return BELOW | WINGS[wing] | {wing}
    return BELOW | ABOVE[room] if room in ABOVE else WITHIN.get(room, set())


def wrong_imports(room, source):
    """Give what this module must not import."""
    parents = [f"twisted_oob.{name}" for name in allowed(room)]
    package = ".".join(["twisted_oob", *room.split(".")[:-1]])
    for name in imports(source, package):
        if within(name, ["twisted_oob"]):
            if not within(name, parents):
                yield name
        elif (
            room in PURE
            and within(name, ["twisted", "wokkel"])
            and not within(name, PURE_MAY_IMPORT)
        ):
            yield name


def imported_rooms(found, room):
    """Give the modules of a package that one of them imports."""
    for name in imports(found[room].read_text(encoding="utf-8")):
        inside = name.removeprefix("twisted_oob.")
        yield from (one for one in (inside, inside.rpartition(".")[0]) if one in found)


def circles(found):
    """Give each module that imports itself by way of others."""
    below = {room: set(imported_rooms(found, room)) for room in found}
    for room in found:
        seen, left = set(), set(below[room])
        while left:
            one = left.pop()
            seen.add(one)
            left |= below[one] - seen
        if room in seen:
            yield room


def broken_rules(package):
    """Give each module that breaks a rule, by its place or by its imports, and the reason."""
    found = rooms(package)
    for room, path in found.items():
        if wing_of(room) is None:
            yield room, "has no place"
        else:
            for name in wrong_imports(room, path.read_text(encoding="utf-8")):
                yield room, name
    for room in circles(found):
        yield room, "imports itself"


def test_imports_point_down():
    assert list(broken_rules(PACKAGE)) == []


def test_nobody_uses_twisteds_http_client():
    # It rewrites what it asks for, and logs what a stranger sends.
    users = [
        room
        for room, path in rooms(PACKAGE).items()
        if any(within(name, ["twisted.web.client"]) for name in imports(path.read_text("utf-8")))
    ]
    assert users == []


@pytest.mark.parametrize("path", ["new.py", "wing/new.py", "xmpp/room/errors.py", "xmpp/a/b/c.py"])
def test_a_module_outside_hall_and_wings_breaks_the_rule(tmp_path, path):
    shutil.copytree(PACKAGE, tmp_path, dirs_exist_ok=True)
    module = tmp_path / path
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text("")
    name = path.removesuffix(".py").replace("/", ".")
    assert list(broken_rules(tmp_path)) == [(name, "has no place")]


def test_a_circle_within_a_wing_breaks_the_rule(tmp_path):
    wing = tmp_path / "xmpp"
    wing.mkdir()
    for name, other in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")):
        (wing / f"{name}.py").write_text(f"from twisted_oob.xmpp.{other} import x")
    assert [room for room, _ in broken_rules(tmp_path)] == ["xmpp.a", "xmpp.b", "xmpp.c"]


def test_pure_modules_are_there():
    assert set(rooms(PACKAGE)) >= PURE


@pytest.mark.parametrize(
    ("room", "source", "wrong"),
    [
        ("errors", "from twisted_oob.protocol.data import OOBData", True),
        ("errors", "def f():\n    import twisted_oob.protocol.data", True),
        ("errors", "from twisted_oob import protocol", True),
        ("errors", "from . import protocol", True),
        ("errors", "from .protocol.data import OOBData", True),
        ("errors", "from twisted_oob._checks import wrong_type", True),
        ("_checks", "from twisted_oob.errors import WrongType", False),
        ("_checks", "from twisted_oob._tls import is_address", True),
        ("xmpp.jid", "from twisted_oob.errors import OOBError", False),
        ("xmpp.jid", "from twisted_oob.files.urls import read_url", True),
        ("xmpp.jid", "from ..files.urls import read_url", True),
        ("xmpp.jid", "from ..errors import OOBError", False),
        ("xmpp.jid", "from .stanza import escaped", False),
        ("xmpp.stream", "from twisted_oob.protocol import data", True),
        ("files.fetch", "from twisted_oob.xmpp.jid import parse_jid", True),
        ("files.fetch", "from twisted_oob.testing import Pair", True),
        ("protocol.handler", "from twisted_oob.files.fetch import Fetcher", True),
        ("protocol.handler", "from twisted_oob import OOBData", True),
        ("protocol.handler", "import twisted_oob", True),
        ("protocol.handler", "from twisted_oob.xmpp import jid", False),
        ("protocol.handler", "from twisted.internet import defer", False),
        ("transfer.responder", "from twisted_oob.commands.options import Options", True),
        ("transfer.responder", "from twisted_oob.files.fetch import Fetcher", False),
        ("commands.tap", "from twisted_oob.transfer.responder import OOBResponder", False),
        ("__init__", "from twisted_oob.commands.options import Options", True),
        ("__init__", "from twisted_oob.testing import Pair", True),
        ("__init__", "from twisted_oob.protocol.handler import OOBHandler", False),
        ("testing", "from twisted_oob.files.fetch import Fetcher", True),
        ("files.policy", "from twisted.internet import defer", True),
        ("files.policy", "from twisted.words.protocols.jabber.error import StanzaError", True),
        ("files.policy", "from wokkel import generic", True),
        ("protocol.data", "from twisted.words.protocols.jabber import xmlstream", True),
        ("protocol.data", "from twisted.words.protocols.jabber import jid", False),
        ("protocol.data", "from twisted.words.protocols.jabber.jid import JID", False),
        ("protocol.data", "from twisted.words.xish import domish", False),
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
    modules = ["twisted_oob"]
    modules += [f"twisted_oob.{room}".removesuffix(".__init__") for room in rooms(PACKAGE)]
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
