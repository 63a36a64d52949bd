"""How a service starts where much is missing, and what a start that fails leaves: nothing."""

from __future__ import annotations

import os
import shutil
import sys

import pytest
import pytest_twisted
from twisted.application.service import Application
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, Logger, formatEvent

from tests.support.options import parsed
from tests.support.processes import IN_CI, ROOT, Program, missing
from tests.support.responders import TWISTD
from tests.support.waiting import until
from twisted_oob import StreamRefused
from twisted_oob.commands import tap
from twisted_oob.commands.exit_status import CanNotStart

pytest_plugins = ["tests.support.responders", "tests.support.services"]

LISTEN = "tcp:0:interface=127.0.0.1"
ELSEWHERE = ("--listen", LISTEN, "--download-dir", "{}/landed", "--secret-file", "{}/secret")


# --- what a start that fails leaves


@pytest.fixture
def ended(monkeypatch):
    """The exit statuses that services gave this process, which goes on."""
    statuses = []
    monkeypatch.setattr(tap, "stop_with_status", lambda _reactor, status: statuses.append(status))
    return statuses


@pytest.mark.parametrize("option", ["listen", "serve_listen"])
@pytest_twisted.ensureDeferred
async def test_a_port_that_is_taken_leaves_no_folder_and_no_secret(services, ended, option):
    (services.folder / "served").mkdir()
    taken = f"tcp:{services.web.port}:interface=127.0.0.1"
    options = {"listen": LISTEN, "serve": "served"} | {option: taken}
    service = services.make(secret_file="secret", download_dir="a/b", **options)
    service.startService()
    assert ended == [1]
    assert [path.name for path in services.folder.iterdir()] == ["served"]


@pytest_twisted.ensureDeferred
async def test_a_refused_stream_leaves_no_folder_of_a_room(services, ended):
    services.write("secret", "a secret")
    service = services.make(
        *("--join", "plans@rooms.example/files"),
        component="x.y",
        secret_file="secret",
        allow_from="*",
        port="1",
        download_dir="a/b",
    )
    service.startService()
    assert (services.folder / "a" / "b" / "plans@rooms.example").is_dir()
    service._refused(StreamRefused("the secret is wrong"))
    assert ended == [1]
    await services.soon(service.stopService())
    assert [path.name for path in services.folder.iterdir()] == ["secret"]


@pytest_twisted.ensureDeferred
async def test_what_was_there_before_stays(services, ended):
    (services.folder / "landed").mkdir()
    services.write("secret", "the secret")
    taken = f"tcp:{services.web.port}:interface=127.0.0.1"
    service = services.make(secret_file="secret", download_dir="landed", listen=taken)
    service.startService()
    assert ended == [1]
    assert sorted(path.name for path in services.folder.iterdir()) == ["landed", "secret"]
    assert (services.folder / "secret").read_text() == "the secret\n"


@pytest_twisted.ensureDeferred
async def test_a_secret_that_can_not_be_created_after_all_is_one_line(services, ended, log):
    (services.folder / "secrets").mkdir()
    service = services.make(secret_file="secrets/one", listen=LISTEN, download_dir="landed")
    (services.folder / "secrets").rmdir()
    service.startService()
    await until(lambda: ended)
    assert ended == [1]
    [line] = [formatEvent(event) for event in log if event["log_level"].name == "critical"]
    assert line.startswith("Could not start: --secret-file '")
    assert line.endswith("can't be used: No such file or directory")
    assert service._embedded is None
    assert list(services.folder.iterdir()) == []


class Twistd(dict):
    """The options of twistd, as far as a service asks for them."""

    subCommands = ()


def test_the_service_writes_the_log_of_its_application(services):
    path = services.folder / "log"
    options = parsed("--secret-file", "secret")
    options.parent = Twistd(nodaemon=0, logfile=str(path))
    application = Application("test")
    tap.makeService(options).setServiceParent(application)
    log = Logger("test", observer=application.getComponent(ILogObserver))
    log.info("for operators")
    log.debug("for developers")
    assert path.read_text().endswith("[test#info] for operators\n")


@pytest.mark.parametrize("nodaemon", [0, 1])
def test_a_daemon_hears_at_its_start_why_it_can_not(services, ended, nodaemon):
    taken = f"tcp:{services.web.port}:interface=127.0.0.1"
    options = parsed("--listen", taken, "--secret-file", "secret")
    options.parent = Twistd(nodaemon=nodaemon, logfile=str(services.folder / "log"))
    service = tap.makeService(options)
    if nodaemon:
        service.startService()
        assert ended == [1]
    else:
        with pytest.raises(CanNotStart, match=r"Couldn't listen on 127\.0\.0\.1:") as raised:
            service.startService()
        assert (raised.value.code, ended) == (1, [])
    assert list(services.folder.iterdir()) == []


def test_root_takes_a_secret_of_the_user_that_it_will_be(services):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    services.write("secret", "a secret")
    os.chown(services.folder / "secret", 12345, 12345)
    options = parsed("--secret-file", "secret")
    with pytest.raises(SystemExit, match="another user"):
        tap.makeService(options)
    options.parent = Twistd(nodaemon=1, uid=12345, gid=None)
    assert tap.makeService(options)._secret == "a secret"


@pytest.mark.parametrize(
    ("listen", "warned"), [("tcp:0", True), (LISTEN, False), ("unix:router", False)]
)
@pytest_twisted.ensureDeferred
async def test_a_router_that_others_can_reach_is_warned_of(services, log, listen, warned):
    services.make(secret_file="secret", listen=listen, download_dir="landed").startService()
    warnings = [formatEvent(event) for event in log if event["log_level"].name == "warn"]
    assert [line.partition(" 0.0.0.0:")[0] for line in warnings] == (
        ["Nothing is encrypted between"] if warned else []
    )


# --- processes


@pytest.fixture
def ordinary(tmp_path):
    """Start twistd in a folder that it can't write to, as a user who may not write everywhere."""
    from twisted.internet import reactor

    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    python = [sys.executable]
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv") or missing("setpriv", "util-linux")
        python = [setpriv, "--bounding-set", "-dac_override,-dac_read_search", sys.executable]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    # As a shell names it.
    twistd = TWISTD.replace("'twistd'", "'/usr/bin/twistd'")
    made = []

    def start(*words, before=""):
        command = [*python, "-c", before + twistd, *(word.format(tmp_path) for word in words)]
        made.append(Program(reactor, command, folder, environment=environment))
        return made[-1]

    yield start
    for program in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(program.stop()))
    folder.chmod(0o755)


@pytest_twisted.ensureDeferred
async def test_it_serves_in_a_folder_that_it_can_not_write_to(ordinary, tmp_path):
    process = ordinary("-n", "oob-responder", *ELSEWHERE)
    await process.printed("components connect to 127.0.0.1:")
    process.kill("TERM")
    assert await process.finished() == 0
    assert "Traceback" not in process.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["landed", "locked", "secret"]


GONE = (
    # Without a script, Python looks for modules in the working directory.
    "import os, sys; sys.path.remove('')\n"
    "os.mkdir('{0}/gone'); os.chdir('{0}/gone'); os.rmdir('{0}/gone')\n"
)


@IN_CI
@pytest.mark.parametrize(
    "case",
    [
        (("-n", "oob-responder", "--help"), 0, "--download-dir="),
        (("-n", "oob-responder", "--version"), 0, "twisted_oob "),
        (("-n", "oob-responder", "--demo"), 0, "5 of 5 as expected"),
        (("-n", "oob-responder"), 1, "--download-dir must be given, as its default"),
        (
            ("-n", "oob-responder", "--download-dir", "{}/landed"),
            1,
            "--secret-file .* can't be used: |--secret-file must be given",
        ),
        (("oob-responder", *ELSEWHERE), 1, "twistd's --pidfile 'twistd.pid' can't be used"),
        (("--pidfile=", "oob-responder", *ELSEWHERE), 1, "twistd's --logfile .* can't be used"),
        (
            ("-n", "--pidfile", "x/pid", "oob-responder", *ELSEWHERE),
            1,
            "twistd's --pidfile 'x/pid' can't be used: No such file or directory",
        ),
        (
            ("-n", "--logfile", "log", "oob-responder", *ELSEWHERE),
            1,
            "twistd's --logfile .*log' can't be used",
        ),
    ],
)
@pytest.mark.parametrize("gone", [False, True])
@pytest_twisted.ensureDeferred
async def test_what_comes_of_a_folder_that_is_locked_or_gone(ordinary, tmp_path, case, gone):
    if gone and sys.version_info[:2] == (3, 13):
        pytest.skip("Python 3.13 can't import all of Twisted in a folder that is gone")
    words, status, line = case
    process = ordinary(*words, before=GONE.format(tmp_path) if gone else "")
    await process.printed(line)
    assert await process.finished() == status
    assert "Traceback" not in process.output
    if status:
        assert len(process.output.splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["locked"]


WITHOUT_LIBRARY = """
import os, sys
from twisted.application import app
start = app.startApplication
def start_as_another(*arguments):
    # It may not read where Python is installed.
    for name in ("encodings.idna", "encodings.punycode", "idna"):
        sys.modules.setdefault(name, None)
    start(*arguments)
app.startApplication = start_as_another
"""


@pytest_twisted.ensureDeferred
async def test_it_starts_as_a_user_who_can_not_read_the_library_any_more(operator):
    _, sender = await operator.start(before=WITHOUT_LIBRARY)
    condition = await sender.oob.send_url("oob.localhost", "http://127.0.0.1:1/\u0254")
    assert condition == "reject"


@IN_CI
@pytest_twisted.ensureDeferred
async def test_a_daemon_that_can_not_listen_has_status_1_and_leaves_its_log_alone(operator):
    taken = f"tcp:{operator.web.port}:interface=127.0.0.1"
    log, pid = operator.folder / "log", operator.folder / "pid"
    process = operator.daemon(log, pid, "--listen", taken, "--secret-file", "secret")
    assert await process.finished() == 1
    assert "An error has occurred" in process.output
    assert [path.name for path in operator.folder.iterdir()] == ["log"]
    [line] = [line for line in log.read_text().splitlines() if "Could not start" in line]
    assert "Address already in use" in line
    assert "Traceback" not in log.read_text()
