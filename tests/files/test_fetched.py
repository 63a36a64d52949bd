"""FetchedFile: a value."""

from __future__ import annotations

import pytest

from twisted_oob.files.fetched import FetchedFile


def test_what_was_fetched_never_changes(tmp_path):
    parts = {"path": tmp_path / "a", "size": 1, "sha256": "ab", "url": "http://a.example/"}
    file = FetchedFile(**parts)
    with pytest.raises(AttributeError):
        file.size = 2
    assert not hasattr(file, "__dict__")
    with pytest.raises(TypeError):
        FetchedFile(*parts.values())


def test_its_repr_shows_no_query():
    file = FetchedFile(
        path="/a", size=1, sha256="ab", url="https://a.example/b?secret", media_type="image/png"
    )
    assert repr(file) == (
        "FetchedFile(path='/a', size=1, sha256='ab', url='https://a.example/b', "
        "media_type='image/png')"
    )


def test_its_media_type_may_be_unknown(tmp_path):
    assert FetchedFile(path=tmp_path, size=1, sha256="ab", url="x:y").media_type is None
