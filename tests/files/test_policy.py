"""Which answers a policy accepts; addresses are in test_policy_addresses."""

from __future__ import annotations

import configparser
import ipaddress
from pathlib import Path

import pytest

import twisted_oob
from twisted_oob.errors import FetchFailed, TooLarge
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.redirects import REDIRECTS

POLICY = FetchPolicy()


# --- the policy itself


def test_defaults():
    policy = FetchPolicy()
    assert policy.max_size == 1_000_000_000
    assert policy.allow_networks == ()
    assert policy.max_redirects == 5
    assert policy.timeout == 600.0
    assert policy.deny_networks == ()
    assert policy.stall_timeout == 30.0
    assert policy.min_rate == 1000
    assert policy.ca_file is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_size", 0),
        ("max_size", -1),
        ("max_size", 1.5),
        ("max_size", True),
        ("max_size", None),
        ("max_redirects", -1),
        ("max_redirects", 2.0),
        ("timeout", 0),
        ("timeout", -1.0),
        ("timeout", float("inf")),
        ("timeout", float("nan")),
        ("timeout", "5"),
        ("stall_timeout", 0),
        ("stall_timeout", None),
        ("min_rate", -1),
        ("min_rate", 0.5),
        ("min_rate", False),
        ("min_rate", None),
        ("user_agent", ""),
        ("user_agent", " "),
        ("user_agent", " bot/1.0"),
        ("user_agent", "bot/1.0 "),
        ("user_agent", "bot/1.0\r\nHost: b.example"),
        ("user_agent", "bot/1.0\n"),
        ("user_agent", "bot\t1.0"),
        ("user_agent", "b\xf6t"),
        ("user_agent", "bot\x7f"),
        ("user_agent", b"bot"),
        ("user_agent", None),
        ("ca_file", 5),
        ("ca_file", b"ca.pem"),
        ("ca_file", ["ca.pem"]),
        ("allow_networks", "127.0.0.0/8"),
        ("allow_networks", ("127.0.0.0/8",)),
        ("allow_networks", [ipaddress.ip_network("127.0.0.0/8")]),
        ("allow_networks", ipaddress.ip_network("127.0.0.0/8")),
        ("deny_networks", "127.0.0.0/8"),
        ("deny_networks", ("127.0.0.0/8",)),
        ("deny_networks", [ipaddress.ip_network("127.0.0.0/8")]),
        ("deny_networks", (ipaddress.ip_address("127.0.0.1"),)),
        ("deny_networks", None),
    ],
)
def test_a_policy_that_cannot_be_meant_is_denied(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .* not "):
        FetchPolicy(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "wrong_type"),
    [
        ("max_size", 0, False),
        ("max_size", "100M", True),
        ("max_redirects", -1, False),
        ("max_redirects", None, True),
        ("timeout", float("nan"), False),
        ("timeout", "5", True),
        ("stall_timeout", 0, False),
        ("stall_timeout", True, True),
        ("ca_file", 5, True),
        ("allow_networks", "10.0.0.0/8", True),
        ("allow_networks", [5], True),
        ("deny_networks", "10.0.0.0/8", True),
        ("min_rate", -1, False),
        ("min_rate", "1K", True),
        ("user_agent", "b\xf6t", False),
        ("user_agent", b"bot", True),
    ],
)
def test_a_value_of_the_wrong_type_is_a_type_error_that_names_it(name, value, wrong_type):
    with pytest.raises(ValueError, match=f"^{name} must be ") as caught:
        FetchPolicy(**{name: value})
    assert isinstance(caught.value, TypeError) is wrong_type


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_size", 1),
        ("max_redirects", 0),
        ("timeout", 1),
        ("timeout", 0.001),
        ("stall_timeout", 5),
        ("stall_timeout", 1e9),
        ("ca_file", "ca.pem"),
        ("ca_file", Path("ca.pem")),
        ("min_rate", 0),
        ("min_rate", 10**9),
        ("user_agent", "x"),
        ("user_agent", 'bot/1.0 (+https://b.example; a "b") ~'),
        ("deny_networks", (ipaddress.ip_network("8.8.8.8"), ipaddress.ip_network("::/0"))),
        ("allow_networks", ()),
        ("allow_networks", (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::/0"))),
    ],
)
def test_the_least_that_can_be_meant(name, value):
    assert getattr(FetchPolicy(**{name: value}), name) == value


def test_the_user_agent_names_the_version_and_the_page_of_the_project():
    config = configparser.ConfigParser()
    config.read(Path(__file__).resolve().parents[2] / "setup.cfg")
    page = config["metadata"]["url"]
    assert FetchPolicy().user_agent == f"twisted_oob/{twisted_oob.__version__} (+{page})"


def test_a_policy_never_changes():
    with pytest.raises(AttributeError):
        POLICY.max_size = 1
    assert not hasattr(POLICY, "__dict__")


def test_each_value_of_a_policy_is_named():
    with pytest.raises(TypeError):
        FetchPolicy(1)


# --- answers


@pytest.mark.parametrize(
    "status", [*range(100, 200), *range(201, 301), 304, 305, 306, *range(309, 600)]
)
def test_only_200_is_a_file(status):
    assert status not in REDIRECTS
    with pytest.raises(FetchFailed) as caught:
        POLICY.check_answer(status, 1)
    assert caught.value.text == f"HTTP status {status}"


@pytest.mark.parametrize("status", sorted(REDIRECTS))
def test_a_redirect_is_no_file_either(status):
    with pytest.raises(FetchFailed):
        POLICY.check_answer(status, 1)


def test_a_file_of_exactly_the_limit_is_accepted():
    policy = FetchPolicy(max_size=10)
    policy.check_answer(200, 10)
    policy.check_size(10)
    with pytest.raises(TooLarge):
        policy.check_answer(200, 11)
    with pytest.raises(TooLarge):
        policy.check_size(11)


def test_an_empty_file_is_one():
    POLICY.check_answer(200, 0)
