"""Offers that a handler gets, what it may do with them, and their answers as XML."""

from __future__ import annotations

import pytest

from tests.support.streams import ME, PEER, URL, canonical, connected, query, stanza

# URLs that a peer may write and that nobody can retrieve.
UNUSABLE_URLS = [
    "",
    " ",
    "files.example/a",
    "//files.example/a",
    "https://files.example/a\nb",
    "https://files.example/\u007f",
    "https://files example/",
    "https://%4/",
    "https:///a",
    "http:",
    "http://[::z]/",
    URL.ljust(8193, "a"),
]

STANZAS = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"


def error(type_, code, condition, text=None, extra=""):
    told = "" if text is None else f"<text {STANZAS}>{text}</text>"
    given = "" if code is None else f" code='{code}'"
    return f"<error type='{type_}'{given}><{condition} {STANZAS}/>{told}{extra}</error>"


NOT_FOUND = error("cancel", 404, "item-not-found")
REJECT = error("modify", 406, "not-acceptable")
FAULT = error("wait", 500, "internal-server-error")


def assert_answer(sent, children="", id_="o1", to=PEER, from_=ME):
    """The answer is exactly this XML: an empty result, or the original query and this error."""
    type_ = "error" if children else "result"
    held = query() if children else ""
    expected = stanza("iq", held + children, type=type_, id=id_, to=to, from_=from_)
    assert canonical(sent) == canonical(expected)


class Awaitable:
    """An awaitable that is neither Deferred nor coroutine."""

    def __init__(self, deferred):
        self.deferred = deferred

    def __await__(self):
        return self.deferred.__await__()


async def coroutine(deferred):
    return await deferred


KINDS = pytest.mark.parametrize("kind", [lambda deferred: deferred, coroutine, Awaitable])


def offered(returned=None, **attributes):
    """Give the handler, the wire and the offer, after on_offer returned this."""
    offers = []

    def on_offer(offer):
        offers.append(offer)
        return returned

    handler, wire = connected(on_offer)
    wire.offer(**attributes)
    (offer,) = offers
    return handler, wire, offer


REPLIES = [
    lambda offer: offer.reply_success(),
    lambda offer: offer.reply_failure("reject"),
    lambda offer: offer.reply_failure("not-found"),
]
