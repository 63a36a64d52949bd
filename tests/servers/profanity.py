"""profanity, a chat client: what somebody types into it, and what its screen shows.

The terminal is a VT52: it has no colours, no attributes and no scroll regions, so a page of code
is enough to know what is on its screen.
"""

from __future__ import annotations

import fcntl
import pty
import re
import shutil
import struct
import termios
import textwrap

from OpenSSL.crypto import FILETYPE_PEM, load_certificate
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError

from tests.servers.servers import ACCOUNTS, DOMAIN
from tests.support.processes import Program, missing

# A row holds every line that is waited for: what profanity breaks, nobody finds.
ROWS, COLUMNS = 50, 200
USER = "profanity"
PATIENCE = 30

_UPLOADS = f"upload.{DOMAIN}"
# It tells the desktop of whoever runs the tests nothing.
_PROFRC = """
    [connection]
    tls.certpath={certificates}

    [notifications]
    message=false
    room=false
    typing=false
    sub=false
    invite=false
"""
_ACCOUNTS = """
    [test]
    enabled=true
    jid={user}@{domain}
    resource=terminal
    server=127.0.0.1
    port={port}
    password={password}
    tls.policy=force
"""


def find_profanity():
    """Give where profanity is, or end the test."""
    program = shutil.which("profanity")
    if program is None:
        missing("profanity", "the Debian package profanity")
    return program


class Profanity:
    """profanity, logged in to a server; ``screen`` is what it shows.

    Nothing is read of the configuration of whoever runs the tests.

    Args:
        reactor: The reactor.
        server: A real server.
        folder: An empty folder, for what it keeps.
        user: Who logs in.
    """

    def __init__(self, reactor, server, folder, user=USER):
        self._command = [find_profanity(), "-a", "test"]
        self._reactor = reactor
        self._folder = folder
        self._program = None
        self.screen = Screen(reactor)
        certificates = folder / "certificates"
        certificates.mkdir()
        authority = server.ca_file.read_bytes()
        # The name by which OpenSSL finds it; libcurl takes all that is there.
        name = f"{load_certificate(FILETYPE_PEM, authority).subject_name_hash():08x}.0"
        (certificates / name).write_bytes(authority)
        self._write("config/profanity/profrc", _PROFRC, certificates=certificates)
        self._write(
            "data/profanity/accounts",
            _ACCOUNTS,
            user=user,
            domain=DOMAIN,
            port=server.client_port,
            password=ACCOUNTS[user],
        )

    async def start(self):
        """Start it, and wait until it has logged in; gives this client."""
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
        environment = {
            "TERM": "vt52",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self._folder),
            "XDG_CONFIG_HOME": str(self._folder / "config"),
            "XDG_DATA_HOME": str(self._folder / "data"),
        }
        self._program = _OnScreen(
            *(self._reactor, self._command, self._folder, self.screen),
            environment=environment,
            terminal=(ours, its, ""),
        )
        await self.screen.shows("logged in successfully")
        # It asks each service what it is, and uploads to none before that one has answered.
        self.types(f"/disco items {DOMAIN}")
        await self.screen.shows(rf"- +{_UPLOADS}")
        self.types(f"/disco info {_UPLOADS}")
        await self.screen.shows("urn:xmpp:http:upload:0")
        return self

    def types(self, line):
        """Type a line, with return."""
        self._program.types(f"{line}\r")

    async def stop(self):
        """End it."""
        if self._program is not None and not self._program.ended.called:
            await self._program.stop()

    def _write(self, path, text, **values):
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).format(**values), encoding="utf-8")


class _OnScreen(Program):
    """A program whose output goes to a Screen."""

    def __init__(self, reactor, command, folder, screen, **options):
        self._screen = screen
        super().__init__(reactor, command, folder, **options)

    def outReceived(self, data):
        super().outReceived(data)
        self._screen.write(data)

    errReceived = outReceived


class Screen:
    """The screen of a VT52 with ``ROWS`` and ``COLUMNS``."""

    _sequence = re.compile(
        rb"\x1bY(?P<row>.)(?P<column>.)"
        rb"|\x1b(?P<command>[A-Z=>])"
        rb"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
        rb"|(?P<character>[\x20-\x7e]|[\xc2-\xf4][\x80-\xbf]+)",
        re.DOTALL,
    )

    def __init__(self, reactor):
        self._reactor = reactor
        self._lines = [[" "] * COLUMNS for _ in range(ROWS)]
        self._row = self._column = 0
        self._rest = b""
        self._waiting = []

    @property
    def lines(self):
        """What stands in each line, without the spaces at its end."""
        return ["".join(line).rstrip() for line in self._lines]

    def __str__(self):
        return "\n".join(line for line in self.lines if line)

    def shows(self, pattern):
        """Wait until something in a line matches; gives the match.

        An AssertionError has what is on the screen instead.
        """
        found = Deferred()
        self._waiting.append((pattern, found))
        self._look()

        def say(failure):
            failure.trap(DeferredTimeoutError)
            raise AssertionError(f"no {pattern!r} on the screen:\n{self}")

        return found.addTimeout(PATIENCE, self._reactor).addErrback(say)

    def write(self, data):
        """Show what a program wrote."""
        data = self._rest + data
        end = 0
        for match in self._sequence.finditer(data):
            # What is between two matches is broken; what follows the last one may become whole.
            end = match.end()
            if match["row"]:
                self._row = min(match["row"][0] - 32, ROWS - 1)
                self._column = min(match["column"][0] - 32, COLUMNS - 1)
            elif match["command"]:
                self._obey(match["command"])
            elif match["control"]:
                self._control(match["control"])
            else:
                self._lines[self._row][self._column] = match["character"].decode(errors="replace")
                self._column = min(self._column + 1, COLUMNS - 1)
        self._rest = data[end:]
        self._look()

    def _obey(self, command):
        if command == b"H":
            self._row = self._column = 0
        elif command in b"JK":
            self._lines[self._row][self._column :] = [" "] * (COLUMNS - self._column)
            if command == b"J":
                for line in self._lines[self._row + 1 :]:
                    line[:] = [" "] * COLUMNS
        elif command == b"I" and self._row == 0:
            self._lines.insert(0, [" "] * COLUMNS)
            del self._lines[-1]
        elif command in b"ABCDI":
            rows, columns = {b"B": (1, 0), b"C": (0, 1), b"D": (0, -1)}.get(command, (-1, 0))
            self._row = max(0, min(self._row + rows, ROWS - 1))
            self._column = max(0, min(self._column + columns, COLUMNS - 1))

    def _control(self, control):
        if control == b"\r":
            self._column = 0
        elif control == b"\b":
            self._column = max(0, self._column - 1)
        elif control == b"\t":
            self._column = min(self._column // 8 * 8 + 8, COLUMNS - 1)
        elif control == b"\n" and self._row == ROWS - 1:
            del self._lines[0]
            self._lines.append([" "] * COLUMNS)
        elif control == b"\n":
            self._row += 1

    def _look(self):
        lines = self.lines if self._waiting else []
        for wanted in list(self._waiting):
            pattern, found = wanted
            match = next(filter(None, (re.search(pattern, line) for line in lines)), None)
            if match:
                self._waiting.remove(wanted)
                found.callback(match)
