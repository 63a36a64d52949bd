"""A server that sends us to another one (RFC 6120 section 4.9.3.19)."""

from __future__ import annotations

import pytest
import pytest_twisted
from service_identity import VerificationError
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.names import error
from twisted.python.failure import Failure

from tests.support.locating import located, srv
from twisted_oob.errors import StreamRefused
from twisted_oob.xmpp.failures import explain


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("other.example:9222", ("other.example", 9222)),
        (" other.example:9222\n", ("other.example", 9222)),
        ("localhost:1", ("localhost", 1)),
        ("bücher.example:65535", ("xn--bcher-kva.example", 65535)),
        ("192.0.2.1:9222", ("192.0.2.1", 9222)),
        ("[2001:db8::1]:9222", ("2001:db8::1", 9222)),
        # Without a port, as its kind has it.
        ("192.0.2.1", ("192.0.2.1", None)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
    ],
)
@pytest.mark.parametrize("direct", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_redirection_is_followed_once(attempts, text, target, direct):
    endpoint = located(host="xmpp.example", port=1, direct_tls=direct)
    await endpoint.connect(None)

    assert endpoint.see_other_host(text)

    host, port = target
    port = port or (5223 if direct else 5222)
    assert await endpoint.connect(None) == (host, port, direct)
    assert await endpoint.connect(None) == ("xmpp.example", 1, direct)


@pytest_twisted.ensureDeferred
async def test_a_host_without_a_port_is_looked_up(names, attempts):
    endpoint = located(names.resolver, host="xmpp.example", port=1)
    names.zone.direct = [srv(2)]

    assert endpoint.see_other_host("other.example")

    assert await endpoint.connect(None) == ("xmpp.example", 2, True)
    assert [name for name, _ in names.zone.asked] == [
        "_xmpp-client._tcp.other.example",
        "_xmpps-client._tcp.other.example",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ":5222", "other.example:", "other.example:0", "other.example:65536"),
        *("other.example:port", "other.example:1:2", "2001:db8::1", "[other.example]", "[]:5222"),
        *("[192.0.2.1]", "[2001:db8::g]", "[2001:db8::1", "two words", "me@other.example"),
        *("https://other.example/", "other..example", f"{'x' * 64}.example", "other.example/x"),
        *("other.example\0", "other.example:99999999999999999999", "other.example:\uff15222"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_host_is_not_followed(attempts, text):
    endpoint = located(host="xmpp.example", port=1)
    assert not endpoint.see_other_host(text)
    assert await endpoint.connect(None) == ("xmpp.example", 1, False)


@pytest_twisted.ensureDeferred
async def test_at_most_five_redirections_in_a_row_are_followed(attempts):
    endpoint = located(host="xmpp.example", port=1)
    for _ in range(2):
        await endpoint.connect(None)
        for number in range(5):
            assert endpoint.see_other_host(f"other.example:{number + 2}")
            assert (await endpoint.connect(None))[1] == number + 2
        assert not endpoint.see_other_host("other.example:9")
        assert (await endpoint.connect(None))[1] == 1


@pytest.mark.parametrize("ends_row", ["stream_up", "a connection of its own"])
@pytest_twisted.ensureDeferred
async def test_a_stream_or_the_first_server_ends_the_row(attempts, ends_row):
    endpoint = located(host="xmpp.example", port=1)
    for _ in range(12):
        assert endpoint.see_other_host("other.example:2")
        assert (await endpoint.connect(None))[1] == 2
        if ends_row == "stream_up":
            endpoint.stream_up()
        else:
            assert (await endpoint.connect(None))[1] == 1


@pytest.mark.parametrize(
    "failure",
    [RefusedError(), VerificationError(errors=[]), error.DomainError(), ValueError("no host")],
    ids=repr,
)
@pytest_twisted.ensureDeferred
async def test_a_redirection_that_fails_is_no_reason_to_give_up(attempts, failure):
    endpoint = located(host="xmpp.example", port=1)
    attempts.failing = {2: failure}
    assert endpoint.see_other_host("other.example:2")
    with pytest.raises(StreamRefused, match=r"redirects to other\.example, but: ") as caught:
        await endpoint.connect(None)
    assert not explain(Failure(caught.value)).permanent
    assert (await endpoint.connect(None))[1] == 1


# --- the same server again


@pytest_twisted.ensureDeferred
async def test_the_same_server_is_the_one_that_the_last_connection_went_to(names, attempts):
    endpoint = located(names.resolver)
    names.zone.records, names.zone.direct = [srv(1)], [srv(2, priority=2)]
    attempts.failing = {1: RefusedError()}
    assert await endpoint.connect(None) == ("xmpp.example", 2, True)
    attempts.failing = {}
    assert endpoint.see_other_host("other.example:3")
    asked = len(names.zone.asked)

    assert await endpoint.same_server().connect(None) == ("xmpp.example", 2, True)

    assert len(names.zone.asked) == asked
    # The redirection is still to be followed; then that server is the same one.
    assert await endpoint.connect(None) == ("other.example", 3, True)
    assert await endpoint.same_server().connect(None) == ("other.example", 3, True)
