"""A responder as an external component (XEP-0114): ``twistd -ny component.tac``.

It reads the component's secret from the file ``secret``, and saves files in ``downloads``; both are
in the directory that twistd is started in.
"""

from pathlib import Path

from twisted.application import service
from twisted.internet import reactor

from twisted_oob import ComponentStream, Fetcher, FetchPolicy, OOBResponder, ServedStream

HOST, PORT = "127.0.0.1", 5347
DOMAIN = "files.example.org"

downloads = Path("downloads")
downloads.mkdir(exist_ok=True)

application = service.Application("oob-component")

secret = Path("secret").read_text().strip()
stream = ComponentStream(DOMAIN, secret, host=HOST, port=PORT, reactor=reactor)
responder = OOBResponder(
    Fetcher(reactor, FetchPolicy(), downloads), allow_from=["example.org"], reactor=reactor
)
responder.attach(stream)
ServedStream(responder, stream).setServiceParent(application)
