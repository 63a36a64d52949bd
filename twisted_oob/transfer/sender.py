"""FileSender: hands a file or URL to somebody, and knows in the end whether it arrived.

Each sending is a coroutine of its own. It goes through these steps, and may end in each:

=========  ==================================================  ====================================
step       what happens                                        how it may end here
=========  ==================================================  ====================================
opened     the file is opened: from now on it is these bytes   OSError
connected  it waits for the stream                             StreamRefused
routed     the recipient's features decide between IQ and      --
           message (``routes.py``)
hosted     the file is hashed, and uploaded or shared          ``upload-failed``
           (``hosting.py``); a URL has its place already
offered    the URL goes out, with what is known of the file    ``received``, or the error that is
           by IQ: the answer is waited for                     answered
           by message, and it is on a share: the reader is     ``fetched``, or the error that the
           waited for                                          message comes back with
           by message, and it is elsewhere, or its share is    ``sent``, or that error
           kept: for a moment, an error is waited for
=========  ==================================================  ====================================

The time limit counts from the first step on, and ends each of them with ``timeout``. Cancelling
ends each with CancelledError; once a message has gone out, with CancelledOnceSent, which is one.
Whatever the end is, the file and its share are closed then, unless the share is kept (``kept.py``)
and the end is ``sent``.
"""

from __future__ import annotations

import re
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.xmlstream import TimeoutError as StreamTimeoutError

from twisted_oob._checks import check_callable, check_not_empty, checked_seconds, wrong_type
from twisted_oob.errors import (
    ErrorCondition,
    FileTooLarge,
    SlotRefused,
    UploadFailed,
    UploadServiceNotFound,
)
from twisted_oob.files.source import SourceFile
from twisted_oob.protocol.arguments import check_addresses
from twisted_oob.protocol.data import OOBData, check_text
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.transfer.delivery import (
    FETCHED,
    SENT,
    TIMEOUT,
    CancelledOnceSent,
    Delivery,
    Ending,
    of_answer,
    of_bounce,
    of_failed_upload,
)
from twisted_oob.transfer.hosting import PLACES, FileHost, OnProgress, UrlHost
from twisted_oob.transfer.kept import KeptUrls
from twisted_oob.transfer.routes import WAYS, Route, find_route
from twisted_oob.xmpp.contacts import Contacts
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.ready import wait_for_stream

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.files.share import FileShare
    from twisted_oob.transfer.uploads import UploadHandler

# A file of such a name can be given as a Path.
_URL: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.\-]*://")
_LAST_BOUNCE: Final = 3600.0
"""Seconds in which a message about a shared file may bounce, if the sending has no limit."""


class FileSender:
    """Hands files and URLs to others by XMPP, and tells how that ended.

    Whoever takes ``jabber:iq:oob`` gets an IQ, and answers it when it has the file. All others get
    a message. An account is asked at the resources whose presence has come since this was made, and
    at ``JID/oob``. A file gets its URL by an upload to the server (XEP-0363) or by our own share.

    Args:
        handler: The OOBHandler that sends. Add it to a stream manager before anything is sent.
        share: A FileShare that runs; None for no shares.
        uploads: An UploadHandler on the same stream; None for no uploads.
        bounce_timeout: Seconds in which an error must come back for a message that failed. It is
            how long ``sent`` takes.
        keep: Seconds for which a shared file whose URL went in a message can be read, however often
            and by whomever; None to end the share when it was read once. As nobody waits for the
            reader then, the message ends as ``sent``. At most 100 shares are kept, and the oldest
            is closed first. The same file, unchanged, gets the same URL again meanwhile; that of an
            upload also, for three hours at most.

    Raises:
        TypeError: An argument has the wrong type. The message names it.
        ValueError: ``bounce_timeout`` or ``keep`` is not above 0.
    """

    def __init__(
        self,
        handler: OOBHandler,
        *,
        share: FileShare | None = None,
        uploads: UploadHandler | None = None,
        bounce_timeout: float = 2.0,
        keep: float | None = None,
    ) -> None:
        if not isinstance(handler, OOBHandler):
            raise wrong_type("handler", "an OOBHandler", handler)
        for name, given, method, wanted in (
            ("share", share, "add", "a FileShare or None"),
            ("uploads", uploads, "upload", "an UploadHandler or None"),
        ):
            if given is not None and not callable(getattr(given, method, None)):
                raise wrong_type(name, wanted, given)
        seconds = checked_seconds("bounce_timeout", bounce_timeout)
        if seconds is None:
            raise wrong_type("bounce_timeout", "a number of seconds", seconds)
        self.handler = handler
        self.share = share
        self.uploads = uploads
        self.bounce_timeout = seconds
        kept_for = checked_seconds("keep", keep)
        self.kept = None if kept_for is None else KeptUrls(kept_for, handler.clock)
        if handler.parent is not None:
            # From now on, to know who is available when something is sent.
            Contacts.of(handler.parent, handler.clock)

    def send(
        self,
        recipient: JID | str,
        path_or_url: str | PathLike[str] | SourceFile,
        desc: str | None = None,
        *,
        via: str = "auto",
        as_: str = "auto",
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
        sender: JID | str | None = None,
    ) -> Deferred[Delivery]:
        """Hand a file or URL to somebody. Any number may be on their way at once.

        Args:
            recipient: A full JID, a domain, or the bare JID of an account. An account gets the IQ
                at the resource that takes it, and a message at its bare JID.
            path_or_url: A file: a path, or a SourceFile, which is closed in the end. A str that
                begins with a scheme and ``://`` is a URL, which is sent as it is.
            desc: A description, for people.
            via: How a file gets its URL: ``'upload'``, ``'share'``, or ``'auto'`` for the upload if
                the server has a service and the file is not too large for it, nor too small, else
                the share. A URL has its place already, whatever this says.
            as_: ``'iq'``, ``'message'``, or ``'auto'`` for the IQ if the recipient takes it.
            timeout: Seconds for all of it, from now on; None for the handler's ``timeout``.
            on_progress: Called with the phase, the bytes that are done and the size of the file.
                The phases are ``'hash'``, ``'upload'`` and ``'read'``, by who reads the share.
            sender: The address to send from, for a component with several; None for the stream's.

        Returns:
            A Deferred. It fires with the Delivery, whatever the outcome. It fails if that can't be
            known, or nothing was sent: with StreamRefused if the stream can't be had, with
            ConnectionLost or ConnectionDone, with OSError if the file can't be read, with what the
            share could not listen for, with ValueError or TypeError if an argument is not valid,
            and with CancelledError after ``cancel()``, which leaves nothing behind.
        """
        given = path_or_url if isinstance(path_or_url, SourceFile) else None
        try:
            check_addresses(recipient, sender)
            to = parse_jid(recipient)
            from_ = None if sender is None else parse_jid(sender)
            if desc is not None:
                check_text("desc", desc)
            _check_choice("via", via, PLACES)
            _check_choice("as_", as_, WAYS)
            seconds = checked_seconds("timeout", timeout)
            check_callable("on_progress", on_progress)
            if self.handler.parent is None:
                raise ValueError("handler is on no stream: call its setHandlerParent first")
            host = self._host(path_or_url, via, on_progress)
        except (ValueError, OSError):
            if given is not None:
                given.close()
            return fail(Failure())
        if timeout is None:
            seconds = self.handler.timeout
        return Deferred.fromCoroutine(
            _Sending(self, to, from_, desc, host, way=as_, seconds=seconds).run()
        )

    def _host(
        self, given: str | PathLike[str] | SourceFile, via: str, on_progress: OnProgress | None
    ) -> FileHost | UrlHost:
        """Open what was given, or see that it is a URL."""
        if not isinstance(given, str | PathLike | SourceFile):
            raise wrong_type("path_or_url", "a path, a URL or a SourceFile", given)
        if isinstance(given, str):
            check_not_empty("path_or_url", given)
            if _URL.match(given):
                return UrlHost(OOBData(given).url)
        self.check_via(via)
        source = given if isinstance(given, SourceFile) else SourceFile(given)
        if source.closed:
            raise ValueError("path_or_url is a SourceFile that is closed")
        return FileHost(
            source,
            place=via,
            share=self.share,
            uploads=self.uploads,
            tell=on_progress,
            kept=self.kept,
        )

    def check_via(self, via: str) -> None:
        """Check that a file can get its URL so.

        Args:
            via: As for ``send``.

        Raises:
            ValueError: It is another word, or this sender has no such share or uploads.
            WrongType: It is no str. It is a TypeError.
        """
        _check_choice("via", via, PLACES)
        if via == "share" and self.share is None:
            raise ValueError("via='share' needs a share: FileSender(handler, share=FileShare(...))")
        if via == "upload" and self.uploads is None:
            raise ValueError(
                "via='upload' needs uploads: FileSender(handler, uploads=UploadHandler())"
            )
        if self.share is None and self.uploads is None:
            raise ValueError("to send a file, FileSender needs a share, uploads, or both")


class _Sending:
    """One file or URL on its way."""

    def __init__(
        self,
        sender: FileSender,
        recipient: JID,
        from_: JID | None,
        desc: str | None,
        host: FileHost | UrlHost,
        *,
        way: str,
        seconds: float | None,
    ) -> None:
        self._sender = sender
        self._handler = sender.handler
        self._recipient = recipient
        self._from = from_
        self._desc = desc
        self._host = host
        self._way = way
        self._seconds = seconds
        self._began = sender.handler.clock.seconds()
        self._route: Route | None = None

    async def run(self) -> Delivery:
        """Do all of it, in time, and close what was opened for it."""
        try:
            attempt = Deferred.fromCoroutine(self._attempt())
            if self._seconds is not None:
                attempt.addTimeout(self._seconds, cast("Any", self._handler.clock))
            return self._delivery(*await attempt)
        except (DeferredTimeoutError, StreamTimeoutError):
            return self._delivery(TIMEOUT, None, None)
        except (FileTooLarge, SlotRefused, UploadFailed, UploadServiceNotFound) as error:
            return self._delivery(*of_failed_upload(error))
        finally:
            self._host.close()

    async def _attempt(self) -> Ending:
        manager = self._handler.parent
        contacts = Contacts.of(manager, self._handler.clock)
        await wait_for_stream(manager)
        self._route = route = await find_route(
            self._handler, contacts, self._recipient, self._way, self._from
        )
        by_message = route.how == "message"
        url = await self._host.give_url(manager, route.address, self._left(), lasting=by_message)
        if by_message:
            return await self._by_message(route.address, url)
        answer = await self._handler.send_url(
            route.address,
            url,
            self._desc,
            info=self._host.info,
            sender=self._from,
            timeout=None,
        )
        return of_answer(answer)

    async def _by_message(self, address: JID, url: str) -> Ending:
        shared = self._host.shared if self._sender.kept is None else None
        seconds = self._sender.bounce_timeout
        if shared is not None:
            # An error may come as long as the file may be read.
            seconds = max(seconds, _LAST_BOUNCE if self._seconds is None else self._left() or 0.0)
        sent = self._handler.send_message(
            address,
            url,
            self._desc,
            info=self._host.info,
            sender=self._from,
            bounce_timeout=seconds,
        )
        try:
            if shared is None:
                bounce = await sent
            else:
                bounce = await _bounced_before(sent, shared.when_read())
        except CancelledError:
            raise CancelledOnceSent from None
        if bounce is not None:
            return of_bounce(bounce)
        self._host.keep()
        return (SENT if shared is None else FETCHED), None, None

    def _left(self) -> float | None:
        if self._seconds is None:
            return None
        return max(0.0, self._began + self._seconds - self._handler.clock.seconds())

    def _delivery(self, outcome: str, condition: str | None, text: str | None) -> Delivery:
        host = self._host
        return Delivery(
            outcome=outcome,
            url=host.url,
            via=host.via,
            how=None if self._route is None else self._route.how,
            condition=condition,
            text=text,
            size=host.info.size,
            sha256=host.info.sha256,
        )


async def _bounced_before(
    sent: Deferred[ErrorCondition | None], read: Deferred[None]
) -> ErrorCondition | None:
    """Wait until a message has bounced, or what it told of was read: then give None."""
    first: Deferred[ErrorCondition | None] = Deferred()

    def on_bounce(bounce: ErrorCondition | None) -> None:
        if bounce is not None and not first.called:
            first.callback(bounce)

    def on_read(_: None) -> None:
        if not first.called:
            first.callback(None)

    def on_failure(failure: Failure) -> None:
        if not first.called:
            first.errback(failure)

    sent.addCallbacks(on_bounce, on_failure)
    read.addCallbacks(on_read, on_failure)
    try:
        return await first
    finally:
        sent.cancel()
        read.cancel()


def _check_choice(name: str, given: object, choices: tuple[str, ...]) -> None:
    if not isinstance(given, str):
        raise wrong_type(name, "a str", given)
    if given not in choices:
        raise ValueError(f"{name} must be one of {choices}, not {given[:100]!r}")
