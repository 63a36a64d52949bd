"""What was offered, held against what came."""

from __future__ import annotations

import pytest

from twisted_oob import FileInfo
from twisted_oob.errors import FetchFailed
from twisted_oob.files.expected import check_declared, check_so_far, check_whole

HASH = "ab" * 32
OTHER = "cd" * 32


@pytest.mark.parametrize(
    ("check", "given"),
    [
        (check_declared, (None, 5)),
        (check_declared, (FileInfo(), 5)),
        (check_declared, (FileInfo(size=5), None)),
        (check_declared, (FileInfo(size=5), 5)),
        (check_declared, (FileInfo(size=0), 0)),
        (check_so_far, (None, 5)),
        (check_so_far, (FileInfo(), 5)),
        (check_so_far, (FileInfo(size=5), 4)),
        (check_so_far, (FileInfo(size=5), 5)),
        (check_whole, (None, 5, HASH)),
        (check_whole, (FileInfo(), 5, HASH)),
        (check_whole, (FileInfo(name="a", media_type="a/b"), 5, HASH)),
        (check_whole, (FileInfo(size=5), 5, HASH)),
        (check_whole, (FileInfo(sha256=HASH.upper()), 5, HASH)),
        (check_whole, (FileInfo(size=0, sha256=HASH), 0, HASH)),
    ],
)
def test_what_is_as_it_was_offered_or_unknown_passes(check, given):
    check(*given)


@pytest.mark.parametrize(
    ("check", "given", "detail"),
    [
        (check_declared, (FileInfo(size=5), 6), "the declared size is 6 bytes, but 5 were offered"),
        (check_declared, (FileInfo(size=5), 0), "the declared size is 0 bytes, but 5 were offered"),
        (check_declared, (FileInfo(size=0), 1), "the declared size is 1 byte, but 0 were offered"),
        (
            check_so_far,
            (FileInfo(size=5), 6),
            "the size is more than the 5 bytes that were offered",
        ),
        (
            check_so_far,
            (FileInfo(size=0), 1),
            "the size is more than the 0 bytes that were offered",
        ),
        (
            check_so_far,
            (FileInfo(size=1), 2),
            "the size is more than the 1 byte that was offered",
        ),
        (check_whole, (FileInfo(size=5), 1, HASH), "the size is 1 byte, but 5 were offered"),
        (check_whole, (FileInfo(size=5), 4, HASH), "the size is 4 bytes, but 5 were offered"),
        (check_whole, (FileInfo(size=0), 4, HASH), "the size is 4 bytes, but 0 were offered"),
        (
            check_whole,
            (FileInfo(size=5, sha256=OTHER), 5, HASH),
            f"the SHA-256 hash is {HASH}, but {OTHER} was offered",
        ),
    ],
)
def test_what_is_not_as_it_was_offered_fails_and_says_why(check, given, detail):
    with pytest.raises(FetchFailed) as caught:
        check(*given)
    assert caught.value.text == "not the file that was offered"
    assert caught.value.detail == detail
