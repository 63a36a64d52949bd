"""Fetching only from judged addresses."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.fetching import failure_of, step
from tests.support.hostile_http import answer, redirect
from twisted_oob.errors import Forbidden


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://localhost:{port}/",
        "https://127.0.0.1:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0:{port}/",
    ],
)
@step
async def test_a_forbidden_address_is_never_tried(fetcher, web, net, url):
    fetching = fetcher(allow_networks=()).fetch(url.format(port=web.port))
    error = await failure_of(fetching, Forbidden)
    assert error.text == "this address is not allowed"
    assert net.tried == []
    assert web.connections == []


@step
async def test_an_address_as_everybody_writes_it_is_not_resolved(fetcher, web, net):
    web.answers = [answer(b"x"), answer(b"x")]
    await fetcher().fetch(web.url())
    assert net.resolved == []
    await fetcher().fetch(web.url(host="2130706433"))
    assert net.resolved == ["2130706433"]
    assert net.tried == [("127.0.0.1", web.port)] * 2


@step
async def test_a_name_with_one_forbidden_address_is_refused_wholly(fetcher, web, net):
    net.hosts["two.test"] = ["127.0.0.1", "10.0.0.1"]
    await failure_of(fetcher().fetch(web.url(host="two.test")), Forbidden)
    assert net.tried == []


@step
async def test_every_hop_is_judged_anew(fetcher, web, net, folder):
    net.hosts["inside.test"] = ["169.254.169.254"]
    web.answers = [redirect("http://inside.test/"), redirect("http://169.254.169.254/")]
    for _ in range(2):
        error = await failure_of(fetcher().fetch(web.url()), Forbidden)
        assert error.text == "this address is not allowed"
    assert {host for host, _ in net.tried} == {"127.0.0.1"}


@step
async def test_a_name_that_resolves_anew_meets_the_judged_address(fetcher, web, net):
    net.hosts["rebinding.test"] = [["127.0.0.1"], ["10.0.0.1"]]
    web.answers = [answer(b"x")]
    await fetcher().fetch(web.url(host="rebinding.test"))
    assert net.resolved == ["rebinding.test"]
    assert net.tried == [("127.0.0.1", web.port)]
    assert web.connections[0].headers["host"] == f"rebinding.test:{web.port}"


@step
async def test_a_name_that_resolves_anew_is_judged_on_the_next_hop(fetcher, web, net):
    net.hosts["rebinding.test"] = [["127.0.0.1"], ["10.0.0.1"]]
    web.answers = [redirect("/again")]
    await failure_of(fetcher().fetch(web.url(host="rebinding.test")), Forbidden)
    assert net.tried == [("127.0.0.1", web.port)]


@step
async def test_every_judged_address_is_tried(fetcher, web, net):
    net.hosts["many.test"] = ["127.0.0.2", "127.0.0.1"]
    web.answers = [answer(b"x")]
    await fetcher().fetch(web.url(host="many.test"))
    assert net.tried == [("127.0.0.2", web.port), ("127.0.0.1", web.port)]


@step
async def test_an_allowed_ipv4_network_is_reached_in_its_ipv6_form(fetcher, web):
    web.answers = [answer(b"x")]
    await fetcher().fetch(web.url(host="[::ffff:127.0.0.1]"))


@step
async def test_no_proxy_of_the_environment_is_used(fetcher, web, net, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    web.answers = [answer(b"x")]
    await fetcher().fetch(web.url())
    assert net.tried == [("127.0.0.1", web.port)]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://", "nonsense"])
@step
async def test_other_urls_are_forbidden(fetcher, net, url):
    await failure_of(fetcher().fetch(url), Forbidden)
    assert net.resolved == []


FEW_DESCRIPTORS = """
import json, os, resource, socket, time
from ipaddress import ip_network
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted_oob import Fetcher, FetchPolicy

class Resolver:
    def resolveHostName(self, receiver, host, portNumber=0, **others):
        for number in range(1, 100):
            receiver.addressResolved(IPv4Address("TCP", f"127.1.1.{number}", 0))
        receiver.resolutionComplete()

def left(count):
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        for _ in range(count):
            os.close(held.pop())

async def main():
    # Nobody accepts connections there, and no further ones can wait.
    deaf = socket.create_server(("0.0.0.0", 0), backlog=0)
    port = deaf.getsockname()[1]
    waiting = [socket.create_connection(("127.0.0.1", port))]
    reactor.installNameResolver(Resolver())
    policy = FetchPolicy(allow_networks=(ip_network("127.0.0.0/8"),))
    fetcher = Fetcher(reactor, policy, ".")
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    told = []
    for host, count in ("b\u00fccher.test", 0), ("many.test", 1), ("many.test", 2):
        left(count)
        begun = time.monotonic()
        try:
            await fetcher.fetch(f"http://{host}:{port}/")
        except Exception as error:
            told.append([host, count, type(error).__name__, time.monotonic() - begun])
    print(json.dumps(told))
    reactor.stop()

held = []
reactor.callWhenRunning(Deferred.fromCoroutine, main())
reactor.run()
"""


@step
async def test_few_descriptors_are_told_at_once_whatever_the_name(python):
    program = python(FEW_DESCRIPTORS)
    assert await program.finished() == 0
    told = json.loads(re.search(r"^\[.*\]$", program.output, re.MULTILINE)[0])
    assert {error for _, _, error, _ in told} == {"NoRoom"}
    assert len(told) == 3
    assert max(seconds for *_, seconds in told) < 2
    assert "Unhandled" not in program.output
