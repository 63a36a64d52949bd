"""Fetching what was offered and nothing else, over real sockets; and the progress of it."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from twisted.internet.defer import CancelledError

from tests.support.fetching import failure_of, names, step
from tests.support.hostile_http import answer, chunked, then_close
from tests.support.streams import logged
from twisted_oob import FileInfo
from twisted_oob.errors import FetchFailed, TooLarge, WrongType
from twisted_oob.files import landing, naming

SMALL = b"the file"
LARGE = b"0123456789abcdef" * 50_000  # several pieces


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def in_chunks(content):
    return chunked(*(content[at : at + 100_000] for at in range(0, len(content), 100_000)))


REPLIES = {
    f"{size}{how}": (content, way(content))
    for size, content in (("empty", b""), ("small", SMALL), ("large", LARGE))
    for how, way in (("", answer), (" in chunks", in_chunks))
}


@pytest.mark.parametrize("served", REPLIES.values(), ids=list(REPLIES))
@pytest.mark.parametrize(
    "offered",
    [
        lambda content: FileInfo(size=len(content)),
        lambda content: FileInfo(sha256=sha256(content)),
        lambda content: FileInfo("b.txt", len(content), "text/plain", sha256(content)),
        lambda content: FileInfo(),
    ],
)
@step
async def test_the_very_file_arrives(fetcher, web, folder, served, offered):
    content, reply = served
    web.answers = [reply]
    info = offered(content)
    got = await fetcher().fetch(web.url("/a.txt"), info=info)
    assert got.path == folder / (info.name or "a.txt")
    assert (got.size, got.sha256) == (len(content), sha256(content))
    assert got.media_type == info.media_type
    assert got.path.read_bytes() == content


SIZES = {
    "one byte more is declared": (
        answer(SMALL + b"!"),
        "declared size is 9 bytes, but 8 were offered",
    ),
    "one byte less is declared": (
        answer(SMALL[:-1]),
        "declared size is 7 bytes, but 8 were offered",
    ),
    "an empty one is declared": (answer(b""), "declared size is 0 bytes, but 8 were offered"),
    "more than there is is declared": (
        answer(SMALL, length=9),
        "declared size is 9 bytes, but 8 were offered",
    ),
    "one byte more comes": (chunked(SMALL, b"!"), "more than the 8 bytes"),
    "very much more comes": (in_chunks(LARGE), "more than the 8 bytes"),
    "more comes, and goes on": (chunked(LARGE, end=b""), "more than the 8 bytes"),
    "one byte less comes": (chunked(SMALL[:-1]), "size is 7 bytes, but 8 were offered"),
    "nothing comes": (chunked(), "size is 0 bytes, but 8 were offered"),
}


@pytest.mark.parametrize(("reply", "detail"), SIZES.values(), ids=list(SIZES))
@step
async def test_a_file_of_another_size_leaves_nothing(fetcher, web, folder, reply, detail):
    web.answers = [reply]
    error = await failure_of(fetcher().fetch(web.url(), info=FileInfo(size=8)), FetchFailed)
    assert (error.condition, error.text) == ("item-not-found", "not the file that was offered")
    assert detail in error.detail
    assert names(folder) == []


@pytest.mark.parametrize("served", REPLIES.values(), ids=list(REPLIES))
@pytest.mark.parametrize("told", ["size and hash", "hash"])
@step
async def test_a_file_of_the_size_with_another_hash_leaves_nothing(
    fetcher, web, folder, served, told
):
    content, reply = served
    web.answers = [reply]
    other = sha256(b"another file")
    size = None if told == "hash" else len(content)
    info = FileInfo(name="a.txt", size=size, sha256=other)
    error = await failure_of(fetcher().fetch(web.url(), info=info), FetchFailed)
    assert (error.condition, error.text) == ("item-not-found", "not the file that was offered")
    assert error.detail == f"the SHA-256 hash is {sha256(content)}, but {other} was offered"
    assert names(folder) == []


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@step
async def test_a_wrong_file_never_has_a_name(fetcher, web, folder, monkeypatch, content):
    def named(*_):
        raise AssertionError("a wrong file got a name")

    monkeypatch.setattr(naming.Part, "give_name", named)
    monkeypatch.setattr(landing.Landing, "commit", named)
    web.answers = [answer(content)]
    await failure_of(fetcher().fetch(web.url(), info=FileInfo(sha256="ab" * 32)), FetchFailed)
    assert names(folder) == []


@step
async def test_one_wrong_file_does_no_harm_to_others_that_are_committed_with_it(
    fetcher, web, folder
):
    one = fetcher()
    offers = [FileInfo(sha256="ab" * 32 if number % 3 else sha256(SMALL)) for number in range(9)]
    web.answers = [answer(SMALL)] * 9
    transfers = [one.fetch(web.url(f"/{at}.txt"), info=info) for at, info in enumerate(offers)]
    for at, transfer in enumerate(transfers):
        if at % 3:
            await failure_of(transfer, FetchFailed)
        else:
            assert (await transfer).path == folder / f"{at}.txt"
    assert names(folder) == ["0.txt", "3.txt", "6.txt"]


@step
async def test_a_declared_length_that_is_wrong_ends_the_transfer_before_the_body(fetcher, web):
    # The headers alone come, and the rest never does.
    web.answers = [answer(b"", length=10**6)]
    error = await failure_of(fetcher().fetch(web.url(), info=FileInfo(size=8)), FetchFailed)
    assert "declared size is 1000000 bytes" in error.detail


@step
async def test_an_offer_beyond_the_limit_is_too_large_before_anybody_is_asked(fetcher, web, net):
    size = 1000
    await failure_of(
        fetcher(max_size=size - 1).fetch(web.url(), info=FileInfo(size=size)), TooLarge
    )
    assert net.tried == []
    web.answers = [answer(b"x" * size)]
    assert (await fetcher(max_size=size).fetch(web.url(), info=FileInfo(size=size))).size == size


@step
async def test_a_file_that_ended_early_is_told_as_such(fetcher, web):
    web.answers = [then_close(answer(SMALL[:3], length=8))]
    error = await failure_of(fetcher().fetch(web.url(), info=FileInfo(size=8)), FetchFailed)
    assert error.text == "the file ended early"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": 5},
        {"url": None},
        {"url": b"http://127.0.0.1/"},
        {"info": "a.txt"},
        {"info": {"size": 8}},
        {"info": 8},
        {"on_progress": "print"},
    ],
)
@step
async def test_an_argument_of_the_wrong_type_fails_before_anybody_is_asked(
    fetcher, web, net, wrong
):
    [name] = wrong
    error = await failure_of(fetcher().fetch(**{"url": web.url(), **wrong}), WrongType)
    assert str(error).startswith(f"{name} must be ")
    assert isinstance(error, TypeError)
    assert net.tried == []


# --- progress


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("declared", [True, False])
@step
async def test_progress_rises_to_the_size(fetcher, web, content, declared):
    web.answers = [answer(content) if declared else in_chunks(content)]
    told = []
    await fetcher().fetch(web.url(), on_progress=lambda *given: told.append(given))
    received = [count for count, _ in told]
    assert received == sorted(set(received))
    assert received[-1] == len(content)
    assert {total for _, total in told} == {len(content) if declared else None}


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError, SystemExit])
@step
async def test_an_error_of_on_progress_is_logged_once_and_the_file_arrives(
    fetcher, web, folder, error
):
    def failing(*_):
        raise error

    web.answers = [answer(LARGE)]
    with logged() as events:
        got = await fetcher().fetch(web.url(), on_progress=failing)
        assert [type(error) for error in events.failures()] == [error]
    assert got.sha256 == sha256(LARGE)
    assert names(folder) == [got.path.name]


@pytest.mark.parametrize("after", [1, 300_000, 700_000])
@step
async def test_on_progress_may_cancel_the_transfer(fetcher, web, folder, after):
    def cancelling(received, _total):
        if received >= after:
            transfer.cancel()

    web.answers = [answer(LARGE)]
    transfer = fetcher().fetch(web.url(), on_progress=cancelling)
    await failure_of(transfer, CancelledError)
    assert names(folder) == []
