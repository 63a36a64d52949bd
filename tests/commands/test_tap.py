"""``twistd oob-responder`` as an operator runs it: starting, stopping, and what it logs."""

from __future__ import annotations

import signal

import pytest
import pytest_twisted
from twisted.application.service import IServiceMaker
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.logger import formatEvent
from twisted.plugin import getPlugins
from twisted.python.failure import Failure

from tests.support.account_server import Server
from tests.support.certificates import server_options
from tests.support.hostile_http import answer, redirect
from tests.support.network import DOMAIN
from tests.support.options import parsed
from twisted_oob import StreamRefused
from twisted_oob.commands import tap
from twisted_oob.commands.demo import Demo
from twisted_oob.commands.options import Options
from twisted_oob.xmpp.disco import everything
from twisted_oob.xmpp.presence import PresenceHandler

from wokkel.disco import DiscoIdentity  # isort: skip

pytest_plugins = ["tests.support.responders", "tests.support.services"]


def error_of(services, **options):
    """Give the one line that ends the process before anything starts."""
    with pytest.raises(SystemExit) as raised:
        services.make(**options)
    assert "\n" not in raised.value.code
    return raised.value.code


# --- making the service


def test_the_plugin_makes_the_service():
    [plugin] = [one for one in getPlugins(IServiceMaker) if one.tapname == "oob-responder"]
    assert plugin.options is Options
    assert plugin.makeService is tap.makeService


def test_nothing_is_left_by_a_service_that_is_made_and_not_started(services):
    services.make(download_dir="landed", secret_file="secret")
    assert list(services.folder.iterdir()) == []


def test_the_demo_needs_no_secret(services):
    assert isinstance(tap.makeService(parsed("--demo")), Demo)
    assert list(services.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({}, "secret-file"),
        ({"component": "a.b", "allow_from": "c"}, "secret-file"),
        ({"jid": "a@b.example"}, "password-file"),
    ],
)
@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ((b"\xff\xfe", 0o600), "its first line is not UTF-8 text"),
        ((b"\n", 0o600), "its first line is empty"),
        ((b"hunter2\n", 0o644), "other users have access to it; run: chmod 600 "),
    ],
)
def test_a_bad_secret_is_one_line_before_anything_starts(services, options, option, file, reason):
    path = services.folder / "file"
    path.write_bytes(file[0])
    path.chmod(file[1])
    line = error_of(services, **options, **{option: "file"})
    assert line.startswith(f"twistd oob-responder: --{option} '{path}' can't be used: {reason}")
    assert "hunter2" not in line


def test_only_the_embedded_router_invents_a_secret(services):
    words = {"component": "a.b", "allow_from": "c", "secret_file": "missing"}
    line = error_of(services, **words)
    assert line.endswith("/missing' can't be used: No such file or directory")
    assert list(services.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"ca_file": "empty"}, "no certificate in PEM format"),
        ({"jid": f"a@{'x' * 70}.example"}, "no certificate can name"),
    ],
)
def test_a_bad_account_is_one_line_before_anything_starts(services, options, part):
    services.write("password", "hunter2")
    (services.folder / "empty").touch()
    line = error_of(services, **{"jid": "a@b.example", "password_file": "password"} | options)
    assert part in line
    assert "hunter2" not in line


def test_a_ca_file_that_is_gone_is_one_line_before_anything_starts(services):
    services.write("password", "hunter2")
    services.write("ca", "")
    options = parsed("--jid", "a@b.example", "--password-file", "password", "--ca-file", "ca")
    (services.folder / "ca").unlink()
    with pytest.raises(SystemExit, match=r"No such file or directory: '.*/ca'$"):
        tap.makeService(options)


# --- the second time


@pytest_twisted.ensureDeferred
async def test_a_service_can_be_stopped_twice_and_before_it_starts(services):
    service = services.make(secret_file="secret")
    assert service.stopService() is None
    service, sender = await services.start(secret_file="secret")
    assert service.running
    await services.soon(service.stopService())
    assert not service.running
    assert service.stopService() is None
    await services.soon(sender.lost)


@pytest_twisted.ensureDeferred
async def test_a_service_serves_again_when_it_is_started_again(services):
    service, _ = await services.start()
    for number in range(2):
        await services.soon(service.stopService())
        service.startService()
        sender = await services.sender(service)
        services.web.answers.append(answer(b"file"))
        url = services.web.url(f"/{number}.bin")
        assert await services.soon(sender.oob.send_url(DOMAIN, url)) is None
    assert services.files() == {"0.bin": b"file", "1.bin": b"file"}


@pytest_twisted.ensureDeferred
async def test_an_account_connects_again_when_it_is_started_again(services):
    server = services.server()
    services.write("password", "hunter2")
    service = services.make(
        jid="me@home.example",
        password_file="password",
        download_dir="landed",
        host="127.0.0.1",
        port=str(server.port),
        ca_file=str(services.ca_file),
    )
    for _ in range(2):
        service.startService()
        await services.soon(server.next())
        await services.soon(service.stopService())
        assert service.stopService() is None


@pytest.mark.parametrize(
    ("options", "identity"),
    [
        ({"jid": "me@home.example", "password_file": "secret"}, ("client", "bot")),
        (
            {"component": "x.y", "secret_file": "secret", "allow_from": "*"},
            ("component", "generic"),
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_it_is_on_a_real_server(services, options, identity):
    server = services.server()
    services.write("secret", "hunter2")
    service = services.make(**options, host="127.0.0.1", port=str(server.port))
    service.startService()
    stream = service._served._stream
    found = await everything(stream, "getDiscoInfo", None, None, "")
    assert [(one.category, one.type) for one in found if isinstance(one, DiscoIdentity)] == [
        identity
    ]
    assert any(isinstance(handler, PresenceHandler) for handler in stream)


@pytest_twisted.ensureDeferred
async def test_by_default_an_embedded_router_waits_for_nothing(services):
    service, sender = await services.start()
    fired = sender.oob.send_url(DOMAIN, services.web.url())
    await services.soon(services.web.arrivals.get())
    await services.soon(service.stopService())
    assert (await services.soon(fired)).error.condition == "resource-constraint"
    assert services.files() == {}


def test_an_existing_download_directory_keeps_its_mode(services):
    folder = services.folder / "landed"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    service = services.make(
        listen="tcp:0:interface=127.0.0.1", download_dir="landed", secret_file="secret"
    )
    service.startService()
    assert folder.stat().st_mode & 0o777 == 0o755


# --- what can't be started


@pytest.fixture
def ended(monkeypatch):
    """The exit statuses that services gave this process, which goes on."""
    statuses = []
    monkeypatch.setattr(tap, "stop_with_status", lambda _reactor, status: statuses.append(status))
    return statuses


def critical(log):
    return [formatEvent(event) for event in log if event["log_level"].name == "critical"]


@pytest.mark.parametrize(
    "error",
    [
        CannotListenError("127.0.0.1", 1, OSError("taken")),
        PermissionError(13, "Permission denied", "/srv/files"),
        ValueError("not like this"),
    ],
)
def test_what_the_operator_can_mend_is_one_line(services, ended, log, error):
    service = services.make(secret_file="secret")
    service._give_up(Failure(error))
    assert ended == [1]
    [line] = critical(log)
    assert line == f"Could not start: {error}"
    assert log.failures() == []


def test_what_is_our_fault_has_a_traceback(services, ended, log):
    service = services.make(secret_file="secret")
    service._give_up(Failure(ZeroDivisionError()))
    assert ended == [1]
    assert [formatEvent(event) for event in log][-1] == "Could not start"
    assert [type(error) for error in log.failures()] == [ZeroDivisionError]


def test_what_fails_before_it_connects_is_one_line(services, ended, log):
    services.write("secret", "a secret")
    service = services.make(component="a.b", allow_from="c", secret_file="secret")
    # It is there since the options were parsed.
    (services.folder / "oob-downloads").touch()
    service.startService()
    assert ended == [1]
    assert "File exists" in critical(log)[0]


@pytest.mark.parametrize("options", [{}, {"component": "x.y", "allow_from": "*"}])
def test_a_share_that_can_not_listen_is_one_line_before_anything_connects(
    services, ended, log, options
):
    services.write("secret", "hunter2")
    (services.folder / "served").mkdir()
    taken = f"tcp:{services.web.port}:interface=127.0.0.1"
    service = services.make(secret_file="secret", serve="served", serve_listen=taken, **options)
    service.startService()
    assert ended == [1]
    assert critical(log) == [
        f"Could not start: --serve-listen '{taken}' can't be used: Address already in use"
    ]
    assert (service._embedded, service._served) == (None, None)


def test_a_socket_that_can_not_be_made_is_one_line(services, ended, log):
    services.write("secret", "hunter2")
    (services.folder / "served").mkdir()
    listen = f"unix:{services.folder}/missing/socket"
    options = {"serve": "served", "serve_listen": listen, "public_url": "https://x.y"}
    services.make(secret_file="secret", **options).startService()
    assert ended == [1]
    assert critical(log) == [
        f"Could not start: --serve-listen '{listen}' can't be used: No such file or directory"
    ]


def test_a_public_url_that_no_share_can_have_is_one_line(services):
    (services.folder / "served").mkdir()
    line = error_of(services, secret_file="secret", serve="served", public_url="https://me@x.y")
    assert "--public-url 'https://me@x.y' is not valid: " in line


def test_a_refused_stream_is_one_line(services, ended, log):
    service = services.make(secret_file="secret")
    service._refused(StreamRefused("the password is wrong"))
    assert ended == [1]
    assert critical(log) == ["Could not start: the password is wrong"]


def test_a_stream_that_another_took_over_is_one_line(services, ended, log):
    service = services.make(secret_file="secret")
    service._bound("me@home.example/oob")
    service._refused(StreamRefused("another connection took over"))
    assert ended == [1]
    assert critical(log) == ["Stopped: another connection took over"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"jid": "me@home.example", "password_file": "secret"},
        {"component": "x.y", "secret_file": "secret", "allow_from": "*"},
    ],
    ids=["embedded", "account", "component"],
)
def test_a_ca_file_without_certificates_is_one_line_before_anything_starts(services, options):
    services.write("secret", "hunter2")
    services.write("ca", "")
    line = error_of(services, ca_file="ca", **options)
    assert line.endswith("/ca contains no certificate in PEM format")


def told(log):
    lines = [formatEvent(event) for event in log]
    return [line for line in lines if line is not None and line.startswith("Offers to")]


@pytest_twisted.ensureDeferred
async def test_the_embedded_router_tells_where_offers_land(services, log):
    await services.start(domain="files.localhost")
    assert told(log) == [f"Offers to files.localhost land in {services.folder / 'landed'}"]


@pytest_twisted.ensureDeferred
async def test_a_component_tells_where_offers_land(services, log):
    router, _sender = await services.start()
    services.write("other", (services.folder / "secret").read_text().strip())
    port = router._embedded._port.getHost().port
    service = services.make(
        component="x.localhost",
        secret_file="other",
        allow_from="*",
        port=str(port),
        download_dir="more",
    )
    service.startService()
    await services.soon(service._served._stream.ready)
    assert told(log)[1:] == [f"Offers to x.localhost land in {services.folder / 'more'}"]


@pytest.mark.parametrize(
    ("jid", "asked"),
    [("me@home.example", "oob"), ("me@home.example/desk", "desk")],
)
@pytest_twisted.ensureDeferred
async def test_an_account_tells_the_address_that_it_was_given(
    services, log, certificates, jid, asked
):
    server = Server(services.reactor, server_options(certificates.issue("home.example")))
    await server.start()
    server.bound = server.bound.replace("/desk", "/given")
    services.write("password", "hunter2")
    service = services.make(
        jid=jid,
        password_file="password",
        ca_file=str(services.ca_file),
        download_dir="landed",
        host="127.0.0.1",
        port=str(server.port),
    )
    service.startService()
    await services.soon(service._served._stream.ready)
    assert f"<resource>{asked}</resource>".encode() in server.safe
    assert told(log) == [f"Offers to me@home.example/given land in {services.folder / 'landed'}"]
    await services.soon(service.stopService())
    await server.stop()


# --- a process


@pytest_twisted.ensureDeferred
async def test_sigterm_answers_removes_what_is_unfinished_and_closes_the_stream(operator):
    process, sender = await operator.start()
    fired = sender.oob.send_url(DOMAIN, operator.web.url())
    connection = await operator.web.arrivals.get()
    connection.write(answer(b"x" * 500_000, length=1_000_000))
    await process.printed("Offer from")
    began = operator.reactor.seconds()

    process.kill("TERM")

    answered = await fired
    assert await process.finished() == 0
    assert operator.reactor.seconds() - began < 5
    assert answered.error.condition == "resource-constraint"
    assert list(operator.landed.iterdir()) == []
    await sender.lost
    assert sorted(path.name for path in operator.folder.iterdir()) == ["landed", "secret"]
    assert "Traceback" not in process.output


@pytest_twisted.ensureDeferred
async def test_a_second_sigterm_ends_the_grace_at_once(operator):
    process, sender = await operator.start("--grace", "600")
    fired = sender.oob.send_url(DOMAIN, operator.web.url())
    await operator.web.arrivals.get()
    process.kill("TERM")
    await process.printed("1 transfer has 600 s to finish")
    assert not fired.called

    process.kill("TERM")

    assert await process.finished() is None
    assert process.signal == signal.SIGTERM
    await sender.lost
    with pytest.raises(ConnectionDone):
        await fired


@pytest_twisted.ensureDeferred
async def test_kill_leaves_no_visible_file_and_the_next_start_removes_the_hidden_one(operator):
    process, sender = await operator.start()
    sender.oob.send_url(DOMAIN, operator.web.url()).addErrback(lambda _: None)
    connection = await operator.web.arrivals.get()
    connection.write(answer(b"x" * 1_000_000, length=2_000_000))
    # The folder gets its file once the headers are in; a ping can't tell, so look.
    for _ in range(1000):
        if list(operator.landed.iterdir()):
            break
        await process.moment()

    process.kill("KILL")
    await process.finished()

    [hidden] = operator.landed.iterdir()
    assert hidden.name.startswith(".")
    (operator.folder / "twistd.pid").unlink()
    restarted, _sender = await operator.start()
    assert "Removed 1 unfinished" in restarted.output
    assert list(operator.landed.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_a_bad_value_is_one_line_and_status_1_before_anything_starts(operator):
    process = operator.run("--max-size", "1T")
    assert await process.finished() == 1
    [line] = process.output.splitlines()
    assert "--max-size '1T' is not valid" in line
    assert list(operator.folder.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_one_clear_line_and_status_1(operator):
    taken = f"tcp:{operator.web.port}:interface=127.0.0.1"
    process = operator.run("--listen", taken, "--secret-file", "secret")
    assert await process.finished() == 1
    [line] = [line for line in process.output.splitlines() if "Could not start" in line]
    assert str(operator.web.port) in line
    assert "Traceback" not in process.output


@pytest_twisted.ensureDeferred
async def test_no_secret_of_anybody_is_logged(operator):
    process, sender = await operator.start()
    url = operator.web.url("/a.bin").replace("//", "//me:hunter2@")
    operator.web.answers += [
        redirect(url),
        answer(b"file"),
        answer(b"", status="404 Not Found"),
        redirect(url.replace("127.0.0.1", "169.254.169.254")),
    ]
    for _ in range(3):
        await sender.oob.send_url(DOMAIN, url)
    sender.oob.send_url(DOMAIN, url).addErrback(lambda _: None)
    await operator.web.arrivals.get()
    await process.printed("(?s)(Offer from .*){7}")
    process.kill("TERM")
    assert await process.finished() == 0

    assert "success: 4 bytes" in process.output
    assert "HTTP status 404" in process.output
    assert "hunter2" not in process.output
    secret = (operator.folder / "secret").read_text().strip()
    assert secret not in process.output
