"""What the headers of an answer say of its file."""

from __future__ import annotations

import pytest

from twisted_oob import FetchPolicy, FileInfo
from twisted_oob.errors import FetchFailed, TooLarge
from twisted_oob.files.answer import read_answer
from twisted_oob.files.response_head import ResponseHead


def read(fields=(), *, info=None, length=5, path="/from-url.bin", status=200, **policy):
    given = {} if length is None else {b"content-length": (b"%d" % length,)}
    for name, value in fields:
        given[name] = (*given.get(name, ()), value)
    return read_answer(ResponseHead(status, given), path, FetchPolicy(**policy), info)


@pytest.mark.parametrize("length", [5, 0, None])
def test_the_length(length):
    assert read(length=length).length == length


DISPOSITION = (b"content-disposition", b"attachment; filename=from-header.bin")


@pytest.mark.parametrize(
    ("fields", "info", "name"),
    [
        ([], None, "from-url.bin"),
        ([DISPOSITION], None, "from-header.bin"),
        ([DISPOSITION], FileInfo(name="offered.bin"), "offered.bin"),
        ([DISPOSITION], FileInfo(size=5), "from-header.bin"),
        ([DISPOSITION], FileInfo(name="../../.ssh/"), "from-header.bin"),
        ([], FileInfo(name="../../.bashrc"), "bashrc"),
    ],
)
def test_the_name(fields, info, name):
    assert read(fields, info=info).name == name


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
    fields = [] if content_type is None else [(b"content-type", content_type)]
    assert read(fields, info=FileInfo(media_type=offered)).media_type == media_type


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"status": 404}, FetchFailed),
        ({"max_size": 4}, TooLarge),
        ({"fields": [(b"content-encoding", b"gzip")]}, FetchFailed),
        ({"info": FileInfo(size=6)}, FetchFailed),
    ],
)
def test_an_answer_that_can_not_bring_the_file_fails(given, error):
    with pytest.raises(error):
        read(**given)


def test_what_the_policy_says_comes_before_what_was_offered():
    with pytest.raises(TooLarge):
        read(max_size=4, info=FileInfo(size=3))


TYPE = (b"content-type", b"image/jpeg; charset=binary")


@pytest.mark.parametrize(
    ("fields", "info", "name"),
    [
        ([TYPE], None, "download.jpg"),
        ([TYPE, (b"content-disposition", b"filename=x")], None, "x.jpg"),
        ([TYPE], FileInfo(name="x"), "x"),
        ([TYPE], FileInfo(media_type="text/plain"), "download.jpg"),
        ([], FileInfo(media_type="text/plain"), "download.txt"),
        ([(b"content-type", b"application/octet-stream")], None, "download"),
    ],
)
def test_a_name_without_a_suffix_gets_that_of_the_media_type(fields, info, name):
    assert read(fields, info=info, path="/download?id=3").name == name


@pytest.mark.parametrize(
    ("path", "content_type", "name"),
    [
        ("/a.tar.gz?x", b"application/x-tar", None),
        ("/get", b"application/gzip", None),
        ("/get", b"application/octet-stream", "a.tgz"),
        ("/a.tar.gz", b"application/octet-stream", "what I offered"),
    ],
)
def test_an_archive_is_kept_as_it_came(path, content_type, name):
    fields = [(b"content-encoding", b"x-gzip"), (b"content-type", content_type)]
    answer = read(fields, path=path, info=FileInfo(name=name, size=5))
    assert answer.length == 5


def test_an_encoded_file_is_refused_for_that_and_not_for_its_length():
    with pytest.raises(FetchFailed, match="Content-Encoding"):
        read([(b"content-encoding", b"gzip")], info=FileInfo(size=6))
