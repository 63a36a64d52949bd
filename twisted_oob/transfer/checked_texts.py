"""CheckedTexts: an application's ChatTexts, of which only what can do no harm is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec

from twisted.logger import Logger

from twisted_oob._checks import wrong_type
from twisted_oob.transfer.chat_texts import ChatTexts
from twisted_oob.transfer.commands_in_chat import read_command
from twisted_oob.xmpp.characters import replace_non_xml

MOST_CHARACTERS: Final = 20_000
"""What is longer is cut: servers close the stream for stanzas that are too large."""

# Of any scheme. A reader of messages takes http and https only, but some client may take others.
_IN_URLS: Final = "://"
# The scheme is bounded, or the time would grow with the square of a text's length.
_URL: Final = re.compile(r"[A-Za-z0-9+.\-]{0,20}://\S*")
_ENGLISH: Final = ChatTexts()

_P = ParamSpec("_P")


class CheckedTexts:
    """Says what a ChatTexts says, unless that is faulty: then what ChatTexts itself says.

    A text with a URL would be a file to another ChatFrontend, and one that begins with a command
    would be obeyed by it. Two of them would then never stop, so neither is ever said.

    Args:
        texts: The application's; None for English.

    Raises:
        TypeError: ``texts`` is something else.
    """

    _log = Logger()

    def __init__(self, texts: ChatTexts | None = None) -> None:
        if texts is not None and not isinstance(texts, ChatTexts):
            raise wrong_type("texts", "a ChatTexts or None", texts)
        self._texts = _ENGLISH if texts is None else texts

    def say(
        self,
        method: Callable[Concatenate[ChatTexts, _P], str],
        *args: _P.args,
        **named: _P.kwargs,
    ) -> str:
        """Give a text.

        Args:
            method: Which, as a method of ChatTexts: ``say(ChatTexts.stored, "a.txt", 9)``.
            args: Its positional arguments.
            named: Its keyword arguments.

        Returns:
            A text that is not empty, has no URL, is no command, and can be sent.
        """
        name = method.__name__
        # What a text repeats of others, such as a reason, is no fault of the text.
        cleaned = [_URL.sub("…", each) if isinstance(each, str) else each for each in args]
        try:
            text = getattr(self._texts, name)(*cleaned, **named)
            fault = _fault_of(text)
            if fault is None:
                return _sendable(text)
            self._log.error(
                "The text of {name} was not said, but that of ChatTexts: it {fault}",
                name=name,
                fault=fault,
            )
        except Exception:
            self._log.failure("The text of {name} was not said, but that of ChatTexts", name=name)
        return _URL.sub("…", _sendable(getattr(_ENGLISH, name)(*cleaned, **named)))


def _fault_of(text: object) -> str | None:
    """Tell what is wrong with a text; None for nothing."""
    if not isinstance(text, str):
        return f"is no str, but a {type(text).__name__}"
    if not text.strip():
        return "is empty"
    if _IN_URLS in text:
        return "holds a URL, which another responder would fetch"
    if read_command(text, gives_files=True) is not None:
        return "is a command, which another responder would obey"
    return None


def _sendable(text: str) -> str:
    return replace_non_xml(text[:MOST_CHARACTERS])
