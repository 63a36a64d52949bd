"""What strangers' URLs do to ``twistd oob-responder`` on machines that are made for it."""

from __future__ import annotations

import signal

import pytest

from tests.servers import own_addresses, silent_resolver
from tests.support.namespaces import run_in_namespace
from tests.support.processes import IN_CI

pytestmark = IN_CI  # each takes seconds


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return run_in_namespace(
        own_addresses.__name__, tmp_path_factory.mktemp("own"), setup=own_addresses.SETUP
    )


@pytest.mark.parametrize(
    ("run", "connections"),
    [
        ("default", []),
        # Of these, loopback is allowed, and redirects to one that is not.
        ("another network", ["127.0.0.1"]),
        ("allowed and denied", ["127.0.0.1"]),
    ],
)
def test_a_service_at_an_own_address_is_never_connected_to(told, run, connections):
    """In no spelling, under no name and through no redirect."""
    assert set(told[run]["answers"].values()) == {"not-acceptable"}
    assert told[run]["asked"] == connections
    assert told[run]["connections"] == len(connections)


def test_the_log_names_what_to_do(told):
    assert "--allow-network" in told["default"]["log"]


def test_an_own_address_can_be_allowed(told):
    answers, asked = told["allowed"]["answers"], told["allowed"]["asked"]
    assert set(answers.values()) == {None}
    assert {host.strip("[]") for host in answers} <= {*asked, *own_addresses.NAMES}


def test_names_that_never_resolve_delay_nobody(tmp_path):
    told = run_in_namespace(
        silent_resolver.__name__, tmp_path, setup=silent_resolver.setup(tmp_path)
    )
    assert told["pending"] == silent_resolver.SENDERS * silent_resolver.EACH
    assert told["questions"] > 0
    for what in ("literal", "name"):
        assert told[what]["answer"] is None
        assert told[what]["seconds"] < 3, what
    # Lookups that hang don't keep it from ending.
    assert told["signal"] != signal.SIGKILL
