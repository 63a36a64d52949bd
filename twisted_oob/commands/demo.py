"""The demonstration: real offers of real files on loopback; nothing is simulated.

It runs an embedded router on TCP with the responder as ``oob.localhost``, a sender that connects
to it as an external component (XEP-0114), and an HTTP server with a generated file. The sender
makes five offers: one that succeeds and three that can't, of URLs, and one of a local file, which
FileSender shares. The report compares how each offer ends with how it should.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import File

from twisted_oob.commands.exit_status import stop_with_status
from twisted_oob.commands.modes import DOMAIN
from twisted_oob.commands.report import REPORT_NAMESPACE
from twisted_oob.errors import NOT_FOUND, REJECT
from twisted_oob.files.addresses import LOOPBACK
from twisted_oob.files.fetch import Fetcher
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.share import FileShare
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.transfer.delivery import RECEIVED, shown_place
from twisted_oob.transfer.embedded import EmbeddedResponder
from twisted_oob.transfer.responder import OOBResponder
from twisted_oob.transfer.sender import FileSender

SENDER: Final = "sender.localhost"
HOST: Final = "127.0.0.1"
FORBIDDEN: Final = "169.254.169.254"
FILE_SIZE: Final = 16 * 1024 * 1024
TIME_LIMIT: Final = 15.0
"""Seconds for the whole demonstration."""

_log = Logger(REPORT_NAMESPACE)


@dataclass(frozen=True)
class _Case:
    """One offer, and what ``send_url`` should fire with, or the outcome of FileSender."""

    what: str
    url: str
    expected: str | None


class Demo(Service):
    """Runs the demonstration once, logs its report, and ends the process.

    The exit status is 0 if every offer ended as it should, and 1 otherwise.

    Args:
        reactor: The reactor of the process.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._run: Deferred[Any] | None = None

    def startService(self) -> None:
        """Begin as soon as the reactor runs: twistd starts services before that."""
        Service.startService(self)
        self._reactor.callWhenRunning(self._start)

    def stopService(self) -> Deferred[None] | None:
        """Cut a run short; what it created is removed all the same.

        Returns:
            A Deferred that fires when everything is removed, or None if nothing runs.
        """
        Service.stopService(self)
        if self._run is None:
            return None
        stopped: Deferred[None] = Deferred()
        self._run.addBoth(lambda _: stopped.callback(None))
        self._run.cancel()
        return stopped

    def _start(self) -> None:
        self._run = ensureDeferred(self._report())
        self._run.addTimeout(TIME_LIMIT, self._reactor)
        self._run.addErrback(self._failed)
        self._run.addCallback(self._ended)

    def _failed(self, failure: Failure) -> None:
        # If the service was stopped, this is the CancelledError of stopService.
        if self.running:
            _log.failure("demo: failed", failure=failure)
        else:
            _log.info("demo: stopped before its end")

    def _ended(self, good: bool | None) -> None:
        self._run = None
        if self.running:
            stop_with_status(self._reactor, 0 if good else 1)

    async def _report(self) -> bool:
        stage = _Stage(self._reactor)
        try:
            await stage.set_up()
            verdicts = [await self._offer(stage, case) for case in stage.cases()]
            verdicts.append(await self._share(stage))
        finally:
            await stage.tear_down()
        good = sum(verdicts)
        _log.info("demo: {good} of {all} as expected", good=good, all=len(verdicts))
        return good == len(verdicts)

    async def _offer(self, stage: _Stage, case: _Case) -> bool:
        began = self._reactor.seconds()
        fired = await stage.sender.send_url(DOMAIN, case.url, case.what)
        seconds = self._reactor.seconds() - began
        good, note = fired == case.expected, ""
        if good and case.expected is None:
            good, note = compare_files(stage.served, stage.landed)
        elif good and case.expected == REJECT:
            good = FORBIDDEN not in stage.connected_to
            note = "no connection tried" if good else "a connection was tried"
        _tell(case, fired, seconds, good=good, note=note)
        return good

    async def _share(self, stage: _Stage) -> bool:
        stage.clear()
        began = self._reactor.seconds()
        delivery = await FileSender(stage.sender, share=stage.share).send(DOMAIN, stage.served)
        seconds = self._reactor.seconds() - began
        url = "nowhere" if delivery.url is None else shown_place(delivery.url, delivery.via)
        case = _Case("the same file, shared by FileSender", url, RECEIVED)
        good, note = delivery.outcome == case.expected, ""
        if good:
            good, note = compare_files(stage.served, stage.landed)
        _tell(case, delivery.outcome, seconds, good=good, note=note)
        return good


def _tell(case: _Case, fired: object, seconds: float, *, good: bool, note: str) -> None:
    _log.info(
        "demo: {what} {url}: {fired}, {seconds:.2f} s{note}{verdict}",
        what=case.what,
        url=case.url,
        fired=fired,
        seconds=seconds,
        note=note and f", {note}",
        verdict="" if good else f" -- expected {case.expected}",
    )


class _Stage:
    """What the demonstration runs on: files, servers and streams, and their removal."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._folder = Path(tempfile.mkdtemp(prefix="oob-demo-"))
        self.served = self._folder / "served"
        self.landed = self._folder / "landed"
        self.connected_to: set[str] = set()
        self.sender = OOBHandler(timeout=TIME_LIMIT, reactor=reactor)
        self.share = FileShare(self._listen(), reactor=reactor)
        self._embedded: EmbeddedResponder | None = None
        self._component: Any = None
        self._web: Any = None

    async def set_up(self) -> None:
        from wokkel.component import Component  # noqa: PLC0415  (installs a reactor)

        self.landed.mkdir()
        self.served.write_bytes(secrets.token_bytes(FILE_SIZE))
        site: Any = Resource()
        site.putChild(b"report.pdf", File(str(self.served), "application/pdf"))
        site.putChild(b"cut-short.pdf", _CutShort())
        self._web = await self._listen().listen(Site(site))
        self.share.startService()

        policy = FetchPolicy(allow_networks=LOOPBACK, timeout=TIME_LIMIT)
        watched = _WatchedReactor(self._reactor, self.connected_to)
        responder = OOBResponder(
            Fetcher(watched, policy, self.landed), allow_from=[SENDER], reactor=self._reactor
        )
        secret = secrets.token_urlsafe()
        self._embedded = EmbeddedResponder(
            responder, domain=DOMAIN, endpoint=self._listen(), secret=secret, reactor=self._reactor
        )
        port = await self._embedded.start()
        self._component = Component(HOST, port.getHost().port, SENDER, secret)
        self.sender.setHandlerParent(self._component)
        self._component.startService()

    def cases(self) -> tuple[_Case, ...]:
        base = f"http://{HOST}:{self._web.getHost().port}"
        return (
            _Case("a file of 16 MiB", f"{base}/report.pdf", None),
            _Case("a file that is not there", f"{base}/missing.pdf", NOT_FOUND),
            _Case("a file cut short", f"{base}/cut-short.pdf", NOT_FOUND),
            _Case("a forbidden address", f"http://{FORBIDDEN}/", REJECT),
        )

    def clear(self) -> None:
        """Remove what has landed so far."""
        for path in self.landed.iterdir():
            path.unlink()

    async def tear_down(self) -> None:
        try:
            if self._component is not None:
                self._component.stopService()
            if self._embedded is not None:
                await self._embedded.stop()
            if self._web is not None:
                await self._web.stopListening()
            if self.share.running:
                await self.share.stopService()
        finally:
            shutil.rmtree(self._folder)

    def _listen(self) -> TCP4ServerEndpoint:
        return TCP4ServerEndpoint(self._reactor, 0, interface=HOST)


def compare_files(served: Path, landed: Path) -> tuple[bool, str]:
    """Compare the one file that should have landed with the one that was served.

    Args:
        served: The file that the HTTP server has.
        landed: The directory that the responder saves files in.

    Returns:
        Whether they are the same, and a note about it for the report.
    """
    files = list(landed.iterdir())
    if len(files) != 1:
        return False, f"{len(files)} files landed"
    sent, received = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (served, files[0]))
    if sent != received:
        return False, f"SHA-256 {received} differs from {sent}"
    return True, f"same SHA-256 {sent[:16]}..."


class _CutShort(Resource):
    """Declares a body of 1 MiB, sends half of it and closes the connection."""

    isLeaf = True  # noqa: N815  (the interface's name)

    def __init__(self) -> None:
        Resource.__init__(self)

    def render_GET(self, request: Request) -> int:  # noqa: N802
        request.setHeader(b"content-length", str(1024 * 1024).encode())
        request.write(bytes(512 * 1024))
        request.loseConnection()
        return NOT_DONE_YET


class _WatchedReactor:
    """A reactor that notes which hosts connections are tried to."""

    def __init__(self, reactor: Any, connected_to: set[str]) -> None:
        self._reactor = reactor
        self._connected_to = connected_to

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def connectTCP(self, host: str, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        self._connected_to.add(host)
        return self._reactor.connectTCP(host, *args, **kwargs)
