"""ChatTexts: every sentence that is said in a chat, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from twisted_oob._shown import human_size

if TYPE_CHECKING:
    from twisted_oob.files.served_folder import ServedFile

BROKEN_OFF: Final = "it was broken off; try again later"
"""The reason if a file's way was cancelled."""
UNEXPECTED: Final = "something went wrong here"
"""The reason if it is for nobody but the operator, who finds it in the log."""


class ChatTexts:
    """What the responder says to people, in chats, in rooms and by its presence.

    An application that wants other words, or another language, overrides methods of a subclass, and
    gives an instance of that to its ChatFrontend. Each method returns a text for people, which is
    not empty. Names of files are safe to show when they come here. Reasons come in English, as
    errors and other servers have them.

    What a method returns can't do harm: if it raises, or returns what is not a text, what holds a
    URL, or what another ChatFrontend would take for a command, then that is logged and the text of
    this class is said. Without this, two responders could go on talking to each other for ever.
    """

    def stored(self, name: str, size: int) -> str:
        """Say that a file is kept.

        Args:
            name: Its name in our folder.
            size: Its size in bytes.
        """
        return f"stored {name} ({human_size(size)})"

    def failed(self, name: str, reason: str) -> str:
        """Say that a file could not be fetched.

        Args:
            name: The name that its sender gave it.
            reason: Why, such as ``HTTP status 404``.
        """
        return f"could not fetch {name}: {reason}"

    def too_many(self, left_out: int, most: int) -> str:
        """Say that a message names more files than are fetched of one message.

        Args:
            left_out: How many were not fetched.
            most: How many of one message are fetched at the most.
        """
        files = "1 file" if left_out == 1 else f"{left_out} files"
        return f"left out {files}: send at most {most} in one message"

    def help(self, *, gives_files: bool, max_size: int | None) -> str:
        """Say what there is to say to the responder.

        Args:
            gives_files: Whether ``list`` and ``send`` are there.
            max_size: The largest file that it takes, in bytes; None if that is not known.
        """
        limit = "" if max_size is None else f" of at most {human_size(max_size)}"
        lines = [f"You can send me a file{limit}, or a link to one, and I keep it."]
        if gives_files:
            lines += [
                "list: tells what files I have; list *.pdf tells only some of them",
                "send NAME: sends you one of them",
            ]
        lines.append("help: tells this")
        return "\n".join(lines)

    def listing(self, files: Sequence[ServedFile], more: int) -> str:
        """Say what files there are to be had.

        Args:
            files: The newest first; at least one.
            more: How many there are beside these.
        """
        lines = ["I have these files:"]
        lines += [f"{file.name} ({human_size(file.size)}{_day(file.modified)})" for file in files]
        if more:
            lines.append(f"and {more} more: list PATTERN shows some, such as list *.pdf")
        return "\n".join(lines)

    def no_files(self, pattern: str | None) -> str:
        """Say that there are no files to be had.

        Args:
            pattern: What their names should have been like; None if all were asked for.
        """
        return "there are no files" if pattern is None else f"there are no files like {pattern}"

    def not_listed(self) -> str:
        """Say that the files can't be listed, for a reason that only the operator is told."""
        return "could not list the files; try again later"

    def no_such_file(self, name: str) -> str:
        """Say that no file of this name is to be had.

        Args:
            name: The name that was asked for.
        """
        return f"there is no file {name}"

    def not_sent(self, name: str, reason: str) -> str:
        """Say that a file could not be sent.

        Args:
            name: Its name in our folder.
            reason: Why.
        """
        return f"could not send {name}: {reason}"

    def handed_over(self, name: str, size: int) -> str:
        """Say that a file was sent, and has arrived.

        Args:
            name: Its name in our folder.
            size: Its size in bytes.
        """
        return f"sent {name} ({human_size(size)})"

    def encrypted(self) -> str:
        """Say that a message is encrypted, so that nobody here can read it."""
        return (
            "I can't read encrypted messages: turn encryption off for this chat, and send it again"
        )

    def status(self, running: int) -> str:
        """Say in the presence how busy the responder is.

        Args:
            running: How many transfers run now.
        """
        if not running:
            return "ready"
        return "busy: 1 transfer" if running == 1 else f"busy: {running} transfers"


def _day(modified: float) -> str:
    """Give the day of a time in seconds since the epoch (UTC), behind a comma."""
    try:
        return f", {datetime.fromtimestamp(modified, timezone.utc).date()}"
    except (ValueError, OverflowError, OSError):  # a file's time may lie beyond the year 9999
        return ""
