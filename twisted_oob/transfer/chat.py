"""ChatFrontend: takes the files that people send in chats, and answers there.

Theory of operation
===================

What comes in are messages of all kinds, from people's clients and from other programs. What goes
out are receipts, and at most one answer for each message, a text or a file. A message goes through
these steps. Most of them say no in silence: two programs that answer all they hear never stop.

============  ==============================================  =====================================
step          who goes on                                     what becomes of all others
============  ==============================================  =====================================
a message     what is to us (see protocol/chat_message.py)    nothing: errors, headlines, carbons,
                                                              forwarded messages, ...
private       type chat or normal                             left to a RoomFrontend, if any
foreign       not from our own address (see OwnAddress)       nothing: we would talk to ourselves
allowed       its sender is on the AllowList                  a line of the log, at debug; of a
                                                              flood, the limits' tally has the rest
read          it has words or files (as before)               nothing: chat states, receipts, ...
current       not delayed by more than a day                  nothing: nobody waits for that
new           it was not seen before (see protocol/seen.py)   nothing: it has had its answer
bounded       it has files to fetch, or its sender has had    nothing: the limits' tally counts it,
              few other answers (see xmpp/gate.py)            which is logged once a minute
received      it asks for a receipt: it gets it at once       --
============  ==============================================  =====================================

What is left depends on what it has, and the first that applies is done:

===================  ==============================================================================
it has               answer
===================  ==============================================================================
files                a line for each, once all have ended: they are fetched at once, in fair turns
                     (see chat_files.py). None for a correction that names only what is stored, or
                     is being fetched
encrypted contents   a note that nobody here can read them; once an hour, as for help
``help``             help; also a ``send`` that names no file
``list``, ``send``   a listing, or the file, which is the answer; only with a FileGiver
any other text       help, once an hour for each bare JID
===================  ==============================================================================

Two of these, or one and another bot, must not answer each other without end. So:

- Neither help nor the note about encryption answers a ``<reply/>`` (XEP-0461), and each answer of
  ours is one. Neither answers what is delayed, as the chat may be over.
- A file that its sender names again and again is left out (see chat_files.py), as some programs
  have a URL in each of their answers.
- No text of ours holds a URL or begins with a command, whatever the application's ChatTexts says
  (see checked_texts.py). So no answer of ours is a file or a command to another one.

Fetching is bounded by the FairFetcher and giving by the FileGiver. Answers that cost us nothing
else take a token of the requests' bucket, and lists more, by their length. Receipts have a bucket
of their own.

Without a stream, an answer waits for the next one, as long as an hour. It is never written twice.
When the responder stops, each transfer ends at once or within its grace, and its answer is written
in the same turn of the reactor, before the stream closes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID
from wokkel.disco import DiscoFeature
from wokkel.iwokkel import IDisco
from zope.interface import implementer

from twisted_oob._checks import wrong_type
from twisted_oob.errors import StreamRefused
from twisted_oob.protocol.chat_answer import answerable, build_answer, build_receipt
from twisted_oob.protocol.chat_message import (
    NS_CORRECTION,
    NS_RECEIPTS,
    NS_REPLY,
    ChatMessage,
    message_kind,
    read_chat_message,
    sender_of,
)
from twisted_oob.protocol.data import NS_X_OOB
from twisted_oob.protocol.file_sharing import NS_SFS, NS_SIMS
from twisted_oob.protocol.outbox import Outbox
from twisted_oob.protocol.seen import Seen
from twisted_oob.transfer.chat_files import ChatFiles, Outcome, answer_of
from twisted_oob.transfer.chat_giving import ChatGiving
from twisted_oob.transfer.chat_texts import ChatTexts
from twisted_oob.transfer.checked_texts import CheckedTexts
from twisted_oob.transfer.commands_in_chat import HELP, LIST, Command, read_command
from twisted_oob.xmpp.buckets import Buckets
from twisted_oob.xmpp.deadlines import DeadlineQueue
from twisted_oob.xmpp.gate import CHARACTERS, FAILURE_BURST, PER_SECOND, Sender, Verdict
from twisted_oob.xmpp.jid import shown
from twisted_oob.xmpp.own_address import OwnAddress
from twisted_oob.xmpp.stream import BoundStream

if TYPE_CHECKING:
    from twisted.words.xish.domish import Element

    from twisted_oob.protocol.messages import OOBMessage
    from twisted_oob.transfer.fair_fetcher import FetchHost
    from twisted_oob.transfer.giver import FileGiver

CHAT_FEATURES: Final = (
    NS_X_OOB,
    NS_SFS,
    NS_SIMS,
    NS_RECEIPTS,
    NS_REPLY,
    NS_CORRECTION,
)
"""What a ChatFrontend announces (XEP-0030): XEP-0066, 0447, 0385, 0184, 0461 and 0308."""
OLDEST: Final = timedelta(days=1)
"""By how much a message may be delayed."""
UNSENT: Final = 3600.0
"""Seconds for which an answer waits for a stream."""
PER_HOUR: Final = 1 / 3600
"""How often a second a sender gets help, or the note about encryption, without asking for it."""
MOST_HELPED: Final = 10_000
"""How many senders that had help, or the note, in the last hour are remembered."""
LISTING: Final = 15
"""Tokens that a list may cost by its length: some servers read only 3 kB a second from us."""

_EVERYBODY: Final = "everybody"


@implementer(IDisco)
class ChatFrontend(OwnAddress):
    """Takes the files that people send in chats, and answers there.

    A handler of its own: an OOBResponder adds one to each stream that it serves. An application
    that wants other texts, or gives files, adds its own::

        responder = OOBResponder(fetcher, allow_from=allowed, reactor=reactor, messages=False)
        responder.attach(stream)
        ChatFrontend(responder, texts=MyTexts(), giver=giver).setHandlerParent(stream)

    Args:
        responder: The OOBResponder that fetches the files and knows who is allowed.
        texts: What is said; None for ChatTexts.
        giver: Gives files to those who ask for them; None to give none.

    Raises:
        TypeError: An argument has the wrong type. The message names it.
    """

    _log = Logger()

    def __init__(
        self,
        responder: FetchHost,
        *,
        texts: ChatTexts | None = None,
        giver: FileGiver | None = None,
    ) -> None:
        if not hasattr(responder, "fetches"):
            raise wrong_type("responder", "an OOBResponder", responder)
        if giver is not None and not callable(getattr(giver, "give", None)):
            raise wrong_type("giver", "a FileGiver or None", giver)
        OwnAddress.__init__(self)
        clock = responder.clock
        self._responder = responder
        self._texts = CheckedTexts(texts)
        self._giving = None if giver is None else ChatGiving(giver, self._texts)
        self._seen = Seen(clock)
        self._files = ChatFiles(responder, self._seen)
        self._outbox = Outbox(DeadlineQueue(clock))
        self._ignored = Buckets(clock, per_second=PER_SECOND, burst=FAILURE_BURST, most=1)
        self._receipts = Buckets(clock, per_second=PER_SECOND, burst=FAILURE_BURST)
        self._helped = Buckets(clock, per_second=PER_HOUR, burst=1, most=MOST_HELPED)
        self._noted = Buckets(clock, per_second=PER_HOUR, burst=1, most=MOST_HELPED)

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> list[DiscoFeature]:
        """Give the features of what is taken and answered, and none for a node."""
        return [] if nodeIdentifier else [DiscoFeature(feature) for feature in CHAT_FEATURES]

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Give no items: a chat has none."""
        return []

    def stream_refused(self, error: StreamRefused) -> bool:
        """Give up the answers that wait for a stream; see StreamHandler."""
        self._outbox.fail_waiting(error)
        # It is logged, and no Deferred of the application's has told it.
        return False

    def _stream_opened(self, stream: BoundStream) -> None:
        self.observe_stream("/message", self._on_message, 0, stream.xmlstream)
        self._outbox.stream_opened(stream)

    def _stream_lost(self, stream: BoundStream, reason: Failure) -> None:
        self._outbox.stream_lost()

    def _on_message(self, xmlstream: Any, stanza: Element) -> None:
        if self.bound_stream is None or self.bound_stream.xmlstream is not xmlstream:
            return  # an observer before us has taken us off the stream in this very dispatch
        # To read a message costs much more than this, so strangers' messages are not read.
        kind, sender = message_kind(stanza), sender_of(stanza)
        if kind in (None, "groupchat") or sender is None or self.covers(sender):
            return
        if sender not in self._responder.allowed:
            self._ignore(sender)
            return
        message = read_chat_message(stanza)
        me = self.bound_stream.me
        if message is not None and not _is_old(message) and self._seen.is_new(message, me):
            self._take(answerable(message, me))

    def _ignore(self, sender: JID) -> None:
        """Take nothing of a stranger. One who floods us must not fill the log."""
        if self._ignored.take(_EVERYBODY):
            self._log.debug(
                "Ignored a message of {sender}, who is not allowed", sender=shown(sender.full())
            )
        else:
            self._responder.limits.tally.dropped(sender.userhost())

    def _take(self, message: ChatMessage) -> None:
        """Do what a new message of somebody who is allowed asks for."""
        files = self._files.not_too_often(message, self._seen.new_files(message))
        if files:
            self._take_files(message, files)
        elif message.files:
            self._receive(message)
        elif message.encrypted:
            self._tell_once(message, self._noted, lambda: self._texts.say(ChatTexts.encrypted))
        else:
            self._take_text(message)

    def _take_files(self, message: ChatMessage, files: Sequence[OOBMessage]) -> None:
        fetches = self._files.fetches(message, files)
        if fetches or self._admits(message):
            self._receive(message)
            fetched = self._files.fetch_all(message, files)
            # Those that get no place cost nothing but the answer.
            free = fetches and fetched.called
            self._begin(self._answer_files(message.without_contents(), fetched, free=free))

    async def _answer_files(
        self, message: ChatMessage, fetched: Deferred[list[Outcome]], *, free: bool
    ) -> None:
        outcomes = await fetched
        if free and all(one.refused for one in outcomes) and not self._admits(message):
            return
        self._answer(message, answer_of(self._texts, message, outcomes))

    def _take_text(self, message: ChatMessage) -> None:
        command = read_command(message.body or "", gives_files=self._giving is not None)
        if command is None:
            self._tell_once(message, self._helped, self._help)
        elif command.word == HELP and message.is_reply:
            self._receive(message)
        elif self._admits(message, LISTING if command.word == LIST else 1):
            self._receive(message)
            self._begin(self._obey(message.without_contents(), command))

    async def _obey(self, message: ChatMessage, command: Command) -> None:
        """Answer a command."""
        giving, argument = self._giving, command.argument
        text: str | None
        if giving is None or command.word == HELP:
            text = self._help()
        elif command.word == LIST:
            text = await giving.list(argument)
            cost = 1 + len(text) // CHARACTERS
            self._responder.limits.refund_request(message.sender.userhost(), max(0, LISTING - cost))
        else:
            text = await giving.send(message.sender, argument or "", message.recipient)
        if text is not None:
            self._answer(message, text)

    def _help(self) -> str:
        return self._texts.say(
            ChatTexts.help,
            gives_files=self._giving is not None,
            max_size=self._responder.fetches.max_size,
        )

    def _tell_once(self, message: ChatMessage, told: Buckets, write: Callable[[], str]) -> None:
        """Answer what nobody asked for, unless that was said within the hour."""
        name = message.sender.userhost()
        if (
            not (message.body or message.encrypted)
            or message.is_reply
            or message.delayed is not None
            or not told.take(name)
        ):
            self._receive(message)
        elif self._admits(message):
            self._receive(message)
            self._answer(message, write())
        else:
            told.give_back(name)

    def _admits(self, message: ChatMessage, tokens: int = 1) -> bool:
        """Take tokens for an answer that costs us nothing else; the tally counts what is not."""
        sender = Sender(message.sender.userhost(), allowed=True, own=False)
        return self._responder.limits.judge_request(sender, tokens) is Verdict.ADMIT

    def _receive(self, message: ChatMessage) -> None:
        """Give a receipt (XEP-0184) to who asks for it."""
        receipt = build_receipt(message) if message.asks_receipt else None
        if receipt is not None and self._receipts.take(message.sender.userhost()):
            self._send(receipt)

    def _answer(self, message: ChatMessage, text: str) -> None:
        self._send(build_answer(message, text))

    def _send(self, stanza: Element) -> None:
        def unsent(failure: Failure) -> None:
            self._log.info(
                "Could not answer {recipient}: {why}",
                recipient=shown(stanza["to"]),
                why=failure.getErrorMessage(),
            )

        self._outbox.send([stanza], UNSENT, None).addErrback(unsent)

    def _begin(self, answering: Coroutine[Deferred[Any], Any, None]) -> None:
        Deferred.fromCoroutine(answering).addErrback(
            lambda failure: self._log.failure("A message got no answer", failure=failure)
        )


def _is_old(message: ChatMessage) -> bool:
    """Whether a message was delayed (XEP-0203) for so long that nobody waits for an answer."""
    since = message.delayed
    return since is not None and datetime.now(timezone.utc) - since > OLDEST
