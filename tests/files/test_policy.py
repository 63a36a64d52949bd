"""Which redirects and answers a policy accepts; addresses are in test_policy_addresses."""

from __future__ import annotations

import base64
import configparser
import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import twisted_oob
from tests.support.fetching import told_by
from twisted_oob.errors import FetchFailed, Forbidden, TooLarge
from twisted_oob.files.policy import REDIRECTS, FetchPolicy
from twisted_oob.files.urls import read_url

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


# --- redirects

HERE = read_url("https://juliet:capulet@a.example/dir/file?x=1")


@pytest.mark.parametrize(
    ("location", "url", "keeps_credentials"),
    [
        (b"/other", "https://a.example/other", True),
        (b"other", "https://a.example/dir/other", True),
        (b"?y=2", "https://a.example/dir/file?y=2", True),
        (b"../up#part", "https://a.example/up", True),
        (b"  https://a.example:443/x \t", "https://a.example/x", True),
        (b"https://A.EXAMPLE/x", "https://a.example/x", True),
        (b"https://a.example:444/x", "https://a.example:444/x", False),
        (b"//b.example/x", "https://b.example/x", False),
        (b"https://b.example/x", "https://b.example/x", False),
        (b"https://sub.a.example/x", "https://sub.a.example/x", False),
        (b"/with space", "https://a.example/with%20space", True),
        ("/ü".encode(), "https://a.example/%C3%BC", True),
        (b"/\xfc", "https://a.example/%FC", True),
        (b"\\\\b.example/", "https://a.example/dir/%5C%5Cb.example/", True),
    ],
)
def test_redirects(location, url, keeps_credentials):
    following = POLICY.next_hop(HERE, location, 1)
    assert following.url == url
    assert following.authorization == (HERE.authorization if keeps_credentials else None)


def test_credentials_are_not_carried_from_http_to_https():
    here = read_url("http://juliet:capulet@a.example/")
    assert POLICY.next_hop(here, b"https://a.example/", 1).authorization is None


@pytest.mark.parametrize("host", [b"b.example", b"a.example"])
def test_a_redirect_may_bring_its_own_credentials(host):
    following = POLICY.next_hop(HERE, b"https://romeo:montague@%b/" % host, 1)
    assert following.authorization == b"Basic " + base64.b64encode(b"romeo:montague")


@pytest.mark.parametrize(
    "location",
    [
        b"http://a.example/x",
        b"http://b.example/x",
        b"ftp://a.example/x",
        b"file:///etc/passwd",
        b"javascript:alert(1)",
        b"https://[::1/",
        b"//[",
        b"https://b\xfc.example/",
        b"https://a.example:0/",
    ],
)
def test_redirects_are_judged_like_first_urls(location):
    with pytest.raises(Forbidden) as caught:
        POLICY.next_hop(HERE, location, 1)
    assert "capulet" not in caught.value.detail


@pytest.mark.parametrize("location", [None, b"", b"  "])
def test_a_redirect_needs_a_location(location):
    with pytest.raises(FetchFailed, match="without a Location"):
        POLICY.next_hop(HERE, location, 1)


@pytest.mark.parametrize("most", [0, 1, 5])
def test_only_so_many_redirects(most):
    policy = FetchPolicy(max_redirects=most)
    for hop in range(1, most + 1):
        policy.next_hop(HERE, b"/x", hop)
    with pytest.raises(FetchFailed, match="too many redirects"):
        policy.next_hop(HERE, b"/x", most + 1)


@pytest.mark.parametrize(
    "tail", [b"a.example/", b"[::1", b"a b:x/", b"a.example:0/", b"\xfc/", b""]
)
@pytest.mark.parametrize("scheme", [b"https", b"http", b"ftp"])
def test_no_redirect_tells_its_userinfo(scheme, tail):
    try:
        told = repr(POLICY.next_hop(HERE, scheme + b"://romeo:montague@" + tail, 1))
    except Forbidden as error:
        told = told_by(error)
    assert "montague" not in told
    assert base64.b64encode(b"romeo:montague").decode() not in told


@given(st.binary())
def test_following_a_redirect_never_fails_in_another_way(location):
    try:
        following = POLICY.next_hop(HERE, location, 1)
    except (Forbidden, FetchFailed):
        return
    assert following.scheme == "https"


# --- answers


@pytest.mark.parametrize(
    "status", [*range(100, 200), *range(201, 301), 304, 305, 306, *range(309, 600)]
)
def test_only_200_is_a_file(status):
    assert status not in REDIRECTS
    with pytest.raises(FetchFailed) as caught:
        POLICY.check_answer(status, [], 1)
    assert caught.value.text == f"HTTP status {status}"


def test_redirect_statuses():
    assert {301, 302, 303, 307, 308} == REDIRECTS


@pytest.mark.parametrize("status", sorted(REDIRECTS))
def test_a_redirect_is_no_file_either(status):
    with pytest.raises(FetchFailed):
        POLICY.check_answer(status, [], 1)


@pytest.mark.parametrize(
    ("encodings", "allowed"),
    [
        ([], True),
        ([b""], True),
        ([b"identity"], True),
        ([b"Identity ", b"identity"], True),
        ([b"gzip"], False),
        ([b"identity, gzip"], False),
        ([b"identity", b"br"], False),
        ([b"aes128gcm"], False),
    ],
)
def test_content_encodings(encodings, allowed):
    if allowed:
        POLICY.check_answer(200, encodings, None)
    else:
        with pytest.raises(FetchFailed, match="Content-Encoding"):
            POLICY.check_answer(200, encodings, None)


def test_a_long_encoding_is_told_in_part():
    with pytest.raises(FetchFailed) as caught:
        POLICY.check_answer(200, [b"\xff" * 10_000], None)
    assert len(caught.value.detail) < 500


def test_a_file_of_exactly_the_limit_is_accepted():
    policy = FetchPolicy(max_size=10)
    policy.check_answer(200, [], 10)
    policy.check_size(10)
    with pytest.raises(TooLarge):
        policy.check_answer(200, [], 11)
    with pytest.raises(TooLarge):
        policy.check_size(11)


def test_a_negative_length_is_no_answer():  # Twisted 22 lets it through
    with pytest.raises(FetchFailed, match="length -1") as caught:
        POLICY.check_answer(200, [], -1)
    assert caught.value.text == "no proper answer from the server"


def test_an_empty_file_is_one():
    POLICY.check_answer(200, [], 0)
