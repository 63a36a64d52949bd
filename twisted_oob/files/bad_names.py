"""Names that other programs take for something else than a file: the table, with each reason.

A name from a stranger is data, but few programs treat every name so. A shell hands names to
programs that look for options among them, a file manager obeys some files when it only shows their
folder, and Windows hides the suffix of a shortcut, so that ``notes.txt.lnk`` is shown as a text.
Browsers rename such files, too: what Chromium's ``net/base/filename_util`` and Firefox's external
helper service do is in here.

A program under its own suffix (``.exe``, ``.sh``, ``.js``) keeps it: it is what its name says.
"""

from __future__ import annotations

import re
from typing import Final

LOST_AT_START: Final[dict[str, str]] = {
    " ": "nobody sees it, and unquoted it splits a name in two",
    ".": "hides the file; our own part files begin with one; two of them are the folder above",
    "-": "makes an option of the name, as in 'tar cf x *'",
    # Programs of Windows that use its old code pages get a plain dash for each ("best fit").
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d": "becomes a dash on Windows",
    "\u2500\u252c\u2534\u2550\u2564\u2565\u2566\u2567\u2568\u2569": "so do these parts of boxes",
    # The slash of fractions, division, set minus, and both slashes in full width.
    "\u2044\u2215\u2216\uff0f\uff3c": "becomes a slash on Windows: the root of a disk",
    "~": "a home folder to shells and to expanduser(); '~$' is an open document to Office",
}
"""Characters that a name loses at its start: as many as there are, in any order."""

LOST_AT_END: Final[dict[str, str]] = {
    " .": "Windows drops them, so that 'con.' would be 'con'",
    "~": "a backup: file managers and 'ls -B' hide it, and who cleans up deletes it",
}
"""Characters that a name loses at its end, likewise."""

UNDERSCORE_BEFORE: Final[dict[str, str]] = {
    # A dash is dropped, but a plus sign often belongs to what the name says: "+1.txt".
    "+": "a command to vim and less, '+!id'; spreadsheets take it for a formula in a list of names",
    "@": "a file with more arguments to compilers, Java and 7z; a formula to some spreadsheets",
    "=": "a formula to spreadsheets; the path of a command to zsh",
    "\ufe62\ufe66\ufe6b\uff0b\uff1d\uff20": "becomes one of these on Windows, by best fit",
    "\u250c\u2510\u2514\u2518\u251c\u253c\u2552\u2553\u2554\u2555\u2556\u2557\u2558\u2559\u255a\u255b"
    "\u255c\u255d\u256a\u256b\u256c": "becomes a plus sign there, being a corner of a box",
}
"""Characters before which a name gets an underscore if it begins with one."""

BAD_NAMES: Final[dict[str, str]] = {
    "desktop.ini": "Explorer shows the folder as it says, and loads what it points to",
    "folder.htt": "Explorer of older Windows shows the folder by this page",
    "thumbs.db ehthumbs.db ehthumbs_vista.db": "Explorer reads it for its pictures of the files",
    "autorun.inf": "Windows runs what it says when the medium is opened",
    "autorun autorun.sh": "desktops run it from a medium (freedesktop's autostart specification)",
    "autoopen": "desktops open what it says from a medium (the same specification)",
}
"""Whole names, several in a line, that get an underscore before them. Case does not matter."""

BAD_SUFFIXES: Final[dict[str, str]] = {
    "lnk pif scf shb shs xnk": "Explorer never shows the suffix; a command, or a link to one",
    "url website": "Explorer never shows the suffix; a link to anywhere, also to a program",
    "library-ms search-ms searchconnector-ms": (
        "Explorer never shows the suffix; another's folder that looks like one of this machine"
    ),
    "appref-ms application xbap jnlp appinstaller": "installs or runs a program from a server",
    "mapimail mydocs desklink zfsendtotarget": "Explorer never shows the suffix; a target to send",
    # .mar and .mat, which Access has as well, are Mozilla's archives and MATLAB's data to others.
    "mad maf mag mam maq mas mav maw": (
        "Explorer never shows the suffix; a shortcut to a part of anybody's Access database"
    ),
    "settingcontent-ms appcontent-ms": "looks like a setting; runs a command",
    "theme themepack deskthemepack": (
        "looks like a picture for the desktop; fetches from a server, with the user's password hash"
    ),
    "scr cpl msc hta wsh sct gadget diagcab": (
        "looks like a screen saver, a setting, a page or a help; is a program"
    ),
    "local exe.manifest exe.config": (
        "says which libraries the program of that name beside it loads (DLL redirection)"
    ),
    "desktop kdelnk": "a starter: shown under the name and picture that it says; runs a command",
    "webloc inetloc fileloc afploc ftploc mailloc newsloc vncloc atloc": (
        "macOS never shows the suffix; a link to anywhere, also to a program"
    ),
    "command tool terminal": "macOS opens it in a Terminal and runs it",
}
"""Suffixes, several in a line, after which a name gets HARMLESS_SUFFIX. Case does not matter."""

HARMLESS_SUFFIX: Final = ".download"
"""What browsers put there, too. No program opens it."""

# What becomes "../" on Windows, by best fit, and so leads out of the folder. A dot in full width
# becomes a dot.
_SLASH: Final = "[\u2044\u2215\u2216\uff0f\uff3c]"
_WAY_UP: Final = re.compile(rf"{_SLASH}(?=[.\uff0e]{{2}})|(?<=[.\uff0e]{{2}}){_SLASH}")
# Windows opens a device by these names, with any suffix and with spaces before it.
_DEVICE: Final = re.compile(
    r"(con|prn|aux|nul|clock\$|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\.|\Z)",
    re.IGNORECASE,
)
# To Windows, a class identifier ("x.txt.{3050F4D8-...}") is a type without a suffix to show
# (CVE-2004-0420). Chromium takes all in braces for one, too.
_CLASS: Final = re.compile(r"\.\{[^.]*\}\Z")
# Emacs keeps in "#x#" what is not saved yet of x, and offers to recover x from it.
_UNSAVED: Final = re.compile(r"#.*#\Z", re.DOTALL)
# Windows' dialogs and shells put a variable's value here; saved under the name, it tells a user's
# name, for instance (CVE-2022-0337). A percent-encoded byte, as in "%C3%BC", names no variable.
_VARIABLE: Final = re.compile(r"%(?![0-9A-F]{2}%)[A-Z_][A-Z0-9_()]*%", re.IGNORECASE)


def _listed(table: dict[str, str]) -> frozenset[str]:
    return frozenset(" ".join(table).split())


_AT_START: Final = "".join(LOST_AT_START)
_AT_END: Final = "".join(LOST_AT_END)
_BEFORE: Final = tuple("".join(UNDERSCORE_BEFORE))
_NAMES: Final = _listed(BAD_NAMES)
_SUFFIXES: Final = tuple(sorted(f".{suffix}" for suffix in _listed(BAD_SUFFIXES)))


def harmless(name: str, *, folder: bool = False) -> str:
    """Make a name mean nothing but a file.

    A name that is harmless stays as it is.

    Args:
        name: A name without slashes, control characters or others that nobody sees.
        folder: It is a folder's name. A suffix means nothing there: ``chat.example.local``.

    Returns:
        The name; empty if nothing is left.
    """
    name = _WAY_UP.sub("_", name.lstrip(_AT_START).rstrip(_AT_END))
    if _VARIABLE.search(name):
        name = name.replace("%", "_")
    folded = name.casefold()
    if name.startswith(_BEFORE) or folded in _NAMES or _DEVICE.match(name) or _UNSAVED.match(name):
        name = f"_{name}"
    if (not folder and folded.endswith(_SUFFIXES)) or _CLASS.search(name):
        name += HARMLESS_SUFFIX
    return name
