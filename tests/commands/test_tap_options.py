"""Every option of ``twistd oob-responder`` has its effect in the service that is made."""

from __future__ import annotations

import os
import stat

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults

from tests.support.hostile_http import answer
from tests.support.network import DOMAIN
from tests.support.options import NAMES, parsed
from twisted_oob.commands import tap
from twisted_oob.commands.demo import Demo

pytest_plugins = ["tests.support.services"]

EFFECTS = {}


def effect_of(option):
    """Register the coroutine that looks for an option's effect."""

    def register(check):
        EFFECTS[option] = check
        return check

    return register


@pytest.mark.parametrize("option", NAMES)
@pytest_twisted.ensureDeferred
async def test_an_option_has_its_effect(option, services):
    assert option in EFFECTS, f"nothing here looks for the effect of --{option}"
    await EFFECTS[option](services)


def test_every_effect_is_that_of_an_option():
    assert set(EFFECTS) == set(NAMES)


@effect_of("demo")
async def _(services):
    assert isinstance(tap.makeService(parsed("--demo")), Demo)
    assert not isinstance(services.make(secret_file="secret"), Demo)


# --- where files land, and what may be fetched


@effect_of("download-dir")
async def _(services):
    folder = services.folder / "some" / "where"
    umask = os.umask(0)
    try:
        _, sender = await services.start(download_dir=str(folder))
    finally:
        os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    services.web.answers.append(answer(b"file"))
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url("/a.bin"))) is None
    assert (folder / "a.bin").read_bytes() == b"file"


@effect_of("allow-network")
async def _(services):
    _, sender = await services.start(allow_network="127.0.0.2/32")
    forbidden = await services.soon(sender.oob.send_url(DOMAIN, services.web.url()))
    assert (forbidden, services.web.connections) == ("reject", [])
    _, sender = await services.start(allow_network="127.0.0.1/32")
    services.web.answers.append(answer(b"file"))
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) is None


@effect_of("max-size")
async def _(services):
    _, sender = await services.start(max_size="3")
    services.web.answers += [answer(b"abc"), answer(b"abcd")]
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) is None
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) == "reject"


@effect_of("timeout")
async def _(services):
    _, sender = await services.start(timeout="0.3")

    def drip(connection):
        connection.write(answer(length=10**6))

        def more():
            if not connection.lost.called:
                connection.write(b".")
                services.reactor.callLater(0.05, more)

        more()

    services.web.answers.append(drip)
    # It never stalls, so nothing else would end it.
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) == "not-found"


@effect_of("stall-timeout")
async def _(services):
    _, sender = await services.start(stall_timeout="0.3")
    services.web.answers.append(answer(b"half", length=8))
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) == "not-found"


# --- who may make offers, and how many


@effect_of("allow-from")
async def _(services):
    service, stranger = await services.start(allow_from="friend.localhost")
    assert await services.soon(stranger.oob.send_url(DOMAIN, services.web.url())) == "reject"
    assert services.web.connections == []
    friend = await services.sender(service, "friend.localhost")
    services.web.answers.append(answer(b"file"))
    assert await services.soon(friend.oob.send_url(DOMAIN, services.web.url())) is None


@effect_of("concurrency")
async def _(services):
    _, sender = await services.start(concurrency="1")
    offers = [sender.oob.send_url(DOMAIN, services.web.url(f"/{n}")) for n in range(6)]
    told = await services.soon(offers[5])
    assert (told.error.condition, told.error.type) == ("resource-constraint", "wait")
    for number in range(5):
        connection = await services.soon(services.web.arrivals.get())
        assert len(services.web.connections) == number + 1
        connection.write(answer(b"file"))
    assert await services.soon(gatherResults(offers[:5])) == [None] * 5


@effect_of("grace")
async def _(services):
    service, sender = await services.start(grace="30")
    runs = sender.oob.send_url(DOMAIN, services.web.url())
    connection = await services.soon(services.web.arrivals.get())
    stopped = service.stopService()
    late = await services.soon(sender.oob.send_url(DOMAIN, services.web.url()))
    assert late.error.condition == "resource-constraint"
    assert not runs.called
    connection.write(answer(b"file"))
    assert await services.soon(runs) is None
    await services.soon(stopped)


# --- the embedded router


@effect_of("listen")
async def _(services):
    services.make(listen="unix:router", secret_file="secret").startService()
    assert stat.S_ISSOCK((services.folder / "router").stat().st_mode)


@effect_of("domain")
async def _(services):
    _, sender = await services.start(domain="files.localhost")
    services.web.answers.append(answer(b"file"))
    assert await services.soon(sender.oob.send_url("files.localhost", services.web.url())) is None
    elsewhere = await services.soon(sender.oob.send_url(DOMAIN, services.web.url()))
    assert elsewhere.error.condition == "remote-server-not-found"


@effect_of("secret-file")
async def _(services):
    services.write("other", "the other secret")
    service = services.make(
        listen="tcp:0:interface=127.0.0.1", secret_file="other", download_dir="landed"
    )
    service.startService()
    services.write("secret", "the other secret")
    await services.sender(service)
    services.make(component="x.y", secret_file="other", allow_from="*")
    (services.folder / "other").unlink()
    with pytest.raises(SystemExit, match=r"--secret-file '.*/other' can't be used: No such file"):
        services.make(component="x.y", secret_file="other", allow_from="*")


# --- a real server


def account(services, server, *flags, **options):
    services.write("password", "hunter2")
    return services.make(
        *flags,
        **{"jid": "me@home.example", "password_file": "password", "ca_file": str(services.ca_file)}
        | {"host": "127.0.0.1", "port": str(server.port), "download_dir": "landed"}
        | options,
    )


@effect_of("jid")
async def _(services):
    server = services.server()
    account(services, server, jid="you@home.example/desk").startService()
    user, _ = await services.soon(server.login)
    assert user == "you"


@effect_of("password-file")
async def _(services):
    server = services.server()
    services.write("other", "correct horse")
    account(services, server, password_file="other").startService()
    _, password = await services.soon(server.login)
    assert password == "correct horse"


@effect_of("ca-file")
async def _(services):
    # The login comes after the verification; nobody trusts this authority without the option.
    server = services.server()
    account(services, server).startService()
    await services.soon(server.login)
    # Downloads trust it, too, in every mode.
    ca_file = str(services.ca_file)
    for service in (
        account(services, server),
        component(services, server.port, ca_file=ca_file),
        services.make(secret_file="secret", ca_file=ca_file),
    ):
        assert service._policy.ca_file == services.ca_file


@effect_of("direct-tls")
async def _(services):
    server = services.server(direct_tls=True)
    account(services, server, "--direct-tls").startService()
    user, _ = await services.soon(server.login)
    assert user == "me"


def component(services, port, **options):
    services.write("secret", "a secret")
    return services.make(
        **{"component": "files.localhost", "secret_file": "secret", "allow_from": "*"}
        | {"port": str(port), "download_dir": "more", "allow_network": "127.0.0.0/8"}
        | options
    )


@effect_of("host")
async def _(services):
    server = services.server(interface="127.0.0.2")
    for service in (
        account(services, server, host="127.0.0.2"),
        component(services, server.port, host="127.0.0.2"),
    ):
        service.startService()
        assert await services.soon(server.next()) == "127.0.0.2"


@effect_of("port")
async def _(services):
    server = services.server()
    for service in (account(services, server), component(services, server.port)):
        service.startService()
        await services.soon(server.next())


@effect_of("component")
async def _(services):
    services.write("secret", "a secret")
    router, sender = await services.start()
    port = router._embedded._port.getHost().port
    component(services, port).startService()
    services.web.answers.append(answer(b"file"))
    # Its stream opens a moment later: until then there is no route to it.
    while True:
        told = await services.soon(sender.oob.send_url("files.localhost", services.web.url()))
        if told is None:
            break
        assert told.error.condition == "remote-server-not-found"
    assert (services.folder / "more" / "file.bin").read_bytes() == b"file"
