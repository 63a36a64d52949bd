"""What a hostile web server can write into the log of a responder: a few short lines."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred

from tests.support.hostile_http import answer, redirect, then_close
from tests.support.processes import IN_CI

pytest_plugins = ["tests.support.responders"]
pytestmark = IN_CI  # it starts a responder

LINES, BYTES = 6, 1500  # for an offer, with what the responder logs of each one anyway
MANY = 17_000
ALERTS = b"\x15\x03\x03\x00\x02\x02\x28" * 2000  # handshake_failure, again and again
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"


def told_by(value):
    """Replies that hold a value wherever a server can say something."""
    return [
        answer(b"x", status=f"404 {value}"),
        answer(b"x", status=f"200 {value}"),
        answer(b"x", f"X-Anything: {value}"),
        answer(b"x", f"Content-Encoding: gzip, {value}"),
        answer(b"x", f"Content-Type: {value}"),
        answer(b"x", f"Content-Disposition: {value}"),
        answer(b"x", f"Retry-After: {value}", status="503 Busy"),
        answer(b"x", f"Transfer-Encoding: {value}"),
        answer(b"x", length=value),
        redirect(value),
        redirect(f"http://{value}/"),
        redirect(f"http://127.0.0.1:1{value}/"),
        redirect(f"{value}://a/"),
        redirect(f"/x\r\nSet-Cookie: {value}={value}"),
        f"{value}\r\n\r\n".encode(),
        f"HTTP/1.1 {value} OK\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\n{value}\r\n\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + value.encode() + b"\r\n",
    ]


HOSTILE = [
    [INTERIM * MANY + answer(b"x")],
    [INTERIM * 50 + redirect("/x")] * 6,
    [redirect("/" + "x" * 60_000)],
    [redirect("/" + "x" * 4000 + f"/{hop}") for hop in range(6)],
    # More than any line may have, much of what a line may have, and what terminals obey.
    *([reply] for reply in told_by("x" * 70_000)),
    *([reply] for reply in told_by("y" * 20_000)),
    *([reply] for reply in told_by("\x1b[2J\x07 \x00z" * 500)),
]


@ensureDeferred
async def test_an_offer_logs_a_few_short_lines(operator):
    process, sender = await operator.start("--max-size", "1000")
    web = operator.web
    for number, replies in enumerate(HOSTILE):
        before = process.output
        # Whoever is led on gets a file in the end.
        web.answers = [then_close(reply) for reply in (*replies, *[answer(b"x")] * 6)]
        await sender.oob.send_url("oob.localhost", web.url(f"/{number}"), timeout=10)
        await process.moment()
        logged = process.output[len(before) :]
        assert logged.count("\n") <= LINES, (number, logged)
        assert len(logged) <= BYTES, (number, logged)
        assert logged.replace("\n", "").isprintable(), (number, logged)
        assert "Unhandled" not in logged
        assert "Traceback" not in logged


@pytest.mark.parametrize("scheme", ["http", "https"])
@ensureDeferred
async def test_many_offers_of_one_kind_log_as_many_lines(operator, scheme):
    process, sender = await operator.start()
    before = process.output
    offers = 40
    build = operator.web.buildProtocol

    def building(address):
        connection = build(address)
        connection.dataReceived = lambda _: then_close(ALERTS)(connection)
        return connection

    operator.web.buildProtocol = building
    url = operator.web.url().replace("http", scheme, 1)
    for _ in range(offers):
        await sender.oob.send_url("oob.localhost", url, timeout=10)
    await process.moment()
    logged = process.output[len(before) :]
    assert logged.count("\n") <= LINES * offers
    assert len(logged) <= BYTES * offers
    assert "Traceback" not in logged
