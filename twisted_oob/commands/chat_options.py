"""The options of ``twistd oob-responder`` that are about its chat: messages, files to give, rooms.

Their values are found in the Options of ``options.py``, which has the others.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from twisted_oob.commands.checked_options import CheckedOptions
from twisted_oob.commands.modes import ACCOUNT, COMPONENT, EMBEDDED, check_mode, exclude, require
from twisted_oob.commands.values import (
    LISTEN,
    LISTEN_LOCALLY,
    SHARE,
    UPLOAD,
    VIA,
    parse_endpoint,
    parse_public_url,
    parse_room,
    parse_served_folder,
    parse_via,
)

DEFAULTS: Final = {
    "serve_listen": LISTEN,
    "serve_listen_embedded": LISTEN_LOCALLY,
    "via": VIA,
}
"""What the help says of defaults; see the DEFAULTS of ``options.py``."""

MODES: Final = {"--join": (ACCOUNT, COMPONENT)}
"""The modes that an option has a meaning in, if it has none in some."""

FLAGS: Final = ("no-messages", "talk-in-rooms")
"""The options that take no value."""

_OF_SERVE: Final = ("--serve-listen", "--public-url", "--via")
# What tells a port that others can be told.
_TCP: Final = ("tcp", "tcp6", "systemd")


class ChatOptions(CheckedOptions):
    """The options that are about the chat.

    ``serve`` is None if no files are given. ``join`` is a list of occupants: a room with our nick.
    """

    optFlags: ClassVar[Any] = [
        [
            "no-messages",
            None,
            "Take files from offers alone: answer no messages, and take no files from them.",
        ],
        [
            "talk-in-rooms",
            None,
            "Say in a room which files were stored, too, not only which could not be fetched.",
        ],
    ]

    def __init__(self) -> None:
        CheckedOptions.__init__(self)
        for name in ("serve", "serve-listen", "public-url"):
            self[name] = None
        self["via"] = VIA
        self["join"] = []

    def opt_serve(self, value: str) -> None:
        """Folder with files to give to those in --allow-from: in a chat, list shows them, and send
        NAME hands one over. On the embedded router, these are by default all who know its
        secret. [default: no files are given]"""
        self.set_value("serve", value, parse_served_folder)

    def opt_serve_listen(self, value: str) -> None:
        """Server endpoint of the share that people read the files of --serve from.
        [default: {serve_listen}; {serve_listen_embedded} on the embedded router]"""
        self.set_value("serve-listen", value, parse_endpoint)

    def opt_public_url(self, value: str) -> None:
        """Where people reach the share, for example by a reverse proxy that passes requests on to
        the port of --serve-listen. [default: http, at the address that the server sees us at]"""
        self.set_value("public-url", value, parse_public_url)

    def opt_via(self, value: str) -> None:
        """How a file of --serve gets its URL: share, upload (to the server), or auto: from the
        share with --public-url; without, by an upload if the server takes it, else from the share.
        [default: {via}]"""
        self.set_value("via", value, parse_via)

    def opt_join(self, value: str) -> None:
        """ROOM/NICK: keep the files that people share in this room (XEP-0045), in a folder with the
        room's name (repeatable). [default: no rooms]"""
        self.set_value("join", value, parse_room, repeatable=True)

    def check_chat(self, mode: str) -> None:
        """Check these options against each other, and fill in the defaults that depend on others.

        Args:
            mode: EMBEDDED, ACCOUNT or COMPONENT.

        Raises:
            ValueError: Two don't go together; the message names them.
        """
        given = self.given
        for option in _OF_SERVE:
            if option in given:
                require("--serve", given, because_of=option)
        if "--talk-in-rooms" in given:
            require("--join", given, because_of="--talk-in-rooms")
        # People ask for files by messages, and rooms have nothing else.
        exclude("--no-messages", "--serve", given)
        exclude("--no-messages", "--join", given)
        self._check_via(mode)
        self._check_rooms()

    def _check_via(self, mode: str) -> None:
        if self["via"] == UPLOAD:
            upload = f"--via {UPLOAD}"
            check_mode(mode, [upload], {upload: (ACCOUNT, COMPONENT)})
            for option in ("--serve-listen", "--public-url"):
                exclude(upload, option, {*self.given, upload})
        elif self["via"] == VIA and self["public-url"] is not None:
            self["via"] = SHARE
        kind = (self["serve-listen"] or LISTEN).partition(":")[0]
        if kind not in _TCP:
            require("--public-url", self.given, because_of=f"--serve-listen {kind}:...")
        if self["serve-listen"] is None:
            self["serve-listen"] = LISTEN_LOCALLY if mode == EMBEDDED else LISTEN

    def _check_rooms(self) -> None:
        seen: dict[str, str] = {}
        for occupant in self["join"]:
            room = occupant.userhost()
            if room in seen:
                raise ValueError(
                    f"--join names the room {room} twice: give it once, with one of the nicks "
                    f"{seen[room]} and {occupant.resource}"
                )
            seen[room] = occupant.resource
