"""SIGHUP: the log, secrets and lists are read again, and nothing else changes."""

from __future__ import annotations

import os
import signal

import pytest_twisted
from twisted.logger import formatEvent

from tests.support.hostile_http import answer
from tests.support.network import DOMAIN
from tests.support.processes import IN_CI
from tests.support.waiting import until

pytest_plugins = ["tests.support.responders", "tests.support.services"]

LISTEN = "tcp:0:interface=127.0.0.1"


async def hang_up(services, log):
    """Send SIGHUP to this process, and give the lines that come of it."""
    before = len(log)
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: any("Read again" in line for line in lines(log)[before:]))
    return [line for line in lines(log)[before:] if "log_level" not in line]


def lines(log):
    return [formatEvent(event) or "" for event in log]


def offer(services, sender):
    services.web.answers.append(answer(b"file"))
    return services.soon(sender.oob.send_url(DOMAIN, services.web.url()))


@pytest_twisted.ensureDeferred
async def test_who_is_taken_off_a_list_is_refused_and_who_is_added_is_not(services, log):
    services.write("list", "a.localhost")
    service, first = await services.start(allow_file="list", allow_from="always.localhost")
    senders = [await services.sender(service, f"{name}.localhost") for name in ("a", "b", "always")]
    assert [await offer(services, one) for one in senders] == [None, "reject", None]
    services.write("list", "b.localhost")
    assert await hang_up(services, log) == [
        f"Read again: --secret-file {services.folder}/secret, --allow-file {services.folder}/list"
    ]
    services.web.answers.clear()
    assert [await offer(services, one) for one in senders] == ["reject", None, None]
    assert await offer(services, first) == "reject"


@pytest_twisted.ensureDeferred
async def test_a_list_that_is_wrong_or_gone_keeps_who_was_on_it(services, log):
    services.write("list", "sender.localhost")
    _, sender = await services.start(allow_file="list")
    services.write("list", "sender.localhost\n*@x")
    [warning, told] = await hang_up(services, log)
    assert warning.startswith(f"--allow-file '{services.folder}/list' can't be used: line 2: ")
    assert warning.endswith("; what was read before holds")
    assert told == f"Read again: --secret-file {services.folder}/secret"
    assert await offer(services, sender) is None
    (services.folder / "list").unlink()
    [warning, _] = await hang_up(services, log)
    assert "No such file or directory" in warning
    assert await offer(services, sender) is None


@pytest_twisted.ensureDeferred
async def test_the_router_lets_the_next_component_in_by_another_secret(services, log):
    service, sender = await services.start()
    services.write("secret", "another one")
    await hang_up(services, log)
    await services.sender(service, "next.localhost")
    # Who is in stays in.
    assert await offer(services, sender) is None
    (services.folder / "secret").chmod(0o644)
    [warning, _] = await hang_up(services, log)
    assert "other users have access to it" in warning
    (services.folder / "secret").chmod(0o600)
    await services.sender(service, "third.localhost")


@pytest_twisted.ensureDeferred
async def test_an_account_logs_in_with_another_password_next(services, log):
    server = services.server()
    services.write("password", "hunter2")
    service = services.make(
        jid="me@home.example",
        password_file="password",
        host="127.0.0.1",
        port=str(server.port),
        ca_file=str(services.ca_file),
    )
    services.write("password", "correct horse")
    service.startService()
    assert (await hang_up(services, log))[0].startswith("Read again: --password-file ")
    assert await services.soon(server.login) == ("me", "correct horse")


@pytest_twisted.ensureDeferred
async def test_a_component_has_another_secret_next(services, log):
    services.write("secret", "a secret")
    service = services.make(component="x.y", secret_file="secret", allow_from="*", port="1")
    services.write("secret", "another one")
    service.startService()
    await hang_up(services, log)
    # The next attempt, and that after the next start.
    assert service._up.factory.authenticator.password == "another one"
    await services.soon(service.stopService())
    service.startService()
    assert service._up.factory.authenticator.password == "another one"


@IN_CI
@pytest_twisted.ensureDeferred
async def test_a_log_that_was_moved_away_goes_on_in_a_new_file(operator):
    log, pid = operator.folder / "log", operator.folder / "pid"
    process = operator.daemon(log, pid, "--listen", LISTEN, "--secret-file", "secret")
    assert await process.finished() == 0
    await until(lambda: log.exists() and "components connect" in log.read_text())
    first = log.read_text()
    assert "DEBUG" not in first
    assert "Starting factory" not in first
    assert "IPv4Address" not in first
    log.rename(operator.folder / "old")
    os.kill(int(pid.read_text()), signal.SIGHUP)
    await until(lambda: log.exists() and "Read again" in log.read_text())
    assert (operator.folder / "old").read_text() == first
    os.kill(int(pid.read_text()), signal.SIGUSR1)
    await until((operator.folder / "log.1").exists)
    os.kill(int(pid.read_text()), signal.SIGTERM)
    await until(lambda: not pid.exists())
    assert "Traceback" not in log.read_text()
