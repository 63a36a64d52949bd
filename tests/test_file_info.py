"""FileInfo: what it takes, and what it says of the rest."""

import pytest

from twisted_oob import FileInfo
from twisted_oob.errors import WrongType

HASH = "2C26B46B68FFC68FF99B453C1D30413413422D706483BFA0F98A5E886266E7AE"


def test_each_part_may_be_unknown():
    info = FileInfo()
    assert (info.name, info.size, info.media_type, info.sha256) == (None, None, None, None)


def test_media_type_and_hash_are_kept_in_lower_case():
    info = FileInfo("a.JPG", 0, "Image/JPEG", HASH)
    assert info == FileInfo("a.JPG", 0, "image/jpeg", HASH.lower())
    assert info.name == "a.JPG"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("name", ""),
        ("size", -1),
        ("size", 2**63),
        ("size", 10**100),
        ("media_type", "jpeg"),
        ("media_type", "image/jpeg; q=1"),
        ("media_type", "image/jpeg\n"),
        ("sha256", HASH[1:]),
        ("sha256", HASH[1:] + "g"),
        ("sha256", ""),
    ],
)
def test_a_value_that_is_not_good_is_named(part, value):
    with pytest.raises(ValueError, match=part):
        FileInfo(**{part: value})


@pytest.mark.parametrize(
    ("part", "value"),
    [("name", b"a"), ("size", "9"), ("size", True), ("media_type", 1), ("sha256", b"a")],
)
def test_a_wrong_type_is_named(part, value):
    with pytest.raises(WrongType, match=part):
        FileInfo(**{part: value})
