"""What people's clients make of what send_message sends, by the conditions of their own code."""

from __future__ import annotations

from copy import deepcopy
from hashlib import sha256
from xml.etree import ElementTree

import pytest

from tests.support.clients import CLIENTS, FALLBACK, FILE, HASHES, JINGLE_FILE, OOB, REFERENCE, SFS
from tests.support.streams import PEER, WIRES, connected
from twisted_oob import FileInfo

URL = "https://files.example/t0k3n/a%20cat.jpg"
HASH = sha256(b"a cat").hexdigest()
PICTURE = FileInfo("a cat.jpg", 5, "image/jpeg", HASH)

EVERYBODY = set(CLIENTS)
# These read more than jabber:x:oob, and show nothing as a file without that.
BY_SIMS = {"Movim", "Psi"}


def message_of(info=PICTURE, url=URL, **options):
    """Give what send_message sends, read by another parser than ours."""
    handler, wire = connected()
    handler.send_message(PEER, url, info=info, **options)
    return wire.sent()[0]


def shown_by(message):
    """Give the clients that show a message as one file."""
    return {name for name, shows in CLIENTS.items() if shows(message)}


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_shows_a_picture_as_one_file(client):
    assert CLIENTS[client](message_of())


@pytest.mark.parametrize("make", WIRES.values(), ids=WIRES)
def test_every_client_shows_it_from_every_stream(make):
    handler, wire = connected(wire=make)
    handler.send_message(PEER, URL, "A cat", info=PICTURE)
    message, description = wire.sent()
    assert shown_by(message) == EVERYBODY
    assert shown_by(description) == set()


def test_every_client_shows_it_in_the_other_order():
    """As ejabberd passes it on."""
    message = message_of()
    message[:] = reversed(message)
    assert shown_by(message) == EVERYBODY


@pytest.mark.parametrize(
    ("info", "url", "shown"),
    [
        (None, URL, EVERYBODY - BY_SIMS),
        (FileInfo(), URL, EVERYBODY - BY_SIMS),
        (FileInfo(sha256=HASH), URL, EVERYBODY - BY_SIMS),
        (FileInfo("a cat.jpg", 5, "image/jpeg"), URL, EVERYBODY),
        (FileInfo("a cat.jpg", 5, None, HASH), URL, EVERYBODY - BY_SIMS),
        (FileInfo("a cat.jpg", 0, "image/jpeg", HASH), URL, EVERYBODY),
        # Only converse.js goes by the extension.
        (
            FileInfo("a.pdf", 5, "application/pdf", HASH),
            URL[:-3] + "pdf",
            EVERYBODY - {"converse.js"},
        ),
        # Only Monal insists on https.
        (PICTURE, URL.replace("https:", "http:"), EVERYBODY - {"Monal"}),
        # Only Dino takes a fragment for something else.
        (PICTURE, URL + "#1", EVERYBODY - {"Dino"}),
    ],
)
def test_who_shows_what(info, url, shown):
    assert shown_by(message_of(info, url)) == shown


def test_with_another_text_it_is_a_file_only_to_those_that_go_by_no_text():
    assert shown_by(message_of(body="look")) == {"converse.js", "Kaidan", "Movim"}


def without(message, path):
    """Take out each element at a path."""
    holder, _, tag = path.rpartition("/")
    for element in message.findall(holder) if holder else [message]:
        for child in element.findall(tag):
            element.remove(child)


def set_at(path, **attributes):
    def change(message):
        (element,) = message.findall(path)
        element.attrib.update(attributes)

    return change


def set_text(path, text):
    def change(message):
        for element in message.findall(path):
            element.text = text

    return change


def drop(*paths):
    def change(message):
        for path in paths:
            without(message, path)

    return change


def all_references(begin, end):
    def change(message):
        for reference in message.iter(f"{REFERENCE}reference"):
            for name, value in (("begin", begin), ("end", end)):
                reference.attrib.pop(name)
                if value is not None:
                    reference.set(name, value)

    return change


def second_url(message):
    message.append(deepcopy(message.find(f"{OOB}x")))


SIMS_FILE = f"{REFERENCE}reference/*/{JINGLE_FILE}file"
N = str(len(URL))

# What is wrong with a message, and who does not show it as one file any more.
COUNTEREXAMPLES = [
    (
        "a text",
        set_text("body", "look"),
        {
            "Conversations",
            "Dino",
            "Gajim",
            "Monal",
            "Siskin, Martin",
            "Psi",
            "profanity, poezio",
            "converse.js",
        },
    ),
    (
        "white space around the URL in the text",
        set_text("body", f" {URL}\n"),
        {
            "Conversations",
            "Dino",
            "Gajim",
            "Siskin, Martin",
            "Psi",
            "profanity, poezio",
            "converse.js",
        },
    ),
    (
        "no text",
        drop("body"),
        {"Dino", "Gajim", "Monal", "Psi", "profanity, poezio", "converse.js"},
    ),
    (
        "no jabber:x:oob",
        drop(f"{OOB}x"),
        {
            "Conversations",
            "Dino",
            "Gajim",
            "Monal",
            "Siskin, Martin",
            "converse.js",
            "profanity, poezio",
        },
    ),
    (
        "two of it",
        second_url,
        {
            "Conversations",
            "Dino",
            "Gajim",
            "Monal",
            "Siskin, Martin",
            "converse.js",
            "profanity, poezio",
            "Psi",
        },
    ),
    (
        "no hash in <file-sharing/>",
        drop(f"{SFS}file-sharing/{FILE}file/{HASHES}hash"),
        {"Dino"},
    ),
    (
        "another hash",
        set_at(f"{SFS}file-sharing/{FILE}file/{HASHES}hash", algo="md5"),
        {"Dino"},
    ),
    ("no source in <file-sharing/>", drop(f"{SFS}file-sharing/{SFS}sources"), {"Kaidan"}),
    ("a fallback without <file-sharing/>", drop(f"{SFS}file-sharing"), {"Kaidan"}),
    ("references without a place", all_references(None, None), {"converse.js"}),
    ("references to all of the text", all_references("0", N), {"converse.js"}),
    ("references to the beginning", all_references("0", "0"), {"converse.js"}),
    ("no SIMS", drop(f"{REFERENCE}reference"), {"Movim", "Psi"}),
    (
        "no sources in SIMS",
        drop(f"{REFERENCE}reference/*/*/{REFERENCE}reference"),
        {"Movim", "Psi"},
    ),
    ("no name in SIMS", drop(f"{SIMS_FILE}/{JINGLE_FILE}name"), {"Movim"}),
    ("no size in SIMS", drop(f"{SIMS_FILE}/{JINGLE_FILE}size"), {"Movim"}),
    ("no type in SIMS", drop(f"{SIMS_FILE}/{JINGLE_FILE}media-type"), {"Movim"}),
]


@pytest.mark.parametrize(
    ("change", "refusing"),
    [(change, refusing) for _, change, refusing in COUNTEREXAMPLES],
    ids=[name for name, _, _ in COUNTEREXAMPLES],
)
def test_a_client_refuses_what_does_not_meet_its_condition(change, refusing):
    message = message_of()
    change(message)
    assert EVERYBODY - shown_by(message) == refusing


def test_each_client_refuses_something():
    assert set().union(*(refusing for _, _, refusing in COUNTEREXAMPLES)) == EVERYBODY


def test_the_text_of_a_fallback_is_not_the_text_of_the_message():
    message = message_of()
    message.find(f"{FALLBACK}fallback/{FALLBACK}body").text = "look"
    message[:] = reversed(message)
    assert shown_by(message) == EVERYBODY


@pytest.mark.parametrize("namespace", ["jabber:client", "jabber:component:accept"])
def test_a_stanza_in_a_namespace_is_judged_alike(namespace):
    xml = ElementTree.tostring(message_of(), encoding="unicode")
    with_namespace = xml.replace("<message", f"<message xmlns='{namespace}'", 1)
    assert shown_by(ElementTree.fromstring(with_namespace)) == EVERYBODY
