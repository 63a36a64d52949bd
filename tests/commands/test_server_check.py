"""What ``oob check`` tells, on an embedded router and on a server for accounts."""

from __future__ import annotations

import json

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred

from tests.support.network import SECRET
from tests.support.waiting import in_time
from twisted_oob.commands.connection import Connection, NotConnected
from twisted_oob.commands.events import Checked
from twisted_oob.commands.modes import EMBEDDED
from twisted_oob.commands.output import Output
from twisted_oob.commands.server_check import check_server


def check(network, secret=SECRET, *, as_json=False):
    connection = Connection(
        EMBEDDED, domain="check-x.localhost", host="127.0.0.1", port=network.port
    )
    output = Output("oob check", as_json=as_json)
    return in_time(ensureDeferred(check_server(connection, secret, output, network.reactor)))


@pytest_twisted.ensureDeferred
async def test_a_person_reads_what_is_there(network, capfd):
    await network.start()
    assert await check(network) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[:3] == [
        "address:     check-x.localhost",
        f"server:      127.0.0.1:{network.port}",
        "upload:      not offered",
    ]
    assert lines[3].startswith("round trip:  ")
    assert lines[3].endswith(" ms")


@pytest_twisted.ensureDeferred
async def test_a_program_reads_one_object(network, capfd):
    await network.start()
    assert await check(network, as_json=True) == 0
    told = json.loads(capfd.readouterr().out)
    assert 0 < told.pop("ping_ms") < 10_000
    assert told == {
        "event": "check",
        "jid": "check-x.localhost",
        "server": None,
        "address": f"127.0.0.1:{network.port}",
        "upload": None,
        "max_size": None,
    }


@pytest_twisted.ensureDeferred
async def test_a_wrong_secret_is_no_connection(network):
    await network.start()
    with pytest.raises(NotConnected, match=": the secret is wrong"):
        await check(network, "another")


@pytest.mark.parametrize(
    ("upload", "max_size", "line"),
    [
        (None, None, "upload:      not offered"),
        ("upload.example.org", None, "upload:      upload.example.org"),
        (
            "u\x1b.example.org",
            10_485_760,
            "upload:      u\ufffd.example.org, files of at most 10.5 MB",
        ),
    ],
)
def test_the_upload_service_and_its_limit_are_one_line(upload, max_size, line):
    checked = Checked(
        jid="alice@example.org/oob",
        server="example.org",
        address="192.0.2.1:5222",
        upload=upload,
        max_size=max_size,
        ping_ms=12.34,
    )
    assert checked.sentence().splitlines() == [
        "address:     alice@example.org/oob",
        "server:      example.org at 192.0.2.1:5222",
        line,
        "round trip:  12.3 ms",
    ]
