"""A responder on an XMPP account: ``twistd -ny client.tac``.

It reads the password from the file ``password``, and saves files in ``downloads``; both are in the
directory that twistd is started in.
"""

from pathlib import Path

from twisted.application import service
from twisted.internet import reactor
from twisted.words.protocols.jabber.jid import JID
from wokkel.client import XMPPClient

from twisted_oob import Fetcher, FetchPolicy, OOBResponder, ServedStream

ACCOUNT = JID("files@example.org/responder")

downloads = Path("downloads")
downloads.mkdir(exist_ok=True)

application = service.Application("oob-client")

client = XMPPClient(ACCOUNT, Path("password").read_text().strip())
responder = OOBResponder(
    Fetcher(reactor, FetchPolicy(), downloads), allow_from=[ACCOUNT.host], reactor=reactor
)
responder.attach(client)
ServedStream(responder, client).setServiceParent(application)
