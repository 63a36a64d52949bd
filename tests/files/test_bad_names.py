"""Names that other programs take for something else, and honest ones that look like them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_oob.files import bad_names
from twisted_oob.files.bad_names import harmless
from twisted_oob.files.names import file_name

# Written out once more: what is only compared with the table misses nothing that the table lacks.
CHANGED = {
    # options
    "--checkpoint-action=exec=sh notes.txt": "checkpoint-action=exec=sh notes.txt",
    "-": "",
    ".-~ -x": "x",
    "\N{EN DASH}rf": "rf",
    "\N{MINUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}rf": "rf",
    "\N{BOX DRAWINGS LIGHT HORIZONTAL}\N{BOX DRAWINGS DOUBLE HORIZONTAL}rf": "rf",
    "\N{FULLWIDTH SOLIDUS}etc\N{FULLWIDTH SOLIDUS}passwd": "etc\N{FULLWIDTH SOLIDUS}passwd",
    "-\N{DIVISION SLASH}.\N{FULLWIDTH REVERSE SOLIDUS}a": "a",
    "a\N{FRACTION SLASH}..\N{SET MINUS}..\N{DIVISION SLASH}b": "a_.._.._b",
    "\uff0e\uff0e\N{FULLWIDTH SOLIDUS}a": "\uff0e\uff0e_a",
    "x..\N{FULLWIDTH REVERSE SOLIDUS}": "x.._",
    # shells, editors, compilers, spreadsheets
    "~root": "root",
    "~": "",
    "~$report.docx": "$report.docx",
    "+!id": "_+!id",
    "-+x": "_+x",
    "@list.txt": "_@list.txt",
    "=cmd.txt": "_=cmd.txt",
    "\N{FULLWIDTH COMMERCIAL AT}list": "_\N{FULLWIDTH COMMERCIAL AT}list",
    "\N{BOX DRAWINGS LIGHT VERTICAL AND HORIZONTAL}!id": (
        "_\N{BOX DRAWINGS LIGHT VERTICAL AND HORIZONTAL}!id"
    ),
    "notes.txt~": "notes.txt",
    "notes~ .~": "notes",
    "#notes.txt#": "_#notes.txt#",
    "%USERNAME%.txt": "_USERNAME_.txt",
    "a %ProgramFiles(x86)% 5%.txt": "a _ProgramFiles(x86)_ 5_.txt",
    # whole names
    "desktop.ini": "_desktop.ini",
    "Desktop.INI. ": "_Desktop.INI",
    "AutoRun.inf": "_AutoRun.inf",
    "Thumbs.db~": "_Thumbs.db",
    "autorun.sh": "_autorun.sh",
    ".directory": "directory",
    ".DS_Store": "DS_Store",
    # devices
    "con": "_con",
    "Clock$.txt": "_Clock$.txt",
    "~aux.h": "_aux.h",
    "nul.lnk": "_nul.lnk.download",
    # suffixes
    "notes.txt.lnk": "notes.txt.lnk.download",
    "notes.LNK": "notes.LNK.download",
    "notes.ln\N{KELVIN SIGN}": "notes.ln\N{KELVIN SIGN}.download",
    "a.desktop": "a.desktop.download",
    "a.url .": "a.url.download",
    "a.scf~": "a.scf.download",
    "a.xnk": "a.xnk.download",
    "a.{3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}": (
        "a.{3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}.download"
    ),
    "setup.exe.local": "setup.exe.local.download",
    "setup.exe.manifest": "setup.exe.manifest.download",
    "=a.pif": "_=a.pif.download",
}
SUFFIXES = """pif website library-ms search-ms searchconnector-ms webloc inetloc fileloc theme
settingcontent-ms themepack local shb scr hta msc terminal maf"""
CHANGED |= {f"a.{suffix}": f"a.{suffix}.download" for suffix in SUFFIXES.split()}

HONEST = """a~b.txt|a ~ b|c++.txt|a+b|a-b|a@b.example.txt|x=1.txt|100%.txt|50%-60%.txt|#1 hits.mp3
Invention in C#|_x|!important.txt|$5.txt|'quoted'.txt|(1).jpg|[a] b.mp3|&c.txt|%C3%BC.txt|100% 5%
desktop.ini.txt|desktop (2).ini|my desktop.ini|autorun.txt|thumbs.dbx|directory|console.txt|com10
lnk|desktop|a.lnk.txt|lnk.txt|a.exe|a.sh|a.js|a.command.txt|a.locals|a.{b}.txt|a{b}|a.manifest
nul-terminated.txt|a.mat|a.mar|example.com|README|a.tar.gz|IMG~2.jpg|a.urls|a.download"""


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_taken_for_something_else_gets_another_name(name):
    made = harmless(name)
    assert made == CHANGED[name]
    assert harmless(made) == made


@pytest.mark.parametrize("name", HONEST.replace("\n", "|").split("|"))
def test_honest_names_stay(name):
    assert harmless(name) == name


@pytest.mark.parametrize("hidden", ["", "../", " ", ".", "\u200b", "\N{NO-BREAK SPACE}.\u202e\a"])
def test_whatever_way_a_name_comes(hidden):
    for name, changed in CHANGED.items():
        expected = unicodedata.normalize("NFC", changed) or "file"
        quoted = (hidden + name).encode().hex("%")
        assert file_name(None, f"/%{quoted}") == expected
        assert file_name(None, "/", offered=hidden + name) == expected
        header = f"attachment; filename*=UTF-8''%{quoted}".encode()
        assert file_name(header, "/") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chat.example.local", "chat.example.local"),
        ("room@chat.website", "room@chat.website"),
        ("-rf@chat.example", "rf@chat.example"),
        ("desktop.ini", "_desktop.ini"),
        ("a.{645FF040-5081-101B-9F08-00AA002F954E}", None),
    ],
)
def test_suffixes_mean_nothing_to_folders_but_class_identifiers_do(name, expected):
    assert harmless(name, folder=True) == (expected or f"{name}.download")


def test_each_entry_has_its_reason_and_is_lower_case():
    for table in (bad_names.BAD_NAMES, bad_names.BAD_SUFFIXES):
        names = " ".join(table).split()
        assert len(names) == len(set(names))
        assert [name.casefold() for name in names] == names
        assert all(len(reason) > 10 for reason in table.values())


@given(st.text(st.sampled_from("%ab~#-+.@ {}C3")))
def test_a_second_pass_changes_nothing(name):
    made = harmless(name)
    assert harmless(made) == made
