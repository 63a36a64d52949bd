"""Suffixes of media types."""

from __future__ import annotations

import re

import pytest

from twisted_oob import FileInfo
from twisted_oob.files.names import file_name
from twisted_oob.files.suffixes import SUFFIXES, suffix_of


@pytest.mark.parametrize(
    ("media_type", "suffix"),
    [
        ("image/jpeg", ".jpg"),
        ("image/png", ".png"),
        ("text/plain", ".txt"),
        ("text/html", ".html"),
        ("audio/mpeg", ".mp3"),
        ("audio/ogg", ".ogg"),
        ("video/mp4", ".mp4"),
        ("application/pdf", ".pdf"),
        ("application/zip", ".zip"),
        ("application/gzip", ".gz"),
        ("image/webp", ".webp"),  # mimetypes knows it since Python 3.13 only
        ("application/x-zip", ".zip"),
        ("application/x-tgz", ".tgz"),
        ("application/vnd.apple.installer+xml", ".mpkg"),  # an archive, in spite of its name
        ("application/dash+xml", ".mpd"),
        ("application/vnd.oasis.opendocument.text-template", ".ott"),
        ("application/vnd.x+json", ".json"),
        ("application/vnd.x+zstd", ".zst"),
        ("image/x.y+xml", ".xml"),
        ("application/octet-stream", ""),
        ("binary/octet-stream", ""),
        ("application/json+x", ""),
        ("x/json", ""),
        (None, ""),
    ],
)
def test_the_suffix_of_a_type(media_type, suffix):
    assert suffix_of(media_type) == suffix


def test_each_suffix_of_the_table_is_one_and_safe():
    assert list(SUFFIXES) == sorted(SUFFIXES)
    for media_type, suffix in SUFFIXES.items():
        assert FileInfo(media_type=media_type).media_type == media_type
        assert re.fullmatch(r"\.[A-Za-z0-9]+", suffix)
        name = file_name(None, "/x", media_type=media_type)
        assert file_name(None, "", offered=name) == name == f"x{suffix}"
