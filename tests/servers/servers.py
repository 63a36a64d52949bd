"""Real XMPP servers, each a process on loopback with a folder of its own.

Both serve the domain ``DOMAIN``, with a certificate of the test CA. Clients must use TLS; the
accounts are those of ``ACCOUNTS``. The components of ``COMPONENTS`` share ``SECRET``. Files can be
uploaded to both (XEP-0363), over https with the same certificate. Neither speaks to other servers.
"""

from __future__ import annotations

import os
import shutil
import socket
import string
from itertools import cycle
from pathlib import Path
from typing import ClassVar

from tests.support.processes import Program, missing

DOMAIN = "xmpp.test"
# Whoever uploads much, so that a quota ends it, is "greedy". The bots take files from people.
USERS = (
    *("ours", "slixmpp", "anyevent", "alice", "bob", "greedy"),
    *("profanity", "sendxmpp", "bot", "otherbot"),
)
ACCOUNTS = {user: f"password of {user}" for user in USERS}
# No name that may have an address of IPv6, too: nothing listens there.
HTTP_HOST = "127.0.0.1"
CERTIFICATE_NAMES = [DOMAIN, HTTP_HOST]
SECRET = "the components' secret"
PEER_COMPONENT = f"slixmpp.{DOMAIN}"
# A domain is used again only when the server has long seen its last stream's end.
OWN_COMPONENTS = [f"ours{number}.{DOMAIN}" for number in range(8)]
COMPONENTS = [PEER_COMPONENT, *OWN_COMPONENTS]

_CONFIGURATIONS = Path(__file__).parent / "configurations"
_ATTEMPTS = 5


def _free_ports(count):
    """Find ports that nobody uses now; until they are bound, somebody may."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Server:
    """A server program; its ports stay the same over restarts.

    ``client_port``: for clients, with STARTTLS. ``direct_port``: the same, with direct TLS.
    ``component_port``: for components. ``http_port``: https on ``HTTP_HOST``, for uploads.
    ``newest_tls``: 1.2 or 1.3. ``upload_limit``: the largest file that can be uploaded, in bytes.
    ``upload_quota``: how much an account can upload in a day, in bytes, or None.
    """

    name: str
    ready: str
    """What it prints once all of its ports listen."""
    port_taken: str
    """What it prints if another program has one of them."""
    newest_tls = "1.3"
    upload_limit = 100_000
    upload_quota: int | None
    _environment: ClassVar[dict[str, str]] = {}

    def __init__(self, reactor, folder, certificate, ca_file):
        self.folder = folder
        self.ca_file = ca_file
        self._certificate = certificate
        self._reactor = reactor
        self._program = None
        self._components = cycle(OWN_COMPONENTS)
        self._find()

    def component(self):
        """Give the domain of a component that no stream has at the moment."""
        return next(self._components)

    async def start(self):
        """Choose ports and start; an AssertionError holds what it printed, if it fails."""
        for attempt in range(_ATTEMPTS):
            ports = _free_ports(4)
            self.client_port, self.direct_port, self.component_port, self.http_port = ports
            self._command = self._configure()
            try:
                return await self._run()
            except PortTakenError:
                if attempt == _ATTEMPTS - 1:
                    raise

    async def restart(self):
        """Stop and start it, on the same ports, with what it has stored."""
        await self.stop()
        await self._run()

    async def stop(self):
        """End it; a second call does no harm."""
        program, self._program = self._program, None
        if program is not None:
            await program.stop()

    async def _run(self):
        self._program = Program(
            self._reactor,
            self._command,
            self.folder,
            # No file of the user who runs the tests is read.
            environment={"HOME": str(self.folder), **self._environment},
        )
        try:
            match = await self._program.printed(f"{self.ready}|(?P<taken>{self.port_taken})")
        except BaseException:
            await self.stop()
            raise
        if match["taken"]:
            await self.stop()
            raise PortTakenError(match["taken"])

    def _find(self):
        """Find the program, or end the test."""
        raise NotImplementedError

    def _configure(self):
        """Write its files; gives the command that starts it with them."""
        raise NotImplementedError

    def _write(self, template, **values):
        """Fill a template of a configuration; gives where it is."""
        text = (_CONFIGURATIONS / template).read_text(encoding="utf-8")
        filled = string.Template(text).substitute(
            values,
            folder=self.folder,
            domain=DOMAIN,
            certificate=self._certificate,
            ca_file=self.ca_file,
            client_port=self.client_port,
            direct_port=self.direct_port,
            component_port=self.component_port,
            http_host=HTTP_HOST,
            http_port=self.http_port,
            upload_limit=self.upload_limit,
            upload_quota=self.upload_quota,
        )
        path = self.folder / template
        path.write_text(filled, encoding="utf-8")
        return path


class PortTakenError(Exception):
    """Another program took the port between the choice and its use."""


class Prosody(Server):
    """Prosody: accounts in files, with SCRAM-SHA-256; a websocket for browsers."""

    name = "prosody"
    # "on no ports" is no success.
    ready = r"(Activated service '(c2s|c2s_direct_tls|component|https)' on \[(.|\n)*){4}"
    port_taken = "Failed to open server port"
    upload_quota = 1_000_000

    def _find(self):
        self._program_file = shutil.which("prosody")
        if self._program_file is None:
            missing("Prosody", "the Debian package prosody")

    def _configure(self):
        components = "".join(
            f'Component "{domain}"\n  component_secret = "{SECRET}"\n' for domain in COMPONENTS
        )
        protocol = {"1.2": "tlsv1_2", "1.3": "tlsv1_2+"}[self.newest_tls]
        configuration = self._write("prosody.cfg.lua", components=components, protocol=protocol)
        accounts = self.folder / "data" / DOMAIN.replace(".", "%2e") / "accounts"
        accounts.mkdir(parents=True, exist_ok=True)
        for user, password in ACCOUNTS.items():
            # Prosody replaces it with SCRAM's hashes when the account is first used.
            (accounts / f"{user}.dat").write_text(f'return {{ ["password"] = "{password}" }};')
        return [self._program_file, "-F", "--config", str(configuration)]


class Ejabberd(Server):
    """Ejabberd: accounts in Mnesia, by default with SCRAM-SHA-1.

    Started with erl, and not by ejabberdctl: so it is no Erlang node, which would need epmd and
    a port for a cluster, and it runs as whoever runs the tests.
    """

    name = "ejabberd"
    scram_hash = "sha"
    ready = "^ready for accounts$"
    port_taken = "address already in use"
    upload_quota = None

    def _find(self):
        self._erl = shutil.which("erl")
        found = sorted(Path("/usr/lib").glob("*/ejabberd-*/ebin/ejabberd.beam"))
        if self._erl is None or not found:
            missing("ejabberd", "the Debian package ejabberd")
        self._beams = found[0].parent
        libraries = str(self._beams.parents[1])
        self._environment = {"ERL_LIBS": libraries, "ERL_CRASH_DUMP": os.devnull}

    def _configure(self):
        components = "".join(
            f'      "{domain}": {{password: "{SECRET}"}}\n' for domain in COMPONENTS
        )
        configuration = self._write(
            "ejabberd.yml",
            components=components,
            scram_hash=self.scram_hash,
            newest={"1.2": "no_tlsv1_3", "1.3": "no_tlsv1"}[self.newest_tls],
        )
        accounts = "".join(
            f'ejabberd_auth:try_register(<<"{user}">>, <<"{DOMAIN}">>, <<"{password}">>).\n'
            for user, password in ACCOUNTS.items()
        )
        script = self._write("ejabberd_accounts.erl", accounts=accounts)
        return [
            *(self._erl, "-noinput", "-pa", str(self._beams)),
            *("-mnesia", "dir", f'"{self.folder}/mnesia"'),
            *("-ejabberd", "config", f'"{configuration}"'),
            *("log_path", f'"{self.folder}/ejabberd.log"'),
            *("-s", "ejabberd", "-eval", f'file:eval("{script}")'),
        ]


SERVERS = {server.name: server for server in (Prosody, Ejabberd)}
