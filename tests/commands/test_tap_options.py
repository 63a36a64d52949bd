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
from tests.support.talks import Room, Talk, read
from tests.support.waiting import until
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


@effect_of("file-mode")
async def _(services):
    umask = os.umask(0o077)
    try:
        for number, mode in enumerate(["600", "0640"]):
            _, sender = await services.start(file_mode=mode)
            services.web.answers.append(answer(b"file"))
            url = services.web.url(f"/{number}.bin")
            assert await services.soon(sender.oob.send_url(DOMAIN, url)) is None
            landed = services.folder / "landed" / f"{number}.bin"
            assert stat.S_IMODE(landed.stat().st_mode) == int(mode, 8)
    finally:
        os.umask(umask)


@effect_of("dir-mode")
async def _(services):
    umask = os.umask(0o077)
    try:
        await in_room(services, dir_mode="2750")
    finally:
        os.umask(umask)
    for folder in ("more", "more/plans@rooms.localhost"):
        assert stat.S_IMODE((services.folder / folder).stat().st_mode) == 0o2750


@effect_of("allow-network")
async def _(services):
    _, sender = await services.start(allow_network="127.0.0.2/32")
    forbidden = await services.soon(sender.oob.send_url(DOMAIN, services.web.url()))
    assert (forbidden, services.web.connections) == ("reject", [])
    _, sender = await services.start(allow_network="127.0.0.1/32")
    services.web.answers.append(answer(b"file"))
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) is None


@effect_of("deny-network")
async def _(services):
    _, sender = await services.start(allow_network="127.0.0.0/8", deny_network="127.0.0.1/32")
    told = await services.soon(sender.oob.send_url(DOMAIN, services.web.url()))
    assert (told, told.error.text) == ("reject", "this address is not allowed")
    assert services.web.connections == []
    _, sender = await services.start(deny_network="127.0.0.2/32")
    services.web.answers.append(answer(b"file"))
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) is None


@effect_of("user-agent")
async def _(services):
    _, sender = await services.start(user_agent="bot/1.0 (+https://b.example)")
    services.web.answers.append(answer(b"file"))
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) is None
    [connection] = services.web.connections
    assert b"\r\nUser-Agent: bot/1.0 (+https://b.example)\r\n" in connection.request


@effect_of("max-size")
async def _(services):
    _, sender = await services.start(max_size="3")
    services.web.answers += [answer(b"abc"), answer(b"abcd")]
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) is None
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) == "reject"


def drips(connection):
    """Answer with a byte every 50 ms, which never stalls."""
    from twisted.internet import reactor

    connection.write(answer(length=10**6))

    def more():
        if not connection.lost.called:
            connection.write(b".")
            reactor.callLater(0.05, more)

    more()


@effect_of("timeout")
async def _(services):
    _, sender = await services.start(timeout="0.3", min_rate="0")
    services.web.answers.append(drips)
    # Nothing else would end it.
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) == "not-found"


@effect_of("stall-timeout")
async def _(services):
    _, sender = await services.start(stall_timeout="0.3")
    services.web.answers.append(answer(b"half", length=8))
    assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) == "not-found"


@effect_of("min-rate")
async def _(services):
    _, sender = await services.start(stall_timeout="0.3", min_rate="1K")
    services.web.answers.append(drips)
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


@effect_of("allow-file")
async def _(services):
    services.write("list", "friend.localhost  # of ours")
    service, stranger = await services.start(allow_file="list")
    assert await services.soon(stranger.oob.send_url(DOMAIN, services.web.url())) == "reject"
    friend = await services.sender(service, "friend.localhost")
    services.web.answers.append(answer(b"file"))
    assert await services.soon(friend.oob.send_url(DOMAIN, services.web.url())) is None
    # Beside those of --allow-from.
    service, _ = await services.start(allow_file="list", allow_from="other.localhost")
    for domain in ("friend.localhost", "other.localhost"):
        sender = await services.sender(service, domain)
        services.web.answers.append(answer(b"file"))
        assert await services.soon(sender.oob.send_url(DOMAIN, services.web.url())) is None


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


@effect_of("queue-timeout")
async def _(services):
    _, sender = await services.start(concurrency="1", queue_timeout="0.1")
    runs, waits = (sender.oob.send_url(DOMAIN, services.web.url(f"/{n}")) for n in range(2))
    connection = await services.soon(services.web.arrivals.get())
    told = await services.soon(waits)
    assert (told.error.condition, told.error.type) == ("resource-constraint", "wait")
    connection.write(answer(b"file"))
    assert await services.soon(runs) is None


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


# --- the chat


def serve(services):
    """Make a folder with one file; gives the option that serves it."""
    folder = services.folder / "served"
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_bytes(b"abc")
    return {"serve": str(folder)}


@effect_of("no-messages")
async def _(services):
    _, sender = await services.start()
    assert "jabber:x:oob" in await services.soon(sender.oob.find_features(DOMAIN))
    _, sender = await services.start("--no-messages")
    talk = Talk(sender)
    talk.share(services.web.url())
    talk.write("help")
    assert "jabber:x:oob" not in await services.soon(sender.oob.find_features(DOMAIN))
    assert (talk.heard.pending, services.web.connections) == ([], [])


@effect_of("serve")
async def _(services):
    _, sender = await services.start(**serve(services))
    talk = Talk(sender)
    assert "a.txt (3 bytes, " in await talk.ask("list")
    talk.write("send a.txt")
    url = await talk.receive()
    assert url.startswith("http://127.0.0.1:")
    assert await services.soon(read(url)) == b"abc"
    _, sender = await services.start()
    assert "list" not in await Talk(sender).ask("help")


@effect_of("serve-listen")
async def _(services):
    listen = {"serve_listen": "tcp:0:interface=127.0.0.2"}
    _, sender = await services.start(**serve(services), **listen)
    talk = Talk(sender)
    talk.write("send a.txt")
    assert (await talk.receive()).startswith("http://127.0.0.2:")


@effect_of("public-url")
async def _(services):
    _, sender = await services.start(**serve(services), public_url="https://x.example/shared")
    talk = Talk(sender)
    talk.write("send a.txt")
    assert (await talk.receive()).startswith("https://x.example/shared/")


@effect_of("via")
async def _(services):
    router, sender = await services.start()
    port = router._embedded._port.getHost().port
    options = serve(services)
    for via, domain in (("share", "one.localhost"), ("upload", "two.localhost")):
        service = component(services, port, component=domain, via=via, **options)
        service.startService()
        await services.soon(service._served._stream.ready)
        talk = Talk(sender, domain)
        talk.write("send a.txt")
        if via == "share":
            assert (await talk.receive()).startswith("http://127.0.0.1:")
        else:
            # The router has no service that would take it.
            assert (await talk.hear()).startswith("could not send a.txt: ")


async def in_room(services, *flags, **options):
    """Join a room; gives it."""
    router, _ = await services.start()
    room = Room(await services.sender(router, "rooms.localhost"))
    port = router._embedded._port.getHost().port
    options = {"join": "plans@rooms.localhost/Our Files", **options}
    component(services, port, *flags, **options).startService()
    entered = ("plans@rooms.localhost/Our Files", "files.localhost")
    assert await services.soon(room.joined.get()) == entered
    return room


def share(services, room, path, reply):
    services.web.answers.append(reply)
    room.share(services.web.url(path), "plans@rooms.localhost", "files.localhost")


async def said(services, room):
    message = await services.soon(room.heard.get())
    assert (message["to"], message["type"]) == ("plans@rooms.localhost", "groupchat")
    return str(message.body)


@effect_of("join")
async def _(services):
    room = await in_room(services)
    share(services, room, "/a.bin", answer(b"file"))
    kept = services.folder / "more" / "plans@rooms.localhost" / "a.bin"
    await until(kept.exists)
    assert kept.read_bytes() == b"file"
    share(services, room, "/b.bin", answer(b"", status="404 Not Found"))
    assert await said(services, room) == "could not fetch b.bin: HTTP status 404"


@effect_of("talk-in-rooms")
async def _(services):
    room = await in_room(services, "--talk-in-rooms")
    share(services, room, "/a.bin", answer(b"file"))
    assert await said(services, room) == "stored a.bin (4 bytes)"


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


def component(services, port, *flags, **options):
    # That of the embedded router, if there is one.
    if not (services.folder / "secret").exists():
        services.write("secret", "a secret")
    return services.make(
        *flags,
        **{"component": "files.localhost", "secret_file": "secret", "allow_from": "*"}
        | {"port": str(port), "download_dir": "more", "allow_network": "127.0.0.0/8"}
        | options,
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
