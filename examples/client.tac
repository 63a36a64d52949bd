"""A responder on an XMPP account: ``twistd -ny client.tac``.

It reads the password from the file ``password``, and saves files in ``downloads``; both are in the
directory that twistd is started in.
"""

from pathlib import Path

from twisted.application import service
from twisted.internet import reactor

from twisted_oob import AccountStream, Fetcher, FetchPolicy, OOBResponder, ServedStream

ACCOUNT = "files@example.org/responder"
ALLOWED = ["example.org"]

downloads = Path("downloads")
downloads.mkdir(exist_ok=True)

application = service.Application("oob-client")

stream = AccountStream(ACCOUNT, Path("password").read_text().strip(), reactor=reactor)
responder = OOBResponder(
    Fetcher(reactor, FetchPolicy(), downloads), allow_from=ALLOWED, reactor=reactor
)
responder.attach(stream)
ServedStream(responder, stream).setServiceParent(application)
