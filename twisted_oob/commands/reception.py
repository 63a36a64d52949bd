"""What ``oob receive`` does once its options are read.

Files reach it in one of three ways:

===================  ============================================================================
options              the way
===================  ============================================================================
``--jid``            a stream to the account's server, which shows it as available
``--component``      a stream to a server that hands it everything for the domain
neither              an embedded router of its own, as ``twistd oob-responder`` has it: it is
                     ``oob.localhost`` there. If the port is taken already, it is a component of
                     the router that listens there, with a domain of its own
===================  ============================================================================

It ends by ``--count``, by the answer "quit", by Ctrl-C, or if its stream is refused. Then every
offer without an answer gets one, transfers are cut, and what was created for that is removed: part
files, a folder that is still empty, the secret of its own router.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError

from twisted_oob.commands.connection import Connection, NotConnected
from twisted_oob.commands.decisions import Decisions, name_of
from twisted_oob.commands.events import (
    FileFailed,
    FileReceived,
    OutputClosed,
    Reporter,
)
from twisted_oob.commands.modes import DOMAIN, EMBEDDED
from twisted_oob.commands.progress import Progress
from twisted_oob.commands.questions import Questions
from twisted_oob.commands.secret_file import read_or_create_secret
from twisted_oob.commands.values import not_usable
from twisted_oob.errors import StreamRefused
from twisted_oob.files.addresses import LOOPBACK
from twisted_oob.files.fetch import Fetcher
from twisted_oob.files.folders import Folders
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.transfer.arrivals import Arrival, Failed, Received
from twisted_oob.transfer.embedded import EmbeddedResponder
from twisted_oob.transfer.receiver import Receiver
from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.presence import PresenceHandler

if TYPE_CHECKING:
    from twisted_oob.commands.output import Output

Show = Callable[[str, int, int | None], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What is taken, and where it lands.

    Attributes:
        folder: Where files land; it need not exist.
        senders: Whose files are taken without a question: the entries of an AllowList.
        yes: Whether everybody's are.
        asks: Whether there is a terminal to ask on.
        count: How many files to receive; None for no end.
        max_size: The largest file, in bytes.
        networks: Networks that files may come from, besides public addresses of other machines.
        denied: Networks that they must not come from all the same.
        timeout: Seconds for one transfer.
        min_rate: Bytes a second that a transfer must bring; 0 for no limit.
        user_agent: The User-Agent that web servers are told.
        file_mode: The permission bits of each file.
        dir_mode: Those of each folder that is created.
    """

    folder: Path
    senders: tuple[str, ...]
    yes: bool
    asks: bool
    count: int | None
    max_size: int
    networks: tuple[IPv4Network | IPv6Network, ...]
    denied: tuple[IPv4Network | IPv6Network, ...]
    timeout: float
    min_rate: int
    user_agent: str
    file_mode: int
    dir_mode: int


async def receive_all(
    terms: Terms, connection: Connection, secret: str | None, output: Output, reactor: Any
) -> int:
    """Receive files until there is a reason to end.

    Args:
        terms: What is taken, and where it lands.
        connection: How others reach us.
        secret: The password, or the secret of the component; None in the responder's place.
        output: Where warnings go.
        reactor: The reactor.

    Returns:
        The exit status.

    Raises:
        UsageError: The folder, the CA file or the secret can't be used.
        NotConnected: There is no connection or no login.
        CancelledError: It was cancelled; everything is stopped.
        OutputClosed: Nobody reads the events any more.
    """
    with _folder(terms.folder, terms.dir_mode):
        reception = Reception(terms, connection, output, reactor)
        waited = False
        try:
            async with reception.reached(secret) as address:
                waited = True
                output.say(f"waiting for files to {address}; they land in {terms.folder}")
                return await reception.ended
        finally:
            if waited:
                reception.say_what_arrived()


class Reception:
    """A Receiver, and what a person sees of it.

    Args:
        terms: What is taken, and where it lands.
        connection: How others reach us.
        output: Where warnings go.
        reactor: The reactor.

    Raises:
        UsageError: The CA file can't be used.

    Attributes:
        ended: A Deferred that fires with the exit status when there is a reason to end.
    """

    def __init__(self, terms: Terms, connection: Connection, output: Output, reactor: Any) -> None:
        self.ended: Deferred[int] = Deferred()
        self._terms = terms
        self._connection = connection
        self._output = output
        self._reactor = reactor
        self._received = 0
        self._joined = False
        self._shows: dict[Arrival, Show | None] = {}
        embedded = connection.mode == EMBEDDED
        policy = FetchPolicy(
            max_size=terms.max_size,
            # Whoever knows the secret of the router on this machine is the same person.
            allow_networks=terms.networks + (LOOPBACK if embedded else ()),
            deny_networks=terms.denied,
            timeout=terms.timeout,
            min_rate=terms.min_rate,
            user_agent=terms.user_agent,
            ca_file=connection.ca_file,
        )
        try:
            self._fetcher = Fetcher(reactor, policy, terms.folder, file_mode=terms.file_mode)
        except (OSError, ValueError) as error:
            raise click.UsageError(
                not_usable("--ca-file", connection.ca_file or terms.folder, error)
            ) from None
        self._progress = Progress(output, None)
        self._questions: Questions | None = None
        if terms.asks:
            self._questions = Questions(
                reactor,
                sys.stdin.fileno(),
                sys.stderr,
                # Bars come back with the next progress after the answer.
                before=self._progress.close,
            )
            output.aside = _both(self._questions.aside, output.aside)
        self._decisions = Decisions(
            policy,
            senders=terms.senders,
            yes=terms.yes,
            count=terms.count,
            questions=self._questions,
        )
        self._reporter = Reporter(as_json=output.as_json, quiet=output.quiet, aside=output.aside)

    @asynccontextmanager
    async def reached(self, secret: str | None) -> AsyncIterator[str]:
        """Make a context in which others can reach us; it has our address.

        Args:
            secret: As for ``receive_all``.

        Raises:
            UsageError: The secret file can't be used.
            NotConnected: There is no connection or no login.
        """
        if secret is not None:
            async with self._on_stream(secret) as address:
                yield address
            return
        with self._router_secret() as shared:
            if (embedded := await self._embedded(shared)) is not None:
                try:
                    yield DOMAIN
                finally:
                    await embedded.stop()
                return
            try:
                async with self._on_stream(shared) as address:
                    self._joined = True
                    self._output.say(f"joined the router that runs at {self._connection.name}")
                    yield address
            except NotConnected as error:
                raise NotConnected(
                    f"{self._connection.name} is taken, but not by a router with the secret in "
                    f"{self._connection.secret_file}: choose another --port ({error.message})"
                ) from None

    @contextmanager
    def _router_secret(self) -> Iterator[str]:
        """Give the router's secret; a file that was created for that goes again in the end.

        Raises:
            UsageError: The file can't be used.
        """
        path = self._connection.secret_file
        try:
            secret, created = read_or_create_secret(path)
        except (OSError, ValueError) as error:
            raise click.UsageError(not_usable("--secret-file", path, error)) from None
        try:
            yield secret
        finally:
            # A router that was joined still has it: two may have created it at once.
            if created and not self._joined:
                path.unlink(missing_ok=True)

    async def _embedded(self, secret: str) -> EmbeddedResponder | None:
        """Run a router of our own; None if something else listens where it should.

        Raises:
            NotConnected: It can't listen for another reason.
        """
        host, port = self._connection.address
        receiver = self._receiver()
        embedded = EmbeddedResponder(
            receiver,
            domain=DOMAIN,
            endpoint=TCP4ServerEndpoint(self._reactor, port, interface=host),
            secret=secret,
            reactor=self._reactor,
        )
        try:
            await embedded.start()
        except CannotListenError as error:
            await receiver.stopService()
            if getattr(error.socketError, "errno", None) != errno.EADDRINUSE:
                raise NotConnected(
                    f"can't listen on {self._connection.name}: {error.socketError}"
                ) from None
            return None
        return embedded

    @asynccontextmanager
    async def _on_stream(self, secret: str) -> AsyncIterator[str]:
        connection = self._connection
        receiver = self._receiver()
        stream = connection.make_stream(secret, self._reactor)
        receiver.attach(stream, identity=connection.identity, direct=True)
        PresenceHandler(AllowList(self._terms.senders)).setHandlerParent(stream)
        receiver.startService()
        try:
            address = await connection.connect(stream, self._reactor)
            # It is right, then. It may be lost and come back.
            stream.once = False
            stream.on_refused = self._refused
            yield address.full()
        finally:
            await receiver.stopService()
            await stream.stopService()

    def _receiver(self) -> Receiver:
        return Receiver(
            self._fetcher,
            accept=self._decisions.accept,
            tell=self._tell,
            reactor=self._reactor,
            on_progress=self._on_progress,
        )

    def _refused(self, error: StreamRefused) -> None:
        self._output.error(self._connection.explain(error))
        self._end(NotConnected.exit_code)

    def _end(self, status: int) -> None:
        if not self.ended.called:
            self.ended.callback(status)

    def _on_progress(self, arrival: Arrival, received: int, total: int | None) -> None:
        if self._questions is not None and self._questions.open:
            return
        if arrival not in self._shows:
            self._shows[arrival] = self._progress.watch(id(arrival), name_of(arrival))
        show = self._shows[arrival]
        if show is not None:
            show("fetch", received, total)

    def _tell(self, outcome: Received | Failed) -> None:
        self._decisions.over(outcome)
        self._shows.pop(outcome.arrival, None)
        self._progress.done(id(outcome.arrival))
        try:
            self._reporter.tell(event_of(outcome))
        except OutputClosed as error:
            if not self.ended.called:
                self.ended.errback(error)
        if isinstance(outcome, Received):
            self._received += 1
            if self._received == self._terms.count:
                self._end(0)
        if self._decisions.quit and not self._decisions.taken:
            self._end(0)

    def say_what_arrived(self) -> None:
        """Say how many files were received."""
        what = "1 file was" if self._received == 1 else f"{self._received or 'no'} files were"
        self._output.say(f"{what} received")


def event_of(outcome: Received | Failed) -> FileReceived | FileFailed:
    """Make the event of what became of a file."""
    arrival = outcome.arrival
    sender = None if arrival.sender is None else arrival.sender.full()
    if isinstance(outcome, Received):
        return FileReceived(
            sender=sender,
            url=arrival.url,
            desc=arrival.desc,
            file=str(outcome.file.path),
            bytes=outcome.file.size,
            sha256=outcome.file.sha256,
            seconds=outcome.seconds,
        )
    return FileFailed(
        sender=sender,
        url=arrival.url,
        desc=arrival.desc,
        file=None,
        bytes=None if arrival.info is None else arrival.info.size,
        sha256=None if arrival.info is None else arrival.info.sha256,
        seconds=outcome.seconds,
        condition=outcome.condition,
        text=outcome.text,
    )


def _both(
    outer: Callable[[], AbstractContextManager[object]],
    inner: Callable[[], AbstractContextManager[object]],
) -> Callable[[], AbstractContextManager[object]]:
    @contextmanager
    def both() -> Iterator[None]:
        with outer(), inner():
            yield

    return both


@contextmanager
def _folder(path: Path, mode: int) -> Iterator[None]:
    """Create a folder, and remove it in the end if nothing landed there.

    Raises:
        UsageError: It can't be created.
    """
    folders = Folders(mode)
    try:
        try:
            folders.make(path, parents=True)
        except OSError as error:
            raise click.UsageError(not_usable("--download-dir", path, error)) from None
        yield
    finally:
        folders.remove_empty()
