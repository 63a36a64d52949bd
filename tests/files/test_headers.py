"""What the headers say of a file, as browsers and clients read it."""

from __future__ import annotations

import re
from email.message import Message
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_oob._urls import to_uri
from twisted_oob.files.headers import clean_name, describe, disposition, name_in_url

NAMES = [
    "a.png",
    "with space.txt",
    'quo"ted.txt',
    "back\\slash.txt",
    "per%41cent.txt",
    "semi;colon=.txt",
    "ümläut.txt",
    "😀🎉.png",
    "line\nbreak\r\nX-Evil: yes.txt",
    "nul\0.txt",
    ".hidden",
    "-dash",
    "..",
    ".",
    "../../etc/passwd",
    "a/b",
    "?query#fragment",
    " ",
    "\u202egnp.exe",
    "x" * 255,
]


def read_back(header):
    """Give the name as RFC 8187 has it, and the fallback."""
    found = re.fullmatch(
        r"(inline|attachment); filename=\"([^\"\\]*)\"; filename\*=UTF-8''(.*)", header
    )
    assert found is not None
    assert re.fullmatch(r"(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})*", found[3])
    return unquote(found[3], errors="strict"), found[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_back(name):
    header = disposition(name, "text/plain")
    exact, fallback = read_back(header)
    assert exact == name
    assert len(fallback) == len(name)
    assert fallback.isascii()
    assert fallback.isprintable()
    message = Message()
    message["Content-Disposition"] = header
    assert message.get_content_disposition() == "inline"


@given(st.text(min_size=1, max_size=50))
def test_any_name_comes_back(name):
    name = clean_name(name)
    assert read_back(disposition(name, "text/plain"))[0] == name
    assert unquote(name_in_url(name)) == (name if name not in {".", ".."} else "file")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_segment_of_a_url(name):
    url = f"http://a.example/token/{name_in_url(name)}"
    assert to_uri(url) == url
    path = urlsplit(url).path
    assert path.count("/") == 2
    assert path.rpartition("/")[2] not in {"", ".", "..", "%2E", "%2E%2E"}


def test_a_name_that_the_system_could_not_decode():
    assert clean_name("a\udcff\udc80.txt") == "a\ufffd\ufffd.txt"
    assert clean_name("ä😀") == "ä😀"


@pytest.mark.parametrize(
    ("media_type", "shown"),
    [
        ("image/png", "inline"),
        ("image/jpeg", "inline"),
        ("audio/ogg", "inline"),
        ("video/mp4", "inline"),
        ("text/plain", "inline"),
        ("image/svg+xml", "attachment"),
        ("text/html", "attachment"),
        ("text/javascript", "attachment"),
        ("text/xml", "attachment"),
        ("application/xhtml+xml", "attachment"),
        ("application/pdf", "attachment"),
        ("application/octet-stream", "attachment"),
    ],
)
def test_what_a_browser_shows(media_type, shown):
    headers = describe("name", media_type)
    assert headers["Content-Type"] == media_type
    assert headers["Content-Disposition"].startswith(f"{shown};")
    assert headers["Content-Security-Policy"] == "sandbox"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Accept-Ranges"] == "bytes"
