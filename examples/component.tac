"""A responder as an external component (XEP-0114): ``twistd -ny component.tac``.

It reads the component's secret from the file ``secret``, and saves files in ``downloads``; both are
in the directory that twistd is started in.
"""

from pathlib import Path

from twisted.application import service
from twisted.internet import reactor
from wokkel.component import Component

from twisted_oob import Fetcher, FetchPolicy, OOBResponder, ServedStream

HOST, PORT = "127.0.0.1", 5347
DOMAIN = "files.example.org"

downloads = Path("downloads")
downloads.mkdir(exist_ok=True)

application = service.Application("oob-component")

component = Component(HOST, PORT, DOMAIN, Path("secret").read_text().strip())
responder = OOBResponder(
    Fetcher(reactor, FetchPolicy(), downloads), allow_from=["example.org"], reactor=reactor
)
responder.attach(component)
ServedStream(responder, component).setServiceParent(application)
