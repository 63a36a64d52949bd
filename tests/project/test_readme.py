"""README's examples and those in ``examples/`` do what they say, and its options exist."""

from __future__ import annotations

import hashlib
import re
import string
import textwrap
from pathlib import Path

import pytest
import pytest_twisted
from twisted.application import service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.words.protocols.jabber.xmlstream import STREAM_END_EVENT

import twisted_oob
from tests.support.hostile_http import answer
from tests.support.network import DOMAIN, LOOPBACK, SECRET
from tests.support.options import NAMES, VALUED
from twisted_oob import AccountStream, ComponentStream, FetchPolicy
from twisted_oob.commands.options import DEFAULTS, Options

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.rst").read_text()


def example(name, folder, monkeypatch, port, domain):
    """Run an example of README, and give the names that it defines.

    Its account is a component on the test's own router, which has no accounts.
    """

    def account(_jid, password):
        return ComponentStream(domain, password, port=port)

    monkeypatch.setattr(twisted_oob, "AccountStream", account)
    monkeypatch.chdir(folder)
    (folder / "password").write_text(SECRET + "\n")
    block = re.search(rf"^   :name: {name}\n\n((?:    .*\n|\n)+)", README, re.MULTILINE)
    names = {"__name__": name}
    exec(compile(textwrap.dedent(block[1]), name, "exec"), names)
    return names


@pytest_twisted.ensureDeferred
async def test_sending(network, tmp_path, monkeypatch, capsys):
    await network.start()
    names = example("sending", tmp_path, monkeypatch, network.port, "example.org")
    network.web.answers += [answer(b"file"), answer(b"", status="404 Not Found")]

    await names["main"](network.reactor, DOMAIN, network.web.url())
    assert capsys.readouterr().out == "the peer has the whole file\n"
    assert network.files() == {"file.bin": b"file"}

    # As a status, such a line is printed to stderr, and the process exits with 1.
    with pytest.raises(SystemExit, match=r"^not received: not-found, HTTP status 404$"):
        await names["main"](network.reactor, DOMAIN, network.web.url())

    (tmp_path / "password").write_text("another secret\n")
    with pytest.raises(SystemExit, match=r"^not received: the secret is wrong, "):
        await names["main"](network.reactor, DOMAIN, network.web.url())
    assert capsys.readouterr().out == ""


@pytest_twisted.ensureDeferred
async def test_handing(network, tmp_path, monkeypatch, capsys):
    await network.start()
    names = example("handing", tmp_path, monkeypatch, network.port, "sender.example.org")
    (tmp_path / "report.pdf").write_bytes(b"file")
    await names["main"](network.reactor, DOMAIN, "report.pdf")
    sha256 = hashlib.sha256(b"file").hexdigest()
    assert capsys.readouterr().out == f"received {sha256}\n"
    assert network.files() == {"report.pdf": b"file"}


@pytest_twisted.ensureDeferred
async def test_receiving(network, tmp_path, monkeypatch, capsys):
    stranger = await network.start()
    member = await network.sender("example.org")
    receiver = "receiver.localhost"
    names = example("receiving", tmp_path, monkeypatch, network.port, receiver)
    names["FetchPolicy"] = lambda **options: FetchPolicy(allow_networks=(LOOPBACK,), **options)
    (tmp_path / "downloads").mkdir()
    running = ensureDeferred(names["main"](network.reactor))
    network.web.answers.append(answer(b"file"))

    # The receiver's stream opens a moment after ours: until then there is no route to it.
    while (fired := await member.oob.send_url(receiver, network.web.url())) is not None:
        assert not running.called
        assert fired.error.condition == "remote-server-not-found"
    landed = tmp_path / "downloads" / "file.bin"
    assert landed.read_bytes() == b"file"
    told = capsys.readouterr().out
    assert told == f"waiting for offers to {receiver}\nexample.org gave us {landed}\n"

    fired = await stranger.oob.send_url(receiver, network.web.url())
    assert (fired, fired.error.text) == ("reject", "members only")

    running.cancel()
    with pytest.raises(CancelledError):
        await running


@pytest_twisted.ensureDeferred
async def test_receiving_says_why_it_can_not(network, tmp_path, monkeypatch):
    await network.start()
    names = example("receiving", tmp_path, monkeypatch, network.port, "receiver.localhost")
    (tmp_path / "downloads").mkdir()
    (tmp_path / "password").write_text("another secret\n")
    with pytest.raises(SystemExit, match=r"^the secret is wrong, "):
        await names["main"](network.reactor)


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
