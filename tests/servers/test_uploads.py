"""Uploads to real servers, and what can be fetched from there.

Each account has a quota, so these have their own: "ours", and "greedy", who uses it up.
"""

from __future__ import annotations

import os
from ipaddress import ip_network

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults
from twisted.words.protocols.jabber.jid import JID

from tests.servers.servers import ACCOUNTS, DOMAIN
from tests.support.waiting import in_time
from twisted_oob import (
    AccountStream,
    Fetcher,
    FetchPolicy,
    FileSender,
    FileShare,
    FileTooLarge,
    OOBHandler,
    SlotRefused,
    UploadFailed,
    UploadHandler,
    UploadService,
)
from twisted_oob.files.put import put
from twisted_oob.files.source import SourceFile
from twisted_oob.files.trust import HttpsTrust
from twisted_oob.protocol.slots import read_slot, slot_request

LOOPBACK = (ip_network("127.0.0.0/8"),)
SERVICE = JID(f"upload.{DOMAIN}")


class Uploader:
    """An account with an UploadHandler."""

    def __init__(self, reactor, server, user, **options):
        self.reactor = reactor
        self.server = server
        self.stream = AccountStream(
            f"{user}@{DOMAIN}/uploads",
            ACCOUNTS[user],
            host="127.0.0.1",
            port=server.client_port,
            ca_file=server.ca_file,
            reactor=reactor,
        )
        self.handler = UploadHandler(
            reactor, allow_networks=LOOPBACK, ca_file=server.ca_file, **options
        )
        self.handler.setHandlerParent(self.stream)

    def fetch(self, url, folder):
        """Fetch what was uploaded; gives a Deferred of its bytes."""
        policy = FetchPolicy(allow_networks=LOOPBACK, ca_file=self.server.ca_file)
        folder.mkdir()
        fetching = Fetcher(self.reactor, policy, folder).fetch(url)
        return fetching.addCallback(lambda fetched: fetched.path.read_bytes())


@pytest_twisted.async_yield_fixture
async def uploader(server):
    from twisted.internet import reactor

    made = []

    def make(user="ours", **options):
        made.append(Uploader(reactor, server, user, **options))
        made[-1].stream.startService()
        return made[-1]

    yield make
    for one in made:
        await in_time(one.stream.stopService())


@pytest.fixture
def file(tmp_path):
    """Makes a file of so many random bytes."""

    def make(size, name="photo.jpg"):
        path = tmp_path / name
        path.write_bytes(os.urandom(size))
        return path

    return make


@pytest_twisted.ensureDeferred
async def test_the_service_and_its_limit_are_found(uploader, server):
    one = uploader()
    assert await in_time(one.handler.find_service()) == UploadService(SERVICE, server.upload_limit)


@pytest.mark.parametrize("name", ["photo.jpg", "\N{CAT} & 'me'.tar.gz", "no suffix"])
@pytest_twisted.ensureDeferred
async def test_what_was_uploaded_can_be_fetched(uploader, file, tmp_path, name):
    one, path = uploader(), file(20_000, name)
    told = []
    url = await in_time(one.handler.upload(path, on_progress=lambda *args: told.append(args)))
    assert url.startswith("https://127.0.0.1:")
    assert told[-1] == (20_000, 20_000)
    assert await in_time(one.fetch(url, tmp_path / "fetched")) == path.read_bytes()


@pytest_twisted.ensureDeferred
async def test_files_are_uploaded_side_by_side(uploader, file):
    one = uploader()
    paths = [file(1000, f"{number}.txt") for number in range(4)]
    urls = await in_time(gatherResults([one.handler.upload(path) for path in paths]))
    assert len(set(urls)) == 4


@pytest_twisted.ensureDeferred
async def test_an_empty_file_is_a_file_if_the_service_takes_it_for_one(uploader, file, tmp_path):
    one = uploader()
    uploading = in_time(one.handler.upload(file(0)))
    if one.server.name == "prosody":
        assert await in_time(one.fetch(await uploading, tmp_path / "fetched")) == b""
    else:
        with pytest.raises(SlotRefused, match="Bad value of attribute 'size'"):
            await uploading


@pytest_twisted.ensureDeferred
async def test_an_empty_file_is_shared_if_the_service_does_not_take_it(uploader, file):
    one = uploader()
    handler = OOBHandler(reactor=one.reactor)
    handler.setHandlerParent(one.stream)
    share = FileShare("tcp:0:interface=127.0.0.1", reactor=one.reactor)
    share.startService()
    sender = FileSender(handler, share=share, uploads=one.handler)
    # Nobody is there, which is told once the file has its URL.
    delivery = await in_time(sender.send(f"bob@{DOMAIN}/nobody", file(0), as_="iq"))
    await in_time(share.stopService())
    via = "upload" if one.server.name == "prosody" else "share"
    assert (delivery.outcome, delivery.via) == ("unavailable", via)


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_too_large_is_known_before(uploader, server, file):
    one = uploader()
    with pytest.raises(FileTooLarge) as caught:
        await in_time(one.handler.upload(file(server.upload_limit + 1)))
    assert caught.value.max_size == server.upload_limit


@pytest_twisted.ensureDeferred
async def test_a_service_that_says_too_large_is_understood(uploader, server, file, monkeypatch):
    one = uploader()

    async def unlimited():
        return UploadService(SERVICE, None)

    monkeypatch.setattr(one.handler, "find_service", unlimited)
    with pytest.raises(FileTooLarge) as caught:
        await in_time(one.handler.upload(file(server.upload_limit + 1)))
    assert caught.value.max_size == server.upload_limit


@pytest_twisted.ensureDeferred
async def test_a_slot_that_was_used_is_gone(uploader, file):
    one, source = uploader(), SourceFile(file(500))
    await in_time(one.handler.wait_for_stream(None))
    request = slot_request("photo.jpg", 500, "image/jpeg")
    slot = read_slot(await in_time(one.handler.ask("get", request, SERVICE, timeout=None)))

    def again():
        return in_time(
            put(
                one.reactor,
                slot.put,
                source,
                policy=FetchPolicy(allow_networks=LOOPBACK),
                tls_policy=HttpsTrust(one.server.ca_file),
                media_type="image/jpeg",
                headers=slot.headers,
            )
        )

    await again()
    with pytest.raises(UploadFailed) as caught:
        await again()
    assert caught.value.status == {"prosody": 409, "ejabberd": 403}[one.server.name]
    source.close()


@pytest_twisted.ensureDeferred
async def test_a_quota_that_is_used_up_is_told(uploader, server, file):
    if server.upload_quota is None:
        pytest.skip("it has no quota")
    # Too short for the waits that type wait asks for.
    one, path = uploader("greedy", timeout=1.9), file(server.upload_limit)
    for _ in range(server.upload_quota // server.upload_limit):
        await in_time(one.handler.upload(path))
    with pytest.raises(SlotRefused) as caught:
        await in_time(one.handler.upload(path))
    assert (caught.value.condition, caught.value.retry) == ("resource-constraint", None)
