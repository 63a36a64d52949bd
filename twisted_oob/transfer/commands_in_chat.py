"""Commands in a chat: what a person may write besides sending files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HELP: Final = "help"
LIST: Final = "list"
SEND: Final = "send"

_COMMANDS: Final = frozenset((HELP, LIST, SEND))
_WORDS: Final = 2


@dataclass(frozen=True, slots=True)
class Command:
    """A command that somebody wrote.

    Attributes:
        word: HELP, LIST or SEND.
        argument: The pattern or name that follows it; None if nothing does.
    """

    word: str
    argument: str | None = None


def read_command(text: str, *, gives_files: bool) -> Command | None:
    """Read a command: its first word, in letters of either case, perhaps with a slash before it.

    Args:
        text: What somebody wrote.
        gives_files: Whether LIST and SEND are commands.

    Returns:
        The command; HELP for a SEND that names no file. None if the text is not a command.
    """
    words = text.split(None, 1)
    word = words[0].removeprefix("/").lower() if words else ""
    if word not in _COMMANDS or not (gives_files or word == HELP):
        return None
    argument = words[1].strip() if len(words) == _WORDS else None
    if word == SEND and argument is None:
        return Command(HELP)
    return Command(word, argument)
