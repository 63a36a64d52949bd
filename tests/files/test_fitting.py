"""Names in folders that can't hold each of them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import twisted_oob
from tests.support.fetching import names
from tests.support.landing import commit, landed
from twisted_oob.files import naming
from twisted_oob.files.fitting import easier_name, fitting_name
from twisted_oob.files.folder import Folder
from twisted_oob.files.landing import Landing
from twisted_oob.files.names import file_name

LONG = "x" * 190 + ".tar"
ROOT = Path(twisted_oob.__file__).parents[1]


def limit(monkeypatch, size, error=errno.ENAMETOOLONG, *, told=None, takes=None):
    """Let the file system take names of so many bytes, and tell so if it is ``told``.

    ``takes``: whether it takes a name of that length at all.

    Returns:
        What it was asked about.
    """
    asked = []
    real = naming.rename_without_replacing

    def rename(source, source_fd, target, target_fd):
        if len(os.fsencode(target)) > size or (takes and not takes(target)):
            raise OSError(error, os.strerror(error))
        real(source, source_fd, target, target_fd)

    def link(source, target, **descriptors):
        raise OSError(error, os.strerror(error))

    def pathconf(path, name):
        assert name == "PC_NAME_MAX"
        asked.append(path)
        if isinstance(told, OSError):
            raise told
        return told

    monkeypatch.setattr(naming, "rename_without_replacing", rename)
    monkeypatch.setattr(os, "link", link)
    if told is not None:
        monkeypatch.setattr(os, "pathconf", pathconf)
    return asked


def test_a_file_system_with_short_names_gets_shorter_ones(tmp_path, monkeypatch):
    asked = limit(monkeypatch, 143, told=143)
    folder = Folder(tmp_path)
    paths = []
    for _ in range(102):
        file = Landing(folder)
        file.write(b"x")
        paths.append(commit(file, LONG))
    found = [path.name for path in paths]
    assert found[0] == "x" * 119 + ".tar"
    assert found[1] == "x" * 119 + " (2).tar"
    assert all(name.endswith(".tar") for name in found)
    assert sorted(found) == names(tmp_path)
    assert len(asked) == 1


def test_a_short_name_stays(tmp_path, monkeypatch):
    limit(monkeypatch, 143, told=143)
    assert landed(tmp_path, name="x" * 119 + ".tar").name == "x" * 119 + ".tar"
    assert landed(tmp_path, name="ü.txt").name == "ü.txt"


@pytest.mark.parametrize("told", [-1, 1530, OSError(errno.EINVAL, "")])
def test_a_file_system_that_tells_no_limit_gets_the_usual_names(tmp_path, monkeypatch, told):
    limit(monkeypatch, 255, told=told)
    assert landed(tmp_path, name=LONG).name == LONG


@pytest.mark.parametrize("told", [None, 255])
def test_a_limit_that_nobody_told_is_found(tmp_path, monkeypatch, told):
    limit(monkeypatch, 60, told=told)
    found = [landed(tmp_path, name=LONG).name for _ in range(3)]
    assert found == [f"{'x' * 44}{number}.tar" for number in ("", " (2)", " (3)")]


def test_a_name_that_has_no_room_for_its_number_gets_shorter_once_more(tmp_path, monkeypatch):
    limit(monkeypatch, 48)
    found = [landed(tmp_path, name=LONG).name for _ in range(3)]
    assert found == ["x" * 44 + ".tar", "x" * 20 + ".tar", "x" * 20 + " (2).tar"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EILSEQ])
def test_a_file_system_with_a_character_set_gets_a_plain_name(tmp_path, monkeypatch, code):
    limit(monkeypatch, 255, code, takes=str.isascii)
    assert [landed(tmp_path, name="Über€日本.txt").name for _ in range(2)] == [
        "Uber___.txt",
        "Uber___ (2).txt",
    ]


def test_a_file_system_that_takes_no_name_is_trouble(tmp_path, monkeypatch):
    limit(monkeypatch, 0)
    with pytest.raises(OSError, match="too long"):
        landed(tmp_path, name=LONG)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_another_error_is_not_the_names_fault(code):
    assert easier_name("ü" * 100, OSError(code, "")) == "ü" * 100


def test_the_name_of_a_folder_keeps_its_end(tmp_path, monkeypatch):
    limit(monkeypatch, 50, told=50)
    name = "x" * 30 + ".example.local"
    assert fitting_name(name, tmp_path, folder=True) == "x" * 24 + ".local"
    assert fitting_name(name, tmp_path) == "x" * 21 + ".download"


OFFERED = [
    "отчёт.pdf",
    "Müller \N{EN DASH} Angebot.docx",
    "日本語.tar",
    "-ü",
    "\N{EURO SIGN}.desktop",
]
LAND = """
import sys
from pathlib import Path
from twisted_oob.files.folder import Folder
from twisted_oob.files.landing import Landing, commit_all
assert sys.getfilesystemencoding() == "ascii"
for name in sys.argv[2:]:
    file = Landing(Folder(Path(sys.argv[1])))
    [outcome] = commit_all([(file, eval(name), b"x")])
    assert isinstance(outcome, Path), outcome
"""


def test_a_locale_that_has_ascii_only_gets_names_of_it(tmp_path):
    made = [ascii(file_name(None, "", offered=name)) for name in OFFERED]
    locale = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", LAND, tmp_path, *made],
        env=os.environ | locale | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == sorted(
        ["_____.pdf", "Muller _ Angebot.docx", "___.tar", "u", "_.desktop.download"]
    )
