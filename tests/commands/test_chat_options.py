"""The options of ``twistd oob-responder`` about its chat, and which of them go together."""

from __future__ import annotations

import pytest

from tests.support.options import be_there, parsed

ACCOUNT = ("--jid", "me@home.example", "--password-file", "file")
COMPONENT = ("--component", "a.b", "--secret-file", "file", "--allow-from", "c")
SERVE = ("--serve", "served")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    be_there(tmp_path)


def error_of(*words):
    with pytest.raises(SystemExit) as raised:
        parsed(*words)
    assert "\n" not in raised.value.code
    return raised.value.code.removeprefix("twistd oob-responder: ")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--serve-listen", "tcp:0"), "--serve must be given with --serve-listen"),
        (("--public-url", "http://a.b"), "--serve must be given with --public-url"),
        (("--via", "share"), "--serve must be given with --via"),
        (("--talk-in-rooms",), "--join must be given with --talk-in-rooms"),
        ((*SERVE, "--no-messages"), "--no-messages and --serve exclude each other: give one"),
        (
            (*ACCOUNT, "--join", "r@c.d/n", "--no-messages"),
            "--no-messages and --join exclude each other: give one",
        ),
        (("--join", "r@c.d/n"), "--join goes with --jid or --component, not with the embedded"),
        (
            (*SERVE, "--via", "upload"),
            "--via upload goes with --jid or --component, not with the embedded router",
        ),
        (
            (*ACCOUNT, *SERVE, "--via", "upload", "--public-url", "http://a.b"),
            "--via upload and --public-url exclude each other",
        ),
        (
            (*ACCOUNT, *SERVE, "--via", "upload", "--serve-listen", "tcp:7"),
            "--via upload and --serve-listen exclude each other",
        ),
        (
            (*SERVE, "--serve-listen", "unix:socket"),
            "--public-url must be given with --serve-listen unix:...",
        ),
        (("--demo", "--no-messages"), "--demo goes with no other option, not with --no-messages"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(words, part):
    assert error_of(*words).startswith(part)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--serve", "missing"), "--serve 'missing' is not valid: no such directory: /"),
        (("--serve", "file"), "--serve 'file' is not valid: not a directory: /"),
        (("--serve", ""), "--serve '' is not valid: expected the path of a directory"),
        (
            (*ACCOUNT, "--join", "plans@rooms.a.b"),
            "--join 'plans@rooms.a.b' is not valid: expected a room with a nick, "
            "such as plans@rooms.a.b/files",
        ),
        (
            (*ACCOUNT, "--join", "rooms.a.b/n"),
            "--join 'rooms.a.b/n' is not valid: expected a room with a nick, such as plans@",
        ),
        ((*SERVE, "--via", "ftp"), "--via 'ftp' is not valid: expected auto, share or upload"),
        (
            (*ACCOUNT, "--join", "Plans@c.d/one", "--join", "plans@C.D/two"),
            "--join names the room plans@c.d twice: give it once, with one of the nicks one and",
        ),
    ],
)
def test_a_bad_value_is_told_what_would_be_right(words, part):
    assert error_of(*words).startswith(part)


@pytest.mark.parametrize(
    ("words", "via"),
    [
        (SERVE, "auto"),
        ((*SERVE, "--public-url", "http://a.b"), "share"),
        ((*SERVE, "--public-url", "http://a.b", "--via", "auto"), "share"),
        ((*SERVE, "--via", "share"), "share"),
        ((*ACCOUNT, *SERVE, "--via", "upload"), "upload"),
    ],
)
def test_a_public_url_is_there_to_be_used(words, via):
    assert parsed(*words)["via"] == via


@pytest.mark.parametrize(
    ("words", "endpoint"),
    [
        ((), "tcp:0:interface=127.0.0.1"),
        (ACCOUNT, "tcp:0"),
        (COMPONENT, "tcp:0"),
        (("--serve-listen", "tcp:7"), "tcp:7"),
        (("--serve-listen", "unix:s", "--public-url", "http://a.b"), "unix:s"),
    ],
)
def test_a_share_is_reached_by_those_who_reach_the_responder(words, endpoint):
    assert parsed(*words, *SERVE)["serve-listen"] == endpoint


def test_rooms_add_up():
    joined = parsed(*COMPONENT, "--join", "a@c.d/x", "--join", "b@c.d/A Nick", "--talk-in-rooms")
    assert [jid.full() for jid in joined["join"]] == ["a@c.d/x", "b@c.d/A Nick"]
    assert joined["talk-in-rooms"]
