"""How an account logs in on real servers: hashes, channel binding, direct TLS, passwords.

What they have (seen in Prosody 0.12.3 with LuaSec 1.2.0, and ejabberd 23.01): neither announces
types of channel binding (XEP-0440), and both know ``tls-unique`` alone. Prosody offers ``-PLUS``
until TLS 1.2, where that is defined; ejabberd offers it on TLS 1.3, too, so that the guess is
wrong there.
"""

from __future__ import annotations

import re
from base64 import b64decode

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import STREAM_CONNECTED_EVENT

from tests.servers.servers import ACCOUNTS, DOMAIN, SERVERS
from tests.support.account_server import log_in
from tests.support.processes import IN_CI
from twisted_oob.errors import AuthenticationFailed
from twisted_oob.xmpp.account import client_endpoint, client_factory

USER = "ours"


@pytest.fixture(scope="module")
def started(certificates, tmp_path_factory):
    """Gives a server that is set up in a way; each is started once."""
    from twisted.internet import reactor

    certificate = certificates.issue(DOMAIN)
    running = {}

    async def start(name, **options):
        key = (name, *sorted(options.items()))
        if key not in running:
            kind = type("SetUp", (SERVERS[name],), options)
            folder = tmp_path_factory.mktemp(name)
            made = kind(reactor, folder, certificate, certificates.file)
            await made.start()
            running[key] = made
        return running[key]

    yield start
    stopped = [ensureDeferred(made.stop()) for made in running.values()]
    pytest_twisted.blockon(gatherResults(stopped))


class Login:
    """One login: its ``result``, and what was ``offered``, ``chosen`` and said of the channel.

    The last time, if it was tried more than once: ``auths`` has each.
    """

    def __init__(self):
        self._heard, self._said = b"", b""

    async def run(self, server, *, direct=False, user=USER, password=ACCOUNTS[USER]):
        from twisted.internet import reactor

        factory = client_factory(JID(f"{user}@{DOMAIN}/here"), password, ca_file=server.ca_file)
        factory.addBootstrap(STREAM_CONNECTED_EVENT, self._listen)
        endpoint = client_endpoint(
            reactor,
            DOMAIN,
            host="127.0.0.1",
            port=server.direct_port if direct else server.client_port,
            direct_tls=direct,
            ca_file=server.ca_file,
        )
        self.result = await log_in(server, factory, endpoint)
        self.offered = set(re.findall("<mechanism>(.+?)<", self._heard.decode()))
        self.starttls = b"<starttls" in self._said
        self.auths = re.findall("<auth ([^>]*)>([^<]*)<", self._said.decode())
        auth = self.auths[-1]
        self.chosen = re.search("mechanism='(.*?)'", auth[0])[1]
        self.flag = b64decode(auth[1]).decode().partition(",")[0]
        return self

    def _listen(self, xs):
        xs.rawDataInFn, xs.rawDataOutFn = self._hear, self._say

    def _hear(self, data):
        self._heard += data

    def _say(self, data):
        self._said += data

    @property
    def jid(self):
        """Who we are on the stream; a login that failed is an error."""
        if not hasattr(self.result, "authenticator"):
            self.result.raiseException()
        return self.result.authenticator.jid.full()


ME = f"{USER}@{DOMAIN}/here"
UNTIL_1_2 = {"newest_tls": "1.2"}
SHA_512 = {"scram_hash": "sha512"}
SHA_256 = {"scram_hash": "sha256"}


# Whether -PLUS is offered, what is used, and what it says.
WITHOUT, UNUSABLE, WITH = (False, "", "y"), (True, "", "n"), (True, "-PLUS", "p=tls-unique")


@pytest.mark.parametrize("direct", [False, True], ids=["STARTTLS", "direct TLS"])
@pytest.mark.parametrize(
    ("name", "options", "scram", "binding"),
    [
        ("prosody", {}, "SCRAM-SHA-256", WITHOUT),
        ("prosody", UNTIL_1_2, "SCRAM-SHA-256", WITH),
        ("ejabberd", {}, "SCRAM-SHA-1", UNUSABLE),
        pytest.param("ejabberd", SHA_256, "SCRAM-SHA-256", UNUSABLE, marks=IN_CI),
        ("ejabberd", SHA_512, "SCRAM-SHA-512", UNUSABLE),
        pytest.param("ejabberd", UNTIL_1_2, "SCRAM-SHA-1", WITH, marks=IN_CI),
        pytest.param("ejabberd", {**SHA_512, **UNTIL_1_2}, "SCRAM-SHA-512", WITH, marks=IN_CI),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_strongest_that_both_have_is_used(started, direct, name, options, scram, binding):  # noqa: PLR0917
    login = await Login().run(await started(name, **options), direct=direct)

    assert login.jid == ME
    offers_plus, suffix, flag = binding
    assert (login.chosen, login.flag) == (scram + suffix, flag)
    assert any(each.endswith("-PLUS") for each in login.offered) is offers_plus
    # If the type has to be guessed, it is tried once with the guess.
    assert len(login.auths) == (2 if binding is UNUSABLE else 1)
    assert login.starttls is not direct


@pytest.mark.parametrize(
    ("name", "options"), [("prosody", UNTIL_1_2), ("ejabberd", SHA_512), ("prosody", {})]
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_refused(started, name, options):
    login = await Login().run(await started(name, **options), password="another")
    assert login.result.check(AuthenticationFailed)
    assert login.result.value.condition == "not-authorized"


@pytest.mark.parametrize("password", ["correct 😀 horse", "straẞe", "\u0221"])
@pytest_twisted.ensureDeferred
async def test_prosody_takes_passwords_that_unicode_3_2_does_not_know(started, password):
    # Ejabberd 23.01 stores no such password.
    server = await started("prosody")
    accounts = server.folder / "data" / DOMAIN.replace(".", "%2e") / "accounts"
    user = f"user{len(password)}"
    (accounts / f"{user}.dat").write_text(f'return {{ ["password"] = "{password}" }};')
    login = await Login().run(server, user=user, password=password)
    assert login.jid == f"{user}@{DOMAIN}/here"
