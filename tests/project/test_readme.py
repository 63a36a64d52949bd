"""README's examples and those in ``examples/`` do what they say, and its options exist."""

from __future__ import annotations

import hashlib
import re
import shlex
import string
import subprocess
import textwrap
from pathlib import Path

import pytest
import pytest_twisted
from twisted.application import service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.words.protocols.jabber.xmlstream import STREAM_END_EVENT

import twisted_oob
from tests.support.hostile_http import answer
from tests.support.network import DOMAIN, SECRET
from tests.support.options import NAMES, VALUED
from twisted_oob import AccountStream, ComponentStream
from twisted_oob.commands.options import DEFAULTS, Options

pytest_plugins = ["tests.support.commands", "tests.support.python_process"]

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.rst").read_text()
RECEIVER = "receiver.localhost"
TWISTD = "from twisted.scripts.twistd import run; run()"


async def router(network):
    """Start the network, and leave the name of its sender to the examples."""
    sender = await network.start()
    network.senders.remove(sender)
    await sender.stop()


def example(name, folder, monkeypatch, port):
    """Run an example of README as it stands there, and give the names that it defines.

    Only the router's port is another one.
    """

    def component(domain, secret):
        return ComponentStream(domain, secret, port=port)

    monkeypatch.setattr(twisted_oob, "ComponentStream", component)
    monkeypatch.chdir(folder)
    (folder / "oob-responder.secret").write_text(SECRET + "\n")
    names = {"__name__": name}
    exec(compile(block(name), name, "exec"), names)
    return names


def block(name):
    """Give the block of README that has this name."""
    found = re.search(rf"^   :name: {re.escape(name)}\n\n((?:    .*\n|\n)+)", README, re.MULTILINE)
    return textwrap.dedent(found[1])


async def receiving(network, folder, monkeypatch):
    """Run the example that receives, until it waits for offers; give what ends it."""
    names = example("receiving", folder, monkeypatch, network.port)
    running = ensureDeferred(names["main"](network.reactor))
    asking = (await network.sender("asking.localhost")).oob
    # The receiver's stream opens a moment after ours: until then there is no route to it.
    while (await asking.send_url(RECEIVER, network.web.url())).error.text != "members only":
        assert not running.called
    return running


async def cancelled(running):
    running.cancel()
    with pytest.raises(CancelledError):
        await running


@pytest_twisted.ensureDeferred
async def test_the_examples_talk_to_each_other(network, tmp_path, monkeypatch, capsys):
    await router(network)
    running = await receiving(network, tmp_path, monkeypatch)
    landed = tmp_path / "downloads"

    names = example("sending", tmp_path, monkeypatch, network.port)
    network.web.answers += [answer(b"file"), answer(b"", status="404 Not Found")]
    await names["main"](network.reactor, RECEIVER, network.web.url())
    assert (landed / "file.bin").read_bytes() == b"file"
    assert capsys.readouterr().out.splitlines() == [
        f"waiting for offers to {RECEIVER}",
        f"sender.localhost gave us {landed / 'file.bin'}",
        "the peer has the whole file",
    ]

    # As a status, such a line is printed to stderr, and the process exits with 1.
    with pytest.raises(SystemExit, match=r"^not received: not-found, HTTP status 404$"):
        await names["main"](network.reactor, RECEIVER, network.web.url())

    names = example("handing", tmp_path, monkeypatch, network.port)
    (tmp_path / "report.pdf").write_bytes(b"report")
    await names["main"](network.reactor, RECEIVER, "report.pdf")
    assert (landed / "report.pdf").read_bytes() == b"report"
    sha256 = hashlib.sha256(b"report").hexdigest()
    assert capsys.readouterr().out.splitlines() == [
        f"sender.localhost gave us {landed / 'report.pdf'}",
        f"received {sha256}",
    ]
    await cancelled(running)


@pytest_twisted.ensureDeferred
async def test_the_examples_that_send_work_with_the_responder(
    network, tmp_path, monkeypatch, capsys
):
    await router(network)
    names = example("sending", tmp_path, monkeypatch, network.port)
    network.web.answers.append(answer(b"file"))
    await names["main"](network.reactor, DOMAIN, network.web.url())
    names = example("handing", tmp_path, monkeypatch, network.port)
    (tmp_path / "report.pdf").write_bytes(b"report")
    await names["main"](network.reactor, DOMAIN, "report.pdf")
    assert network.files() == {"file.bin": b"file", "report.pdf": b"report"}
    assert capsys.readouterr().out.startswith("the peer has the whole file\nreceived ")


@pytest_twisted.ensureDeferred
async def test_the_examples_say_why_they_can_not(network, tmp_path, monkeypatch, capsys):
    await router(network)
    receiver = example("receiving", tmp_path, monkeypatch, network.port)
    sender = example("sending", tmp_path, monkeypatch, network.port)
    (tmp_path / "oob-responder.secret").write_text("another secret\n")
    with pytest.raises(SystemExit, match=r"^the secret is wrong, "):
        await receiver["main"](network.reactor)
    with pytest.raises(SystemExit, match=r"^not received: the secret is wrong, "):
        await sender["main"](network.reactor, DOMAIN, network.web.url())
    assert capsys.readouterr().out == ""


@pytest_twisted.ensureDeferred
async def test_the_three_commands(python, oob, tmp_path):
    section = README.partition("Your own file in three commands")[2].partition("oob receive")[0]
    start, send, compare = re.findall(r"^    (\S.*)$", section, re.MULTILINE)
    words = [*shlex.split(start), "--listen", "tcp:0:interface=127.0.0.1"]
    responder = python(f"import sys; sys.argv = {words}; {TWISTD}")
    port = (await responder.printed(r"components connect to 127\.0\.0\.1:(\d+)"))[1]
    (tmp_path / "report.pdf").write_bytes(b"report")

    name, *rest = shlex.split(send)
    assert name == "oob"
    sending = oob(*rest, "--port", port)
    assert await sending.finished() == 0
    assert "report.pdf: oob.localhost has it" in sending.output + sending.errors
    assert subprocess.check_output(compare, shell=True, cwd=tmp_path) == b"the same\n"


def test_the_unit_needs_no_working_directory(tmp_path, monkeypatch):
    unit = block("oob-responder.service").replace("\\\n", " ")
    assert "WorkingDirectory" not in unit
    [line] = re.findall(r"^ExecStart=(/srv/files/.venv/bin/twistd .*)", unit, re.MULTILINE)
    words = [word.replace("/srv/files", str(tmp_path)) for word in line.split()]
    (tmp_path / "password").touch(mode=0o600)
    monkeypatch.chdir("/")
    assert words[1:4] == ["-n", "--pidfile=", "oob-responder"]
    options = Options()
    options.parseOptions(words[4:])
    assert options["download-dir"] == tmp_path / "kept"


def test_it_is_short():
    lines = README.splitlines()
    assert len(lines) <= 360
    assert max(map(len, lines)) <= 100


def test_each_page_that_it_names_is_there():
    pages = set(re.findall(r"``((?:docs/)?\w+\.rst)``", README))
    assert pages >= {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.rst")} - {
        "docs/releasing.rst"
    }
    assert all((ROOT / page).is_file() for page in pages)


def test_both_commands_are_there():
    commands = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("twistd -n oob-responder --demo")
    assert commands[1].endswith(".venv/bin/pytest")


def option_rows():
    """Give the text of each row of README's option lists by the option's name."""
    rows = re.findall(r"^--([a-z-]+)((?: [A-Z]+)?  .*\n(?: {20,}.*\n)*)", README, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def test_the_options_are_those_of_the_command():
    assert set(option_rows()) == set(NAMES)


@pytest.mark.parametrize("option", sorted(VALUED))
def test_an_options_defaults_are_those_of_the_command(option):
    template = getattr(Options, f"opt_{option.replace('-', '_')}").__doc__
    for _, key, _, _ in string.Formatter().parse(template):
        if key is not None:
            assert re.search(rf"(?<!\w){re.escape(DEFAULTS[key])}(?!\w)", option_rows()[option]), (
                key
            )


def load(name, folder, monkeypatch, **values):
    """Load a .tac file, with some of its constants set to other values."""
    monkeypatch.chdir(folder)
    text = (ROOT / "examples" / name).read_text()
    for constant, value in values.items():
        text, count = re.subn(rf"\b{constant}(,? .*)= .*", rf"{constant}\1= {value}", text, count=1)
        assert count == 1
    (folder / name).write_text(text)
    return service.IService(service.loadApplication(name, "python"))


def test_the_clients_tac_loads(tmp_path, monkeypatch):
    (tmp_path / "password").write_text("secret\n")
    services = load("client.tac", tmp_path, monkeypatch)
    [served] = services
    assert isinstance(served._stream, AccountStream)
    assert "secret" not in repr(served._stream)


@pytest_twisted.ensureDeferred
async def test_the_components_tac_runs(network, tmp_path, monkeypatch):
    await network.start()
    member = await network.sender("example.org")
    (tmp_path / "secret").write_text(SECRET + "\n")
    address = f"'127.0.0.1', {network.port}"
    services = load("component.tac", tmp_path, monkeypatch, HOST=address)
    [served] = services
    component = served._stream
    services.startService()

    while True:
        fired = await member.oob.send_url("files.example.org", network.web.url())
        if fired.error.condition != "remote-server-not-found":
            break
    # The example fetches from public addresses only, and this one is not.
    assert fired == "reject"
    assert network.web.connections == []

    gone = Deferred()
    component.xmlstream.addObserver(STREAM_END_EVENT, lambda _: gone.callback(None))
    await services.stopService()
    await gone
