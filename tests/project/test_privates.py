"""What we use of Twisted and Wokkel that they don't promise to keep: all of it, where, and why.

A new Twisted that moves one of these fails the row that names it. A use without a row fails, too.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import NamedTuple

import pytest
from twisted.internet.defer import Deferred
from twisted.python import compat
from twisted.words.xish.domish import ExpatElementStream

import twisted_oob
from tests.support.streams import ClientWire

PACKAGE = Path(twisted_oob.__file__).parent


class Private(NamedTuple):
    """One attribute that is private, or whose public name nobody has documented."""

    room: str
    attribute: str
    owner: str
    why: str


PRIVATES = [
    Private("xmpp.parser_tap", "ElementEvent", "ExpatElementStream", "who gets each stanza"),
    Private("xmpp.parser_tap", "currElem", "ExpatElementStream", "whether a stanza has begun"),
    Private("xmpp.parser_tap", "defaultNsStack", "ExpatElementStream", "whether the root is open"),
    Private("xmpp.parser_tap", "maxStanzaSize", "ExpatElementStream", "whether there is a limit"),
    Private("xmpp.parser_tap", "parser", "ExpatElementStream", "whose five handlers are borrowed"),
    Private("xmpp.parser_tap", "stanzaSize", "ExpatElementStream", "bytes counted for the limit"),
    Private("xmpp.accepted", "parser", "ExpatElementStream", "forbidden markup"),
    Private("xmpp.own_stream", "parser", "ExpatElementStream", "what XMPP forbids"),
    Private("xmpp.prompt", "parser", "ExpatElementStream", "expat's reparse deferral"),
    Private("xmpp.memory", "ElementEvent", "ExpatElementStream", "who gets each stanza"),
    Private("xmpp.memory", "parser", "ExpatElementStream", "forbidden markup"),
    Private("xmpp.stream", "rawDataOutFn", "XmlStream", "the log of traffic, for what is text"),
    Private("xmpp.deferreds", "_runningCallbacks", "Deferred", "whether a Deferred has ended"),
    Private("_compat", "_PY3", "twisted.python.compat", "Wokkel 18 imports it"),
]
UNDOCUMENTED = {row.attribute for row in PRIVATES if not row.attribute.startswith("_")}


def stream():
    end = ClientWire()
    end.open()
    return end.xmlstream


OWNERS = {
    "Deferred": Deferred,
    "ExpatElementStream": lambda: stream().stream,
    "XmlStream": stream,
    "twisted.python.compat": lambda: compat,
}
# Twisted has these since it limits stanzas; without them there is nothing to count.
SINCE_LIMITS = {"maxStanzaSize", "stanzaSize"}


PYTHONS = {"_exit"}  # os._exit is documented
BY_NAME = {"delattr", "getattr", "hasattr", "setattr"}


def used(source):
    """Give the attributes of others that a module uses, as names or as strings."""
    own, found = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute):
            is_own = isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name)
            (own if is_own and node.value.id == "self" else found).add(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in BY_NAME:
            found |= {word.value for word in node.args if isinstance(word, ast.Constant)}
    private = {name for name in found if str(name).startswith("_") and name[-2:] != "__"}
    return (private - own - PYTHONS) | (found & UNDOCUMENTED)


def rooms():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name, path.read_text(encoding="utf-8")


def test_each_use_has_its_row_and_each_row_its_use():
    uses = {(room, name) for room, source in rooms() for name in used(source)}
    assert uses == {(row.room, row.attribute) for row in PRIVATES}


def classes():
    """Give each class that is defined in the package."""
    for room, _source in rooms():
        module = importlib.import_module(f"twisted_oob.{room}".removesuffix(".__init__"))
        for value in vars(module).values():
            if inspect.isclass(value) and value.__module__ == module.__name__:
                yield value


def test_no_class_overrides_what_is_private_to_its_foreign_bases():
    found = [
        (own.__name__, name)
        for own in classes()
        for base in own.__mro__[1:]
        if base.__module__.partition(".")[0] in ("twisted", "wokkel")
        for name in vars(own).keys() & vars(base).keys()
        if name.startswith("_") and not name.endswith("__")
    ]
    assert found == []


def test_no_wing_but_xmpp_uses_any():
    assert {row.room.partition(".")[0] for row in PRIVATES} == {"xmpp", "_compat"}


@pytest.mark.parametrize("row", PRIVATES, ids=lambda row: f"{row.owner}.{row.attribute}")
def test_it_is_there(row):
    if row.attribute in SINCE_LIMITS and not hasattr(ExpatElementStream, "maxStanzaSize"):
        pytest.skip("this Twisted has no limits")
    assert hasattr(OWNERS[row.owner](), row.attribute), row.why


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("x._y", {"_y"}),
        ("x._y = 1", {"_y"}),
        ("getattr(x, '_y', None)", {"_y"}),
        ("class A(B):\n    def f(self):\n        return self._y", {"_y"}),
        ("class A(B):\n    def f(self):\n        B._y(self)", {"_y"}),
        ("x.stream.currElem", {"currElem"}),
        ("hasattr(x, 'currElem')", {"currElem"}),
        ("class A:\n    def f(self):\n        self._y = 1\n        return self._y", set()),
        ("class A:\n    def _y(self):\n        pass\nA()._y()", set()),
        ("class A:\n    _y = 1\nA()._y", set()),
        ("x.__class__", set()),
        ("x.y", set()),
    ],
)
def test_the_search_itself(source, names):
    assert used(source) == names
