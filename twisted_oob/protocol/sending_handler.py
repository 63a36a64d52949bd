"""SendingHandler: the half of OOBHandler that sends, on one XMPP stream after the other.

What is sent waits for a stream, and belongs to it from then on. Requests are kept by a
RequestTracker, messages by an Outbox; both are told of each stream by the other half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from twisted_oob._checks import checked_reactor, checked_seconds
from twisted_oob.errors import ErrorCondition, StreamRefused
from twisted_oob.protocol.arguments import Timeout, check_addresses
from twisted_oob.protocol.data import NS_IQ_OOB, oob_payload
from twisted_oob.protocol.features import FEATURES_QUERY, announced_features
from twisted_oob.protocol.messages import build_messages
from twisted_oob.protocol.metadata import FileInfo, check_info, file_element
from twisted_oob.protocol.outbox import Outbox
from twisted_oob.xmpp.deadlines import Clock, DeadlineQueue
from twisted_oob.xmpp.stream_handler import StreamHandler
from twisted_oob.xmpp.tracker import RequestTracker

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID


# An enum's members are looked up by its metaclass, which costs more than the comparison.
_OF_HANDLER: Final = Timeout.OF_HANDLER


class SendingHandler(StreamHandler):
    """Offers URLs to others.

    Args:
        timeout: As for OOBHandler; so is ``reactor``.

    Raises:
        TypeError: An argument has the wrong type. The message names it.
        ValueError: The timeout is not above 0.
    """

    timeout: float | None

    def __init__(self, timeout: float | None, reactor: Clock | None) -> None:
        StreamHandler.__init__(self)
        self.timeout = checked_seconds("timeout", timeout)
        self.clock: Clock = checked_reactor(reactor)
        self._deadlines = DeadlineQueue(self.clock)
        self._tracker = RequestTracker(self._deadlines)
        self._outbox = Outbox(self._deadlines)

    def send_url(
        self,
        recipient: JID | str,
        url: str,
        desc: str | None = None,
        *,
        info: FileInfo | None = None,
        sid: str | None = None,
        sender: JID | str | None = None,
        timeout: float | Timeout | None = Timeout.OF_HANDLER,
    ) -> Deferred[ErrorCondition | None]:
        """Ask a peer to retrieve a URL, and wait until it has (XEP-0066 section 2).

        Without a stream, the request waits for the next one. One that fails before it is sent is
        never sent.

        Args:
            recipient: The full JID of a client, or the JID of a component.
            url: A URL of any scheme. It is sent as a URI (see OOBData) of at most 8 KiB.
            desc: A description, for people.
            info: What is known of the file (XEP-0446). A peer that knows of it answers with success
                only if it got this very file.
            sid: A stream identifier, only for peers of version 1.5 of the standard.
            sender: The address to send from, for a component with several; None for the stream's.
            timeout: Seconds until it fails without an answer; None for never. By default, it is
                the handler's.

        Returns:
            A Deferred. It fires with None once the peer has the whole file, or with the
            ErrorCondition that it answered. It fails if nobody answered: with TimeoutError (of
            twisted.words.protocols.jabber.xmlstream), with ConnectionLost or ConnectionDone, with
            StreamRefused if there can't be a stream, or with CancelledError after ``cancel()``. It
            fails with ValueError if the URL, an address or the timeout is not valid, and with
            TypeError if an argument has the wrong type; nothing is sent then.
        """
        try:
            seconds = self.timeout
            if timeout is not _OF_HANDLER:
                seconds = checked_seconds("timeout", timeout)
            payload = oob_payload(NS_IQ_OOB, url, desc, sid)
            if info is not None:
                payload.nested = file_element(check_info(info))
            if type(recipient) is not str or sender is not None:
                check_addresses(recipient, sender)
            if self.bound_stream is None:
                self._check_not_refused()
            return self._tracker.request(
                "set", payload, recipient, sender=sender, timeout=seconds, on_error=ErrorCondition
            )
        except (ValueError, StreamRefused):
            return fail(Failure())

    def send_message(
        self,
        recipient: JID | str,
        url: str,
        desc: str | None = None,
        *,
        info: FileInfo | None = None,
        body: str | None = None,
        message_type: str = "chat",
        sender: JID | str | None = None,
        bounce_timeout: float | None = None,
    ) -> Deferred[ErrorCondition | None]:
        """Send a URL inside a message (XEP-0066 section 3). Nobody acknowledges it.

        Without a stream, it waits for the next one, as long as the handler's ``timeout``. At most
        1,000 messages wait.

        Args:
            recipient: Any JID.
            url: As for ``send_url``; so are ``desc`` and ``sender``.
            info: What is known of the file. It goes along as ``<file-sharing/>`` (XEP-0447) if its
                SHA-256 is known, and as SIMS (XEP-0385) if its media type, name and size are, so
                that clients show the file itself. The description then follows in a message of
                its own, as many clients show either a text or a file.
            body: The text beside it. By default it is exactly the URI, which clients need to show
                the file inline.
            message_type: chat, groupchat, headline or normal.
            bounce_timeout: Seconds to wait, once it is written, whether it comes back as an error;
                None not to wait. The bounce of a description is not waited for.

        Returns:
            A Deferred. It fires with None once the message and its description are written to the
            stream; with ``bounce_timeout``, only after that time, or with the ErrorCondition of the
            message that bounced. It fails with what the stream raised: then the description was
            not written, and perhaps not the message. Without a stream, it fails with TimeoutError,
            QueueFull, StreamRefused or CancelledError, as ``send_url`` does, and nothing is ever
            written. If the stream is lost while the message may bounce, it fails with
            ConnectionLost or ConnectionDone. It fails with ValueError or TypeError if an argument
            is not valid; nothing is sent then.
        """
        try:
            seconds = checked_seconds("bounce_timeout", bounce_timeout)
            messages = build_messages(
                recipient,
                url,
                desc,
                info=info,
                body=body,
                message_type=message_type,
                sender=sender,
            )
            if self.bound_stream is None:
                self._check_not_refused()
        except (ValueError, StreamRefused):
            return fail(Failure())
        return self._outbox.send(messages, self.timeout, seconds)

    def find_features(
        self,
        recipient: JID | str,
        timeout: float | None = 10.0,
        *,
        sender: JID | str | None = None,
    ) -> Deferred[frozenset[str]]:
        """Ask an entity which Out of Band Data it takes (XEP-0066 section 4).

        Args:
            recipient: The full JID of a client, or the JID of a component.
            timeout: Seconds until it fails without an answer; None for never.
            sender: As for ``send_url``.

        Returns:
            A Deferred. It fires with those of DISCO_FEATURES that the entity announces; if it
            answers with an error, it announces nothing. It fails as that of ``send_url`` does.
        """
        try:
            seconds = checked_seconds("timeout", timeout)
            check_addresses(recipient, sender)
            if self.bound_stream is None:
                self._check_not_refused()
            answer = self._tracker.request(
                "get",
                FEATURES_QUERY,
                recipient,
                sender=sender,
                timeout=seconds,
                on_error=lambda _error: None,
            )
        except (ValueError, StreamRefused):
            return fail(Failure())
        return answer.addCallback(announced_features)

    def stream_refused(self, error: StreamRefused) -> bool:
        """Fail what waits for a stream; see StreamHandler."""
        requests = self._tracker.fail_waiting(error)
        messages = self._outbox.fail_waiting(error)
        return requests or messages

    def _check_not_refused(self) -> None:
        """Raise the reason if the stream manager says that there won't be a stream."""
        refused = self.refusal()
        if refused is not None:
            raise refused
