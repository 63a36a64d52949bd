"""Arguments of the wrong kind, or out of range: which error, and that it names them."""

from __future__ import annotations

import pytest
from twisted.application.service import Service
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.component import componentFactory
from wokkel.subprotocols import StreamManager

from tests.support.scripted import ScriptedFetcher
from twisted_oob import OOBResponder, ServedStream


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("concurrency", "8", TypeError),
        ("concurrency", None, TypeError),
        ("concurrency", 8.0, TypeError),
        ("concurrency", True, TypeError),
        ("concurrency", 0, ValueError),
        ("concurrency", -1, ValueError),
        ("grace", None, TypeError),
        ("grace", "30", TypeError),
        ("grace", False, TypeError),
        ("grace", -1, ValueError),
        ("grace", float("nan"), ValueError),
        ("grace", float("inf"), ValueError),
        ("queue_timeout", None, TypeError),
        ("queue_timeout", "60", TypeError),
        ("queue_timeout", True, TypeError),
        ("queue_timeout", 0, ValueError),
        ("queue_timeout", -1, ValueError),
        ("queue_timeout", float("nan"), ValueError),
        ("queue_timeout", float("inf"), ValueError),
        ("fetcher", None, TypeError),
        ("fetcher", "downloads", TypeError),
        ("reactor", None, TypeError),
        ("reactor", object(), TypeError),
        ("messages", "no", TypeError),
        ("messages", None, TypeError),
    ],
)
def test_a_wrong_argument_is_named(name, value, kind):
    arguments = {"fetcher": ScriptedFetcher(), "allow_from": ["*"], "reactor": Clock()}
    with pytest.raises(kind, match=name) as caught:
        OOBResponder(**(arguments | {name: value}))
    assert isinstance(caught.value, TypeError) is (kind is TypeError)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("manager", None),
        ("manager", "me@home.example"),
        ("identity", "client/bot"),
        ("identity", ("client",)),
        ("identity", ("client", None)),
        ("direct", "no"),
    ],
)
def test_a_wrong_argument_of_attach_is_named_and_nothing_is_attached(name, value):
    manager = StreamManager(componentFactory("files.example", "secret"), Clock())
    responder = OOBResponder(ScriptedFetcher(), allow_from=["*"], reactor=Clock())
    with pytest.raises(TypeError, match=f"^{name} must be "):
        responder.attach(**({"manager": manager} | {name: value}))
    assert not list(manager)


@pytest.mark.parametrize(("name", "place"), [("responder", 0), ("stream", 1)])
def test_what_is_no_service_cannot_be_served(name, place):
    services = [Service(), Service()]
    services[place] = "me@home.example"
    with pytest.raises(TypeError, match=f"^{name} must be a service, not str$"):
        ServedStream(*services)


@pytest.mark.parametrize(
    "given", [{"grace": 0}, {"grace": 2.5}, {"concurrency": 1}, {"queue_timeout": 0.5}, {}]
)
def test_right_arguments_are_taken(given):
    OOBResponder(ScriptedFetcher(), allow_from=["*"], reactor=Clock(), **given)
