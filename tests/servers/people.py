"""People with accounts on a real server, who run ``oob``: processes, and what they tell."""

from __future__ import annotations

import json
import os
import re
import sys

from tests.servers.servers import ACCOUNTS, DOMAIN
from tests.support.processes import ROOT, Program

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
OOB = "import sys; from twisted_oob.commands.oob import main; sys.exit(main())"


class Command(Program):
    """An ``oob`` process."""

    def __init__(self, *args, **options):
        self._stdout = b""
        super().__init__(*args, **options)

    def outReceived(self, data):
        self._stdout += data
        super().outReceived(data)

    @property
    def stdout(self):
        """What it printed there; ``output`` has it, too."""
        return self._stdout.decode()

    def told(self, kind):
        """Give its events of a kind, each without the kind."""
        events = [json.loads(line) for line in self.stdout.splitlines()]
        return [event for event in events if event.pop("event") == kind]


class Person:
    """Somebody with an account, a password in a file, and a folder where the command runs."""

    def __init__(self, reactor, server, folder, user):
        self.folder = folder / user
        self.folder.mkdir()
        self._reactor = reactor
        self._server = server
        self._user = user
        self._processes = []
        self.password(ACCOUNTS[user])

    def password(self, password):
        """Write another password to the file."""
        file = self.folder / "password"
        file.touch(mode=0o600)
        file.write_text(f"{password}\n")

    def file(self, name, size):
        """Make a file; gives what is in it."""
        content = os.urandom(size)
        (self.folder / name).write_bytes(content)
        return content

    def oob(self, command, *words):
        """Start the command; gives the process."""
        server = self._server
        process = Command(
            self._reactor,
            [
                *(sys.executable, "-c", OOB, command),
                *("--jid", f"{self._user}@{DOMAIN}", "--password-file", "password"),
                *("--ca-file", str(server.ca_file)),
                *("--host", "127.0.0.1", "--port", str(server.client_port), *words),
            ],
            self.folder,
            # No configuration of whoever runs the tests is read.
            environment={"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(self.folder)},
        )
        self._processes.append(process)
        return process

    async def send(self, *words):
        """Send, and wait for the end; gives the exit status, and the events of the ends."""
        process = self.oob("send", "--json", "--timeout", "15", *words)
        status = await process.finished()
        assert "Traceback" not in process.output, process.output
        ends = process.told("end")
        bad = sum(end["outcome"] not in {"received", "fetched", "sent"} for end in ends)
        assert process.told("summary") == [{"ok": len(ends) - bad, "failed": bad}]
        return status, ends

    async def receive(self, *words):
        """Start to receive from alice; gives the process."""
        words = ("--json", "--from", ALICE, "--allow-network", "127.0.0.0/8", *words)
        process = self.oob("receive", *words)
        await process.printed(re.escape(f"{self._user}@{DOMAIN}/oob"))
        return process

    async def stop(self):
        for process in self._processes:
            if not process.ended.called:
                process.kill("KILL")
                await process.ended
