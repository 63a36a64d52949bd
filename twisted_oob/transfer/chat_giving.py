"""ChatGiving: what is said to who asks for files in a chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError

from twisted_oob._shown import shown_name
from twisted_oob.errors import NOT_FOUND, REJECT, UNAVAILABLE, WAIT, StreamRefused
from twisted_oob.transfer.chat_texts import BROKEN_OFF, UNEXPECTED, ChatTexts
from twisted_oob.transfer.delivery import (
    RECEIVED,
    TIMEOUT,
    UPLOAD_FAILED,
    CancelledOnceSent,
    Delivery,
)

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.transfer.checked_texts import CheckedTexts
    from twisted_oob.transfer.giver import FileGiver

_REASONS: Final = {
    NOT_FOUND: "your client could not retrieve it",
    REJECT: "your client does not want it",
    UNAVAILABLE: "your client does not take it at the moment",
    WAIT: "your client is busy; try again later",
    TIMEOUT: "it took too long; try again later",
    UPLOAD_FAILED: "the server did not take it",
}
"""Why a file was not sent, by the outcome of its Delivery."""
_NO_STREAM: Final = "the connection was lost; try again later"
_UNREADABLE: Final = "it can't be read"


class ChatGiving:
    """Lists and sends the files of a FileGiver, and tells how that ended.

    Args:
        giver: Has the files.
        texts: How it is told.
    """

    _log = Logger()

    def __init__(self, giver: FileGiver, texts: CheckedTexts) -> None:
        self._giver = giver
        self._texts = texts

    async def list(self, pattern: str | None) -> str:
        """List the files, and give the answer.

        Args:
            pattern: Which of them; None for all.
        """
        try:
            files, more = await self._giver.list(pattern)
        except (OSError, StanzaError, CancelledError):
            # The giver has logged why.
            return self._texts.say(ChatTexts.not_listed)
        except Exception:
            self._log.failure("Could not list the files")
            return self._texts.say(ChatTexts.not_listed)
        if files:
            return self._texts.say(ChatTexts.listing, files, more)
        return self._texts.say(ChatTexts.no_files, pattern and shown_name(pattern))

    async def send(self, recipient: JID, name: str, sender: JID | None) -> str | None:
        """Send a file, and give the answer.

        Args:
            recipient: The full JID that asked for it.
            name: The file, as it was asked for.
            sender: The address that was asked; None for that of the stream.

        Returns:
            The answer; None if the file has gone out in a message, which says it all.
        """
        try:
            delivery = await self._giver.give(recipient, name, sender=sender)
        except FileNotFoundError:
            return self._texts.say(ChatTexts.no_such_file, shown_name(name))
        except OSError:  # the giver has logged why
            reason: str | None = _UNREADABLE
        except StanzaError as error:
            reason = error.text or UNEXPECTED
        except CancelledOnceSent:
            return None
        except CancelledError:
            reason = BROKEN_OFF
        except (ConnectionLost, ConnectionDone, StreamRefused):
            reason = _NO_STREAM
        except Exception:
            self._log.failure("Could not send {name}", name=shown_name(name))
            reason = UNEXPECTED
        else:
            if delivery.outcome == RECEIVED:
                return self._texts.say(ChatTexts.handed_over, shown_name(name), delivery.size or 0)
            reason = _why_not_sent(delivery)
        if reason is None:
            return None
        return self._texts.say(ChatTexts.not_sent, shown_name(name), reason)


def _why_not_sent(delivery: Delivery) -> str | None:
    """Tell why a file did not get to its recipient; None if it went out in a message.

    A message that came back says nothing: a text would come back, too.
    """
    if delivery.how == "message" and delivery.url is not None and delivery.outcome != UPLOAD_FAILED:
        return None
    if delivery.outcome == UPLOAD_FAILED and delivery.text:
        return delivery.text
    return _REASONS.get(delivery.outcome, UNEXPECTED)
