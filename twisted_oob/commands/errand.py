"""What ``oob send`` does once its options are read: it connects, sends, and tells how that ended.

All files go over one stream, MOST_AT_ONCE at a time. Each ends with one line, or one event, as soon
as that is known. The exit status is the highest that any of them asks for:

==========================================  ======
outcome                                     status
==========================================  ======
``received``, ``fetched``, ``sent``         0
``not-found``, ``reject``                   1
any, as the stream was lost                 3
``unavailable``, ``wait``, ``timeout``      4
``upload-failed``                           5
==========================================  ======
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Final

import click
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredSemaphore,
    FirstError,
)
from twisted.internet.error import CannotListenError

from twisted_oob.commands.connection import Connection, NotConnected
from twisted_oob.commands.events import ARRIVED, End, Lost, Reporter, Summary
from twisted_oob.commands.modes import ACCOUNT, EMBEDDED
from twisted_oob.commands.progress import Progress
from twisted_oob.commands.values import LISTEN, not_usable, not_valid
from twisted_oob.errors import NOT_FOUND, REJECT, UNAVAILABLE, WAIT, StreamRefused
from twisted_oob.files.share import FileShare
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.transfer.delivery import (
    TIMEOUT,
    UPLOAD_FAILED,
    Delivery,
)
from twisted_oob.transfer.own_server import server_networks
from twisted_oob.transfer.sender import FileSender
from twisted_oob.transfer.uploads import UploadHandler
from twisted_oob.xmpp.basics import attach_basics
from twisted_oob.xmpp.contacts import Contacts
from twisted_oob.xmpp.failures import LOST
from twisted_oob.xmpp.presence import PresenceHandler
from twisted_oob.xmpp.ready import local_host

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.commands.output import Output
    from twisted_oob.files.source import SourceFile
    from twisted_oob.xmpp.stream_service import StreamService

MOST_AT_ONCE: Final = 4
"""Files that are on their way at once."""

_STATUSES: Final = {
    **dict.fromkeys(ARRIVED, 0),
    NOT_FOUND: 1,
    REJECT: 1,
    UNAVAILABLE: 4,
    WAIT: 4,
    TIMEOUT: 4,
    UPLOAD_FAILED: 5,
}


@dataclass(frozen=True, slots=True)
class Item:
    """A file or URL to send.

    Attributes:
        given: What stands on the command line.
        source: The open file; None for a URL.
    """

    given: str
    source: SourceFile | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """What to send, to whom and how, as the options say."""

    recipient: JID
    items: tuple[Item, ...]
    desc: str | None
    via: str
    as_: str
    listen: str
    public_url: str | None
    timeout: float
    allow_networks: tuple[IPv4Network | IPv6Network, ...]


async def send_all(
    errand: Errand, connection: Connection, secret: str, output: Output, reactor: Any
) -> int:
    """Send everything, and return the exit status.

    Cancelled, it tells how many had arrived. The files are closed in the end, and so are the share
    and the stream.

    Raises:
        NotConnected: There is no stream.
        UsageError: The share can't listen, or the stream can't be made of its options.
    """
    try:
        stream = connection.make_stream(secret, reactor)
        sending = _Sending(errand, connection, stream, output, reactor)
        try:
            return await sending.run()
        finally:
            await sending.stop()
    finally:
        for item in errand.items:
            if item.source is not None:
                item.source.close()


class _Sending:
    """Everything on its way over one stream."""

    def __init__(
        self,
        errand: Errand,
        connection: Connection,
        stream: StreamService,
        output: Output,
        reactor: Any,
    ) -> None:
        self._errand = errand
        self._connection = connection
        self._stream = stream
        self._output = output
        self._reactor = reactor
        self._share: FileShare | None = None
        self._uploads: UploadHandler | None = None
        self._status = 0
        self._arrived = 0
        self._progress = Progress(output, errand.recipient.full())
        self._reporter = Reporter(as_json=output.as_json, quiet=output.quiet, aside=output.aside)
        self._lost = False
        self._on_their_way: set[Deferred[Delivery]] = set()
        self._handler = OOBHandler(timeout=errand.timeout, reactor=reactor)
        self._handler.setHandlerParent(stream)
        self._attach()

    def _attach(self) -> None:
        attach_basics(self._stream, identity=self._connection.identity, name="oob")
        if self._connection.mode == ACCOUNT:
            # Contacts tell their resources only to who is available. What people write to the
            # account is not for this resource.
            PresenceHandler(None, priority=-1).setHandlerParent(self._stream)
            Contacts.of(self._stream, self._reactor)
        if self._connection.mode != EMBEDDED and self._errand.via != "share":
            self._uploads = UploadHandler(
                self._reactor,
                ca_file=self._connection.ca_file,
                timeout=self._errand.timeout,
            )
            self._uploads.setHandlerParent(self._stream)

    async def run(self) -> int:
        """Send everything, and return the exit status."""
        await self._connection.connect(self._stream, self._reactor)
        self._stream.on_refused = self._lose
        if self._uploads is not None:
            self._uploads.allow_networks = (
                *self._errand.allow_networks,
                *server_networks(self._stream),
            )
        if self._errand.via != "upload" and any(item.source for item in self._errand.items):
            await self._listen()
        sender = FileSender(self._handler, share=self._share, uploads=self._uploads)
        turns = DeferredSemaphore(MOST_AT_ONCE)
        sends = [
            turns.run(self._begin, sender, number, item)
            for number, item in enumerate(self._errand.items)
        ]
        # The last is cancelled first: one that ends leaves its turn to one that waits.
        sends.reverse()
        everything = DeferredList(sends, fireOnOneErrback=True, consumeErrors=True)
        interrupted = True
        try:
            await everything
            interrupted = False
        except FirstError as error:
            error.subFailure.raiseException()
        finally:
            for send in sends:
                send.cancel()
            self._progress.close()
            self._summarize(interrupted)
        return self._status

    async def stop(self) -> None:
        """Close the share and the stream."""
        if self._share is not None:
            await self._share.stopService()
        await self._stream.stopService()

    async def _listen(self) -> None:
        endpoint = self._errand.listen
        host = local_host(self._stream)
        if endpoint == LISTEN and host is not None and ":" in host:
            # Twisted's tcp is IPv4 alone, and the share is reached where the stream comes from.
            endpoint = endpoint.replace("tcp", "tcp6")
        try:
            share = FileShare(endpoint, public_url=self._errand.public_url, reactor=self._reactor)
        except ValueError as error:
            raise click.UsageError(
                not_valid("--public-url", self._errand.public_url or "", error)
            ) from None
        self._share = share
        ready = share.ready  # before it fails, or it would log that, too
        share.startService()
        try:
            await ready
        except CannotListenError as error:
            raise click.UsageError(not_usable("--listen", endpoint, error.socketError)) from None

    def _begin(self, sender: FileSender, number: int, item: Item) -> Deferred[None]:
        return Deferred.fromCoroutine(self._send(sender, number, item))

    async def _send(self, sender: FileSender, number: int, item: Item) -> None:
        errand, began = self._errand, self._reactor.seconds()
        sending = sender.send(
            errand.recipient,
            item.given if item.source is None else item.source,
            errand.desc,
            via=errand.via,
            as_=errand.as_,
            timeout=errand.timeout,
            on_progress=self._progress.watch(number, item.given),
        )
        self._on_their_way.add(sending)
        try:
            delivery = await sending
        except (*LOST, CancelledError) as error:
            if isinstance(error, CancelledError) and not self._lost:
                raise
            self._tell(
                Lost, item, began, Delivery(outcome=UNAVAILABLE, text=await self._why_lost())
            )
        except OSError as error:
            # It was opened, but can't be read any more.
            self._tell(
                End, item, began, Delivery(outcome=NOT_FOUND, text=error.strerror or str(error))
            )
        else:
            self._tell(End, item, began, delivery)
        finally:
            self._on_their_way.discard(sending)
            self._progress.done(number)

    def _lose(self, _error: StreamRefused) -> None:
        """Give up what is on its way: each tells that the stream is lost.

        A file that is hashed would notice only when it is offered.
        """
        self._lost = True
        for sending in list(self._on_their_way):
            sending.cancel()

    async def _why_lost(self) -> str:
        try:
            await self._stream.ready
        except StreamRefused as error:
            return f"the stream was lost: {error}"
        return "the stream was lost"

    def _tell(self, kind: type[End], item: Item, began: float, delivery: Delivery) -> None:
        """Tell how one ended."""
        size = None if item.source is None else item.source.size
        end = kind(
            file=None if item.source is None else item.given,
            to=self._errand.recipient.full(),
            url=delivery.url or (item.given if item.source is None else None),
            via=delivery.via,
            how=delivery.how,
            outcome=delivery.outcome,
            condition=delivery.condition,
            text=delivery.text,
            bytes=size,
            sha256=delivery.sha256,
            seconds=self._reactor.seconds() - began,
        )
        status = NotConnected.exit_code if kind is Lost else _STATUSES[end.outcome]
        self._status = max(self._status, status)
        if end.outcome in ARRIVED:
            self._arrived += 1
        elif self._output.quiet and not self._output.as_json:
            self._output.error(end.sentence())
        self._reporter.tell(end)

    def _summarize(self, interrupted: bool) -> None:
        total = len(self._errand.items)
        # A person who sends one file has just read how it ended.
        if self._output.as_json or interrupted or total > 1:
            self._reporter.tell(Summary(ok=self._arrived, failed=total - self._arrived))
