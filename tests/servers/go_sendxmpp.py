"""go-sendxmpp, which sends one message from a shell and ends, or listens for those of others."""

from __future__ import annotations

import os
import re
import shutil

from tests.servers.servers import ACCOUNTS, DOMAIN
from tests.support.processes import Program, missing
from tests.support.waiting import until

USER = "sendxmpp"
JID = f"{USER}@{DOMAIN}"


def find_go_sendxmpp():
    """Give where go-sendxmpp is, or end the test."""
    program = shutil.which("go-sendxmpp")
    if program is None:
        missing("go-sendxmpp", "the Debian package go-sendxmpp")
    return program


class _Listener(Program):
    """A go-sendxmpp that listens. With --debug it tells on stderr what its stream brings.

    ``output``: what it printed of messages. ``online``: whether others see it. ``left``: how many
    other sessions of the account it has seen end.
    """

    online = False
    left = 0

    def __init__(self, *args, **options):
        self._stream = ""
        super().__init__(*args, **options)

    def errReceived(self, data):
        self._stream += data.decode(errors="replace")
        # Its own comes back to it, too.
        self.online = "<presence" in self._stream
        self.left = len(re.findall(r"<presence[^>]* type='unavailable'", self._stream))


class GoSendxmpp:
    """Somebody who runs go-sendxmpp; each message is a process and a session of its own.

    Nothing is read of the configuration of whoever runs the tests.

    Args:
        reactor: The reactor.
        server: A real server.
        folder: An empty folder, where it runs.
    """

    def __init__(self, reactor, server, folder):
        self.folder = folder
        self._program = find_go_sendxmpp()
        self._reactor = reactor
        self._processes = []
        self._listener = None
        self._environment = {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "SSL_CERT_FILE": str(server.ca_file),
        }
        configuration = folder / "sendxmpprc"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"username: {JID}\n"
            f"password: {ACCOUNTS[USER]}\n"
            f"jserver: 127.0.0.1:{server.client_port}\n",
            encoding="utf-8",
        )

    def file(self, name, size):
        """Make a file; gives what is in it."""
        content = os.urandom(size)
        (self.folder / name).write_bytes(content)
        return content

    async def listen(self):
        """Begin to listen, as another resource of the account."""
        self._listener = self._run(_Listener, "--debug", "--listen")
        await until(lambda: self._listener.online)

    def heard(self, pattern):
        """Wait until the listener prints something that matches; gives the match."""
        return self._listener.printed(pattern)

    async def upload(self, file, recipient):
        """Send a file, and wait until the server knows that its sender has gone."""
        await self._gone(self._run(Program, "--http-upload", file, recipient))

    async def write(self, text, recipient):
        """Send a text, and wait until the server knows that its sender has gone."""
        process = self._run(Program, recipient)
        process.types(text)
        process.transport.closeStdin()
        await self._gone(process)

    async def stop(self):
        """End those that run."""
        for process in self._processes:
            if not process.ended.called:
                await process.stop()

    async def _gone(self, process):
        left = self._listener.left
        assert await process.finished() == 0, process.output
        await until(lambda: self._listener.left > left)

    def _run(self, kind, *words):
        command = [self._program, "--file", "sendxmpprc", *words]
        process = kind(self._reactor, command, self.folder, environment=self._environment)
        self._processes.append(process)
        return process
