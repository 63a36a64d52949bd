"""What servers in the field answer, over real sockets: heads, framing and interim answers."""

from __future__ import annotations

import pytest
from twisted.internet.task import deferLater

from tests.support.fetching import failure_of, names, step, tls_url
from tests.support.hostile_http import answer, chunked, redirect, then_close
from tests.support.streams import logged
from twisted_oob.errors import FetchFailed, TooLarge

NO_ANSWER = "no proper answer from the server"
EARLY = "the file ended early"
TOO_LONG = "the server's headers are too long"
NO_END = "the server does not say where the file ends"
BODY = b"what was offered\n"
KIB = 1024


def raw(*lines, body=BODY, end="\r\n"):
    """An answer of these lines, which end as told."""
    return end.join([*lines, "", ""]).encode("latin-1") + body


def in_chunks(coded):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + coded


def padded(size, name="Content-Security-Policy"):
    """A field line of so many bytes, without its end."""
    return f"{name}: ".ljust(size, "x")


# --- the head

HEADS = {
    "a line of 17,500 bytes": answer(BODY, padded(17_500)),
    "a line of 40 KiB": answer(BODY, padded(40 * KIB, "Set-Cookie")),
    "a line of almost 64 KiB": answer(BODY, padded(64 * KIB - 2)),
    "three long lines": answer(BODY, *(padded(60_000, f"X-{at}") for at in range(3))),
    "a long reason phrase": answer(BODY, status="200 " + "OK " * 9000),
    "a long field that is read": answer(BODY, padded(20_000, "Content-Type")),
    "no reason phrase": raw("HTTP/1.1 200", f"Content-Length: {len(BODY)}"),
    "an empty reason phrase": raw("HTTP/1.1 200 ", f"Content-Length: {len(BODY)}"),
    "bare line feeds": raw("HTTP/1.1 200 OK", f"Content-Length: {len(BODY)}", "X: y", end="\n"),
    "HTTP/1.0": raw("HTTP/1.0 200 OK", f"Content-Length: {len(BODY)}"),
    "a folded line": raw("HTTP/1.1 200 OK", "X: a", "\tb", f"Content-Length: {len(BODY)}"),
    "no space after the colon": raw("HTTP/1.1 200 OK", f"CONTENT-LENGTH:{len(BODY)}"),
    "white space around a value": raw("HTTP/1.1 200 OK", f"Content-Length: \t {len(BODY)} \t"),
    "bytes beyond ASCII": raw("HTTP/1.1 200 \xfcber", "X: \xe4", f"Content-Length: {len(BODY)}"),
    "a transfer coding that codes nothing": answer(BODY, "Transfer-Encoding: identity"),
    "the length twice": answer(BODY, f"Content-Length: {len(BODY)}"),
    "chunks beside a length": raw(
        *("HTTP/1.1 200 OK", "Content-Length: 3", "Transfer-Encoding: chunked"),
        body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    ),
}


@pytest.mark.parametrize("reply", HEADS.values(), ids=list(HEADS))
@step
async def test_a_head_as_real_servers_send_it(fetcher, web, log, reply):
    web.answers = [reply]
    got = await fetcher().fetch(web.url())
    assert got.path.read_bytes() == BODY
    assert log == []


@step
async def test_a_head_that_comes_byte_by_byte(fetcher, web):
    fetching = fetcher().fetch(web.url())
    connection = await web.arrivals.get()
    connection.transport.setTcpNoDelay(True)
    for byte in in_chunks(b"11 \r\n" + BODY + b"\r\n0\r\n\r\n"):
        connection.write(bytes([byte]))
        await deferLater(web.reactor, 0)
    assert (await fetching).path.read_bytes() == BODY


# Almost 256 KiB, and a body that comes in the same read as the end of it.
LONGEST = answer(BODY * 50_000, *(padded(65_000, f"X-{at}") for at in range(4)))


@step
async def test_a_head_of_almost_256_kib_ends_where_it_ends(fetcher, web):
    fetching = fetcher().fetch(web.url())
    connection = await web.arrivals.get()
    connection.transport.setTcpNoDelay(True)
    connection.write(LONGEST[:1000])
    await deferLater(web.reactor, 0.05)
    connection.write(LONGEST[1000:])
    assert (await fetching).size == len(BODY * 50_000)


@step
async def test_such_a_head_is_as_long_over_tls(fetcher, serve, net, authority):
    net.hosts["files.test"] = ["127.0.0.1"]
    web = serve("files.test")
    web.answers = [LONGEST]
    got = await fetcher(ca_file=authority.file).fetch(tls_url(web))
    assert got.size == len(BODY * 50_000)


BAD_HEADS = {
    "a line over 64 KiB": (answer(BODY, padded(65 * KIB)), {NO_ANSWER, TOO_LONG}, "65536"),
    "a status line over 64 KiB": (
        answer(BODY, status="200 ".ljust(70_000, "x")),
        {NO_ANSWER, TOO_LONG},
        "65536",
    ),
    "a line without end": (
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        {NO_ANSWER, TOO_LONG},
        "65536",
    ),
    "more than 256 KiB": (
        answer(BODY, *(padded(60_000, f"X-{at}") for at in range(5))),
        {NO_ANSWER, TOO_LONG},
        "262144",
    ),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", {NO_ANSWER}, ""),
    "HTTP/0.9": (then_close(BODY), {NO_ANSWER}, ""),
    "a status of two digits": (answer(BODY, status="20 OK"), {NO_ANSWER}, ""),
    "a status of letters": (answer(BODY, status="two OK"), {NO_ANSWER}, ""),
    "a status of 1,000": (answer(BODY, status="2000 OK"), {NO_ANSWER}, ""),
    "a line without a colon": (answer(BODY, "nonsense"), {NO_ANSWER}, ""),
    "a length with a sign": (answer(BODY, length=f"+{len(BODY)}"), {NO_ANSWER}, ""),
    "a length in hex": (answer(BODY, length="0x11"), {NO_ANSWER}, ""),
    "a length with a fraction": (answer(BODY, length="17.0"), {NO_ANSWER}, ""),
    "a length with an underscore": (answer(BODY, length="1_7"), {NO_ANSWER}, ""),
    "two lengths": (answer(BODY, "Content-Length: 3"), {NO_ANSWER}, ""),
    "two lengths in one line": (answer(BODY, length="17, 3"), {NO_ANSWER}, ""),
    "another transfer coding": (answer(BODY, "Transfer-Encoding: deflate"), {NO_ANSWER}, ""),
    "a coding below chunks": (answer(BODY, "Transfer-Encoding: gzip, chunked"), {NO_ANSWER}, ""),
    "a switch of protocols": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + answer(BODY),
        {NO_ANSWER, "HTTP status 101"},
        "",
    ),
}


@pytest.mark.parametrize(("reply", "texts", "detail"), BAD_HEADS.values(), ids=list(BAD_HEADS))
@step
async def test_a_head_that_is_wrong(*, fetcher, web, folder, log, reply, texts, detail):
    web.answers = [reply]
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert error.text in texts
    assert detail in error.detail
    assert len(error.detail) <= 400
    assert names(folder) == []
    assert log == []


@step
async def test_a_length_beyond_every_number_is_too_large(fetcher, web):
    web.answers = [answer(BODY, length="9" * 5000)]
    await failure_of(fetcher().fetch(web.url()), TooLarge, FetchFailed)


# --- chunks

CHUNKS = {
    "a space before the line's end": b"11 \r\n%b\r\n0\r\n\r\n",
    "tabs and spaces": b"11\t \t\r\n%b\r\n0 \r\n\r\n",
    "a space before an extension": b"11 ;sign\r\n%b\r\n0\r\n\r\n",
    "white space within an extension": b'11 ; sign = "a;b" \t; c\r\n%b\r\n0 ; d\r\n\r\n',
    "an extension": b"11;name=value;b\r\n%b\r\n0\r\n\r\n",
    "leading zeros": b"0000000011\r\n%b\r\n00000\r\n\r\n",
    "trailers": b"11\r\n%b\r\n0\r\nX-Sum: 12\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("coded", CHUNKS.values(), ids=list(CHUNKS))
@step
async def test_chunks_as_real_servers_send_them(fetcher, web, log, coded):
    web.answers = [in_chunks(coded % BODY)]
    assert (await fetcher().fetch(web.url())).path.read_bytes() == BODY
    assert log == []


BAD_CHUNKS = {
    "a size that begins with 0x": b"0x11\r\n%b\r\n0\r\n\r\n",
    "a negative size": b"-11\r\n%b\r\n0\r\n\r\n",
    "a size with a plus": b"+11\r\n%b\r\n0\r\n\r\n",
    "a size with an underscore": b"1_1\r\n%b\r\n0\r\n\r\n",
    "no size": b"\r\n%b\r\n0\r\n\r\n",
    "an extension only": b";a=b\r\n%b\r\n0\r\n\r\n",
    "two sizes": b"1 1\r\n%b\r\n0\r\n\r\n",
    "white space before the size": b" 11\r\n%b\r\n0\r\n\r\n",
    "a letter that is no digit": b"1g\r\n%b\r\n0\r\n\r\n",
    "more than the size": b"10\r\n%b\r\n0\r\n\r\n",
    "no end of the chunk": b"11\r\n%bxx0\r\n\r\n",
    "a size of twenty digits": b"F" * 20 + b"\r\n%b",
    "a size without end": b"0" * 70_000 + b"%b",
    "an extension without end": b"11;" + b"x" * 70_000 + b"%b",
}


@pytest.mark.parametrize("coded", BAD_CHUNKS.values(), ids=list(BAD_CHUNKS))
@step
async def test_chunks_that_are_malformed(*, fetcher, web, folder, log, coded):
    web.answers = [in_chunks(coded % BODY)]
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert error.text == NO_ANSWER
    assert names(folder) == []
    assert log == []


@pytest.mark.parametrize("trailers", [b"X-Y: z\r\n" * 50_000, b"X: " + b"y" * 300_000])
@step
async def test_trailers_without_end(fetcher, web, folder, log, trailers):
    web.answers = [in_chunks(b"11\r\n%b\r\n0\r\n" % BODY + trailers)]
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert error.text in {NO_ANSWER, TOO_LONG}
    assert names(folder) == []
    assert log == []


CUT = {
    "before a size": b"",
    "within a size": b"1",
    "within a chunk": b"12\r\n%b",
    "after a chunk": b"11\r\n%b\r\n",
    "before the last line": b"11\r\n%b\r\n0\r\n",
    "within the trailers": b"11\r\n%b\r\n0\r\nX: y\r\n",
}


@pytest.mark.parametrize("coded", CUT.values(), ids=list(CUT))
@step
async def test_chunks_that_are_cut_off(fetcher, web, folder, coded):
    coded = coded % BODY if b"%b" in coded else coded
    web.answers = [then_close(in_chunks(coded))]
    assert (await failure_of(fetcher().fetch(web.url()), FetchFailed)).text == EARLY
    assert names(folder) == []


# --- what may come before the final answer


def interim(count, status="103 Early Hints", *fields):
    return raw(f"HTTP/1.1 {status}", *fields, body=b"") * count


INTERIM = {
    "none": b"",
    "one": interim(1, "100 Continue"),
    "processing": interim(7, "102 Processing"),
    "early hints with fields": interim(3, "103 Early Hints", "Link: </a.css>; rel=preload"),
    "a length in one": interim(1, "103 Early Hints", "Content-Length: 4"),
    "a hundred": interim(100),
}


@pytest.mark.parametrize("before", INTERIM.values(), ids=list(INTERIM))
@step
async def test_interim_answers(fetcher, web, log, before):
    web.answers = [before + redirect("/there"), before + answer(BODY)]
    assert (await fetcher().fetch(web.url())).path.read_bytes() == BODY
    assert log == []


@pytest.mark.parametrize("count", [101, 5000])
@pytest.mark.parametrize("hop", [0, 1])
@step
async def test_too_many_interim_answers(*, fetcher, web, log, count, hop):
    web.answers = [redirect("/there")] * hop + [interim(count) + answer(BODY)]
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert error.text in {NO_ANSWER, TOO_LONG}
    assert "100" in error.detail
    assert log == []


@step
async def test_interim_answers_without_end_are_no_sign_of_life_for_ever(fetcher, web, log):
    web.answers = [redirect("/there"), redirect("/further"), interim(20_000)]
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert error.text in {NO_ANSWER, TOO_LONG}
    assert log == []


# --- the end of a body, without TLS


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (answer(BODY, length=len(BODY) + 1), EARLY),
        (answer(b"", length=1), EARLY),
        (raw("HTTP/1.1 200 OK"), NO_END),
        (raw("HTTP/1.1 200 OK", body=b""), NO_END),
        (raw("HTTP/1.0 200 OK", "Connection: close"), NO_END),
        (raw("HTTP/1.1 200 OK", "Content-Type: text/plain")[:-3], NO_END),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", NO_ANSWER),
        (interim(2), NO_ANSWER),
    ],
)
@step
async def test_an_end_that_tells_nothing(fetcher, web, folder, reply, text):
    web.answers = [then_close(reply)]
    assert (await failure_of(fetcher().fetch(web.url()), FetchFailed)).text == text
    assert names(folder) == []


@step
async def test_what_comes_after_the_end_is_nobodys(fetcher, web):
    for reply in (answer(BODY), chunked(BODY)):
        web.answers.append(reply + answer(b"another") + b"\0" * 100_000)
        with logged() as events:
            assert (await fetcher().fetch(web.url())).path.read_bytes() == BODY
        assert events == []
