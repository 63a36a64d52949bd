"""What a command has to tell: one line of JSON for programs, or one sentence for people.

Both are made here, of the same event, and go to standard output. Each line is flushed, as a program
that reads a pipe wants it at once. Nothing else writes there.

The keys of an event's object are the names of its fields in their order, after ``event``. They and
their order are a promise. A value that is not known is null.

Names, descriptions, JIDs and URLs come from strangers. No character of theirs that could steer a
terminal is written as it is: JSON has it as an escape, a sentence shows U+FFFD in its place. A URL
is whole in JSON, which the user asked for; a sentence shows it without what may be secret in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any, BinaryIO, ClassVar, Final
from urllib.parse import unquote

from twisted_oob._shown import human_rate, human_size, human_time, shown_jid, shown_name
from twisted_oob._urls import shown_text, shown_url
from twisted_oob.errors import NOT_FOUND, REJECT, UNAVAILABLE, WAIT
from twisted_oob.transfer.delivery import FETCHED, RECEIVED, SENT, TIMEOUT, UPLOAD_FAILED

_KEYS: Final = {"sender": "from"}
"""The keys that can't be the names of fields in Python."""


class OutputClosed(Exception):
    """Standard output can't be written to any more.

    Args:
        reason: Why, as a full disk; None if nobody reads it, as after ``| head -1``.

    Attributes:
        reason: As the argument.
    """

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class End:
    """How a file or URL that was sent ended.

    Attributes:
        file: The path as it was given; None for a URL.
        to: The full or bare JID that got it.
        url: The URL that was sent; None if there was not one yet.
        via: How the file is served: ``share``, ``upload`` or ``url``; None if it was not yet.
        how: What was sent: ``iq`` or ``message``; None if nothing was.
        outcome: One word, as in ``Delivery``.
        condition: The condition of the peer's error (RFC 6120 section 8.3.3).
        text: Why it failed, for a person.
        bytes: The size of the file.
        sha256: Its SHA-256 in hex.
        seconds: How long it took.
    """

    event: ClassVar[str] = "end"

    file: str | None
    to: str
    url: str | None
    via: str | None
    how: str | None
    outcome: str
    condition: str | None
    text: str | None
    bytes: int | None
    sha256: str | None
    seconds: float

    def sentence(self) -> str:
        """Say it in one line."""
        form = _OUTCOMES[self.outcome]
        if (self.outcome, self.how) == (TIMEOUT, "message"):
            form = "{to} did not fetch all of it in time"
        said = form.format(to=shown_jid(self.to))
        why = _why(self.text, self.condition) if self.outcome not in ARRIVED else ""
        taken = _taken(self.bytes, self.seconds) if self.outcome in _WHOLE else ""
        return f"{self.what()}: {said}{taken}{why}"

    def what(self) -> str:
        """Name the file or URL."""
        return shown_url(self.url or "") if self.file is None else shown_name(self.file)


@dataclass(frozen=True, kw_only=True)
class Lost(End):
    """How it ended if the stream did: nobody knows whether it arrived."""

    def sentence(self) -> str:
        """Say it in one line."""
        return f"{self.what()}{_why(self.text, None)}"


_WHOLE: Final = frozenset({RECEIVED, FETCHED})
ARRIVED: Final = _WHOLE | {SENT}
"""The outcomes that count as a success."""
_OUTCOMES: Final = {
    RECEIVED: "{to} has it",
    FETCHED: "{to} fetched all of it",
    SENT: "sent to {to}",
    NOT_FOUND: "{to} could not fetch it",
    REJECT: "{to} did not take it",
    UNAVAILABLE: "nobody takes it at {to}",
    WAIT: "{to} can't take it now; try again later",
    TIMEOUT: "{to} gave no answer in time",
    UPLOAD_FAILED: "not sent to {to}, as the upload failed",
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How many of what was sent arrived, and how many did not."""

    event: ClassVar[str] = "summary"

    ok: int
    failed: int

    def sentence(self) -> str:
        """Say it in one line."""
        return f"{self.ok} of {self.ok + self.failed} arrived"


@dataclass(frozen=True, kw_only=True)
class _Offered:
    """What was offered to us, and what became of it.

    Attributes:
        sender: Who offered it, a full JID; None if that was our own account or server.
        url: Where it was said to be.
        desc: What was said of it.
        file: The path that it has now; None if it failed.
        bytes: Its size; if it failed, the one that was said, if one was.
        sha256: Its SHA-256 in hex; if it failed, the one that was said, if one was.
        seconds: How long the transfer took, without the time before somebody said yes.
        condition: The condition of the error that the sender was told; None if it was received.
        text: Why it failed, for a person.
    """

    event: ClassVar[str]

    sender: str | None
    url: str
    desc: str | None
    file: str | None
    bytes: int | None
    sha256: str | None
    seconds: float
    condition: str | None = None
    text: str | None = None

    def _from(self) -> str:
        return "" if self.sender is None else f" from {shown_jid(self.sender)}"


@dataclass(frozen=True, kw_only=True)
class FileReceived(_Offered):
    """A file that is whole and has its name."""

    event: ClassVar[str] = "received"

    def sentence(self) -> str:
        """Say it in one line."""
        taken = _taken(self.bytes, self.seconds)
        return f"{shown_name(self.file or '')}: received{self._from()}{taken}"


@dataclass(frozen=True, kw_only=True)
class FileFailed(_Offered):
    """A file that was refused or could not be fetched; nothing of it is left."""

    event: ClassVar[str] = "failed"

    def sentence(self) -> str:
        """Say it in one line."""
        why = _why(self.text, self.condition)
        return f"{_name_in(self.url)}: not received{self._from()}{why}"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What is there once a stream is up.

    Attributes:
        jid: Our address: a full JID, or the domain of a component.
        server: The server's domain; None for a component, which is not told.
        address: The address and the port that we are connected to.
        upload: The JID of the upload service; None if there is not one.
        max_size: The bytes of the largest file that it takes; None if it does not tell.
        ping_ms: How long a ping takes, in milliseconds.
    """

    event: ClassVar[str] = "check"

    jid: str
    server: str | None
    address: str
    upload: str | None
    max_size: int | None
    ping_ms: float

    def sentence(self) -> str:
        """Say it, each in a line of its own."""
        server = "" if self.server is None else f"{shown_text(self.server)} at "
        limit = "" if self.max_size is None else f", files of at most {human_size(self.max_size)}"
        upload = "not offered" if self.upload is None else f"{shown_text(self.upload)}{limit}"
        return "\n".join(
            (
                f"address:     {shown_jid(self.jid)}",
                f"server:      {server}{self.address}",
                f"upload:      {upload}",
                f"round trip:  {self.ping_ms:.1f} ms",
            )
        )


Event = End | Summary | FileReceived | FileFailed | Checked


class Reporter:
    """Writes events to standard output, from one thread only.

    Args:
        as_json: Whether to write JSON; else it is sentences.
        quiet: Whether to leave out sentences; JSON is written all the same.
        aside: Makes a context for each line that is written, such as one that takes progress bars
            away meanwhile.
        output: Where to write; by default standard output.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        quiet: bool = False,
        aside: Callable[[], AbstractContextManager[object]] = nullcontext,
        output: BinaryIO | None = None,
    ) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._aside = aside
        self._output = sys.stdout.buffer if output is None else output
        # People's own encoding; a program that reads JSON gets UTF-8 (RFC 8259 section 8.1).
        self._encoding = getattr(sys.stdout, "encoding", None) or "utf-8"

    def tell(self, event: Event) -> None:
        """Write an event.

        Raises:
            OutputClosed: Nobody reads it, or it can't be written.
        """
        if self._as_json:
            # A file name that is not UTF-8 has lone surrogates, which JSON can only escape.
            line = to_json(event).encode("utf-8", "backslashreplace")
        elif self._quiet:
            return
        else:
            line = event.sentence().encode(self._encoding, "replace")
        try:
            with self._aside():
                self._output.write(line + b"\n")
                self._output.flush()
        except OSError as error:
            end_output()
            gone = isinstance(error, BrokenPipeError)
            raise OutputClosed(None if gone else error.strerror) from None


def to_json(event: Event) -> str:
    """Make one line of JSON of an event; what is not ASCII stays readable."""
    table: dict[str, Any] = {"event": event.event}
    for field in fields(event):
        value = getattr(event, field.name)
        table[_KEYS.get(field.name, field.name)] = (
            round(value, 3) if isinstance(value, float) else value
        )
    text = json.dumps(table, ensure_ascii=False)
    # Outside of strings everything is printable. DEL, C1 and marks of direction are not, but JSON
    # does not require that they are escaped.
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _name_in(url: str) -> str:
    """Name the file that a URL leads to; the rest of its path may be a secret that gives access."""
    name = unquote(re.split("[?#]", url, maxsplit=1)[0].rpartition("/")[2])
    return shown_name(name) if name else shown_url(url)


def _taken(size: int | None, seconds: float) -> str:
    if size is None:
        return ""
    # The rate of a small file says how long the peers took to talk.
    rate = f", {human_rate(size / seconds)}" if seconds >= 1 else ""
    return f" ({human_size(size)} in {human_time(seconds)}{rate})"


def _why(text: str | None, condition: str | None) -> str:
    reason = text or condition
    return "" if not reason else f": {shown_text(reason)}"


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def end_output() -> None:
    """Write no more to standard output.

    What is still buffered goes nowhere, or Python would complain of it when it ends.
    """
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
