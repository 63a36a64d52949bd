"""What twistd needs of the machine: what is left out, and what is told."""

from __future__ import annotations

import os

import pytest

from twisted_oob.commands.twistd_options import settle

DEFAULTS = {"pidfile": "twistd.pid", "nodaemon": 1, "debug": False, "chroot": None, "rundir": "."}


def settled(**options):
    twistd = DEFAULTS | options
    settle(twistd)
    return twistd


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder. Its pidfile can't be written, not even by root."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twistd.pid").mkdir()
    return tmp_path


@pytest.mark.parametrize("options", [{}, {"nodaemon": 0, "debug": True}])
@pytest.mark.usefixtures("folder")
def test_the_default_pidfile_is_left_out_in_the_foreground(options):
    assert settled(**options)["pidfile"] == ""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"nodaemon": 0}, "'twistd.pid' can't be used: Is a directory"),
        ({"pidfile": "./twistd.pid"}, "'./twistd.pid' can't be used: Is a directory"),
        ({"pidfile": "a/b"}, "'a/b' can't be used: No such file or directory"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_pidfile_that_is_needed_is_told(options, reason):
    with pytest.raises(ValueError, match=f"^twistd's --pidfile {reason}$"):
        settled(**options)


@pytest.mark.parametrize("name", ["other", "there"])
def test_a_pidfile_that_can_be_written_stays_and_is_not_touched(folder, name):
    (folder / "there").write_text("1")
    assert settled(pidfile=name, nodaemon=0)["pidfile"] == name
    assert sorted(path.name for path in folder.iterdir()) == ["there", "twistd.pid"]
    assert (folder / "there").read_text() == "1"


@pytest.mark.parametrize("options", [{"pidfile": ""}, {"chroot": "/srv", "pidfile": "/x/y"}])
def test_what_can_not_be_judged_stays(options):
    assert settled(**options) == DEFAULTS | options


@pytest.mark.parametrize(("rundir", "then"), [(".", "/"), ("/tmp", "/tmp")])
def test_a_working_directory_that_is_gone_is_not_used(tmp_path, monkeypatch, rundir, then):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    twistd = settled(rundir=rundir)
    assert (twistd["rundir"], twistd["pidfile"]) == (then, "")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nowhere", "No such file or directory"), ("file", "Not a directory")],
)
def test_a_directory_that_twistd_can_not_change_to_is_told(tmp_path, name, reason):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=f"^twistd's --rundir .*{name}' can't be used: {reason}$"):
        settled(rundir=str(tmp_path / name))


def test_a_log_that_can_not_be_written_is_told(tmp_path):
    log = str(tmp_path / "nowhere/log")
    with pytest.raises(ValueError, match=f"^twistd's --logfile '{log}' can't be used: No such"):
        settled(logfile=log)
    for elsewhere in ({"syslog": True}, {"logger": "a.b"}):
        assert settled(logfile=log, **elsewhere)["logfile"] == log
    assert settled(logfile="-")["logfile"] == "-"


def test_a_user_that_nobody_knows_is_told():
    unknown = 2**31 - 12345
    with pytest.raises(ValueError, match=f"twistd's --uid {unknown} can't be used: the system"):
        settled(uid=unknown)
    assert settled(uid=unknown, chroot="/srv")["uid"] == unknown
    assert settled(uid=os.getuid())["uid"] == os.getuid()
