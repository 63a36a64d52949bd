"""What the headers of an answer say of its file."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH

from twisted_oob import FetchPolicy, FileInfo
from twisted_oob.errors import FetchFailed, TooLarge
from twisted_oob.files.answer import read_answer


def read(headers=(), *, info=None, length=5, path="/from-url.bin", code=200, **policy):
    given = Headers()
    for name, value in headers:
        given.addRawHeader(name, value)
    response = SimpleNamespace(code=code, headers=given, length=length)
    return read_answer(response, path, FetchPolicy(**policy), info)


@pytest.mark.parametrize(("length", "known"), [(5, 5), (0, 0), (UNKNOWN_LENGTH, None)])
def test_the_length(length, known):
    assert read(length=length).length == known


DISPOSITION = (b"Content-Disposition", b"attachment; filename=from-header.bin")


@pytest.mark.parametrize(
    ("headers", "info", "name"),
    [
        ([], None, "from-url.bin"),
        ([DISPOSITION], None, "from-header.bin"),
        ([DISPOSITION], FileInfo(name="offered.bin"), "offered.bin"),
        ([DISPOSITION], FileInfo(size=5), "from-header.bin"),
        ([DISPOSITION], FileInfo(name="../../.ssh/"), "from-header.bin"),
        ([], FileInfo(name="../../.bashrc"), "bashrc"),
    ],
)
def test_the_name(headers, info, name):
    assert read(headers, info=info).name == name


@pytest.mark.parametrize(
    ("content_type", "offered", "media_type"),
    [
        (b"image/png", None, "image/png"),
        (b"IMAGE/PNG; charset=x", None, "image/png"),
        (b" text/plain ;charset=utf-8", "image/png", "text/plain"),
        (None, None, None),
        (None, "image/png", "image/png"),
        (b"", "image/png", "image/png"),
        (b"image", "image/png", "image/png"),
        (b"image/", None, None),
        (b"image/png, image/gif", "image/gif", "image/gif"),
        (b"im age/png", None, None),
        ("ïmage/png".encode(), None, None),
        (b"image/" + b"x" * 128, "image/png", "image/png"),
    ],
)
def test_the_media_type(content_type, offered, media_type):
    headers = [] if content_type is None else [(b"Content-Type", content_type)]
    assert read(headers, info=FileInfo(media_type=offered)).media_type == media_type


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"code": 404}, FetchFailed),
        ({"max_size": 4}, TooLarge),
        ({"headers": [(b"Content-Encoding", b"gzip")]}, FetchFailed),
        ({"info": FileInfo(size=6)}, FetchFailed),
    ],
)
def test_an_answer_that_can_not_bring_the_file_fails(given, error):
    with pytest.raises(error):
        read(**given)


def test_what_the_policy_says_comes_before_what_was_offered():
    with pytest.raises(TooLarge):
        read(max_size=4, info=FileInfo(size=3))
