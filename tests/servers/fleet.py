"""Several responders for one component domain: processes on a real ejabberd, and what they fetch.

The server is configured as ``docs/scaling.rst`` shows.
"""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from collections import Counter
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore, ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.words.xish import domish

from tests.servers.servers import DOMAIN, Ejabberd
from tests.support.hostile_http import HostileServer, answer
from tests.support.network import Sender
from tests.support.processes import Program
from tests.support.responders import TWISTD
from twisted_oob import OOBHandler

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "scaling.rst").read_text(encoding="utf-8")
SHARED = f"files.{DOMAIN}"
OWN = tuple(f"files-{number}.{DOMAIN}" for number in (1, 2, 3))
SECRET = "the secret of files"
PATIENCE = 60
_PRINT_LOSSES = """
ejabberd_hooks:add(component_disconnected,
                   fun(Domain, _) -> io:format("~nlost ~s~n", [Domain]) end, 50).
"""


def documented(name):
    """Give the block of docs/scaling.rst that has this name."""
    block = re.search(
        rf"^   :name: {re.escape(name)}\n\n((?:    .*\n|\n)+)", DOCUMENT, re.MULTILINE
    )
    return textwrap.dedent(block[1]).rstrip() + "\n"


class DocumentedEjabberd(Ejabberd):
    """Ejabberd as docs/scaling.rst configures it, but for names, ports and the certificate.

    ``before``: top-level options that are added. ``hosts``: component domains that are added.
    It prints when it has taken a component's stream from its routes.
    """

    before = ""
    hosts = ()

    def _configure(self):
        command = super()._configure()
        text = documented("ejabberd.yml")
        for theirs, ours in {
            "/etc/ejabberd/ejabberd.pem": str(self._certificate),
            "5222": str(self.client_port),
            "5347": str(self.component_port),
        }.items():
            assert text.count(theirs) == 1, theirs
            text = text.replace(theirs, ours)
        # Outside these tests, nobody is to reach them.
        text = text.replace('"::"', '"127.0.0.1"').replace("example.org", DOMAIN)
        hosts = "".join(f"      {host}: {{password: {SECRET}}}\n" for host in self.hosts)
        (self.folder / "ejabberd.yml").write_text(self.before + text + hosts, encoding="utf-8")
        script = self.folder / "ejabberd_accounts.erl"
        script.write_text(_PRINT_LOSSES + script.read_text(encoding="utf-8"), encoding="utf-8")
        return command

    @property
    def program(self):
        return self._program

    def losses(self, domain):
        """Count the streams of a component that were lost since the start."""
        return self._program.output.count(f"\nlost {domain}\n")

    async def lost(self, domain, count):
        """Wait until that many streams of a component were lost since the start."""
        await self._program.printed(rf"(lost {re.escape(domain)}$(.|\n)*){{{count}}}")


class Web(HostileServer):
    """Serves a content of its own at each URL; those with /held/ come in two halves."""

    def __init__(self, reactor):
        super().__init__(reactor)
        self._second_halves = []
        self._waiting = None

    def requested(self, connection):
        path = connection.line.split()[1]
        whole = answer(content(path))
        if path.startswith("/held/"):
            connection.write(whole[:-4])
            self._second_halves.append((connection, whole[-4:]))
            if self._waiting is not None and len(self._second_halves) == self._waiting[0]:
                self._waiting[1].callback(None)
        else:
            connection.write(whole)

    def holding(self, count):
        """Wait until that many, counted from the start, have the first half."""
        self._waiting = count, Deferred()
        return self._waiting[1].addTimeout(PATIENCE, self.reactor)

    def release(self):
        """Send every second half."""
        halves, self._second_halves = self._second_halves, []
        for connection, rest in halves:
            connection.write(rest)


def content(path):
    """Give what is served at a path; with /held/, half of it is enough to reach the disk."""
    return f"the content of {path}\n".encode() * (10_000 if path.startswith("/held/") else 1)


class _Talkative(Program):
    """A program that prints much: the pieces are put together when somebody looks."""

    def __init__(self, *args, **kwargs):
        self._pieces = []
        super().__init__(*args, **kwargs)

    def outReceived(self, data):
        self._pieces.append(data)
        if self._waiting:
            self.look()

    errReceived = outReceived

    def processEnded(self, reason):
        self.look()
        super().processEnded(reason)

    def look(self):
        """Give all that it printed."""
        pieces, self._pieces = self._pieces, []
        super().outReceived(b"".join(pieces))
        return self.output


class Instance:
    """One responder process."""

    def __init__(self, reactor, server, folder, number, words=(), *, domain=SHARED, secret=SECRET):
        home = folder / f"instance-{number}"
        home.mkdir()
        (home / "secret").touch(mode=0o600)
        (home / "secret").write_text(secret + "\n")
        command = [
            *(sys.executable, "-c", TWISTD, "-n", "--pidfile=", "oob-responder"),
            *("--component", domain, "--secret-file", "secret"),
            *("--host", "127.0.0.1", "--port", str(server.component_port)),
            *("--allow-from", OWN[0], "--allow-network", "127.0.0.0/8"),
            *("--download-dir", str(folder / "landed"), *words),
        ]
        environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        self.program = _Talkative(reactor, command, home, environment=environment)

    @property
    def log(self):
        return self.program.look()

    async def ready(self):
        await self.program.printed(r": connected$")

    def got(self):
        """Count the offers that came, by their URLs."""
        return Counter(re.findall(r"Offer from \S+: (\S+)$", self.log, re.MULTILINE))

    def succeeded(self):
        """Count the offers that ended with success, by their URLs."""
        return Counter(re.findall(r"ended: (\S+): success", self.log))

    async def kill(self):
        """Give it no time for anything."""
        if not self.program.ended.called:
            self.program.transport.signalProcess("KILL")
            await self.program.ended

    async def stop(self):
        if not self.program.ended.called:
            await self.program.stop()


class Fleet:
    """Responders, a sender with a domain of its own, and a web server; files go to ``landed``.

    The sender's deadlines are those of ``clock``. ``outcomes``: what became of each offer, by its
    path: a condition, None, or an exception. ``answers``: how many came to each request's id.
    """

    def __init__(self, reactor, server, folder):
        self.reactor = reactor
        self.server = server
        self.folder = folder
        self.landed = folder / "landed"
        self.landed.mkdir()
        self.web = Web(reactor)
        self.instances = []
        self.clock = Clock()
        self.offered = []
        self.outcomes = {}
        self.answers = Counter()
        self._oob = OOBHandler(reactor=self.clock)
        self._sender = Sender(server.component_port, OWN[0], SECRET)
        self._oob.setHandlerParent(self._sender.component)
        self._lost_before = server.losses(SHARED)

    async def start(self, count, *words):
        """Start that many instances, and the sender."""
        for instance in [self.launch(*words) for _ in range(count)]:
            await instance.ready()
        await self._sender.start()
        for kind in ("result", "error"):
            # Before any handler, and also what no handler takes.
            self._stream.addObserver(f"/iq[@type='{kind}']", self._answered, 100)

    def launch(self, *words):
        """Start an instance; gives it."""
        number = len(self.instances) + 1
        instance = Instance(self.reactor, self.server, self.folder, number, words)
        self.instances.append(instance)
        return instance

    @property
    def _stream(self):
        return self._sender.component.xmlstream

    def _answered(self, iq):
        self.answers[iq["id"]] += 1

    def offer(self, path):
        """Offer what the web server has at a path; fires when the outcome is known."""
        self.offered.append(path)

        def ended(outcome):
            self.outcomes[path] = outcome.value if isinstance(outcome, Failure) else outcome

        return self._oob.send_url(SHARED, self.web.url(path)).addBoth(ended)

    def offer_all(self, paths, *, at_once):
        """Offer each; gives a Deferred for each outcome."""
        turns = DeferredSemaphore(at_once)
        return [turns.run(self.offer, path) for path in paths]

    def flow(self, *, at_once):
        """Offer one after the other, so many at once, until its ``end()`` is called."""
        return _Flow(self, at_once)

    async def answered(self, offers):
        """Wait for the outcome of each."""
        await DeferredList(offers).addTimeout(PATIENCE, self.reactor)

    async def retire(self):
        """Stop every instance; whatever they answered has come when this ends."""
        await DeferredList([ensureDeferred(instance.stop()) for instance in self.instances])
        await self.server.lost(SHARED, self._lost_before + len(self.instances))
        fence = domish.Element((None, "message"))
        fence["id"] = "fence"
        fence["from"] = fence["to"] = OWN[0]
        back = Deferred()
        self._stream.addOnetimeObserver("/message[@id='fence']", back.callback)
        self._stream.send(fence)
        await back.addTimeout(PATIENCE, self.reactor)

    def files(self):
        """Give the content of each file that has landed, by its name."""
        return {path.name: path.read_bytes() for path in self.landed.iterdir()}

    async def stop(self):
        for instance in self.instances:
            await instance.kill()
        if self._sender.ready.called:
            await self._sender.stop()
        await self.web.stop()


class _Flow:
    def __init__(self, fleet, at_once):
        self._fleet = fleet
        self._numbers = itertools.count()
        self._ended = False
        for _ in range(at_once):
            self._next()

    def _next(self, _=None):
        if not self._ended:
            self._fleet.offer(f"/flow/{next(self._numbers)}.txt").addCallback(self._next)

    def end(self):
        """Offer no more."""
        self._ended = True
