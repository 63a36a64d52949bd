"""The options of ``twistd oob-responder``, and a good value for each."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.words.protocols.jabber.jid import JID

from twisted_oob.commands.options import Options

NAMES = sorted(name.rstrip("=") for name in Options().longOpt if name not in {"help", "version"})
"""Every option that there is, without its dashes."""

_COMPONENT = ("--component", "a.b", "--secret-file", "file", "--allow-from", "c")
VALUED = {
    "allow-file": ("file", "file", ()),
    "allow-from": ("a@b.c", "a@b.c", ()),
    "allow-network": ("10.0.0.0/8", ip_network("10.0.0.0/8"), ()),
    "ca-file": ("file", "file", ()),
    "component": ("x.y", "x.y", _COMPONENT[2:]),
    "concurrency": ("3", 3, ()),
    "deny-network": ("10.0.0.0/8", ip_network("10.0.0.0/8"), ()),
    "dir-mode": ("2750", 0o2750, ()),
    "domain": ("x.y", "x.y", ()),
    "download-dir": ("folder", "folder", ()),
    "file-mode": ("640", 0o640, ()),
    "grace": ("2.5", 2.5, ()),
    "host": ("x.y", "x.y", _COMPONENT),
    "jid": ("a@b.c", JID("a@b.c"), ("--password-file", "file")),
    "join": (
        "Plans@rooms.x.y/Our Files",
        JID("plans@rooms.x.y/Our Files"),
        ("--jid", "a@b.c", "--password-file", "file"),
    ),
    "listen": ("tcp:0", "tcp:0", ()),
    "max-size": ("1Ki", 1024, ()),
    "min-rate": ("2K", 2000, ()),
    "password-file": ("file", "file", ("--jid", "a@b.c")),
    "port": ("77", 77, _COMPONENT),
    "public-url": ("https://x.y/f", "https://x.y/f", ("--serve", "served")),
    "queue-timeout": ("7.5", 7.5, ()),
    "secret-file": ("file", "file", ()),
    "serve": ("served", "served", ()),
    "serve-listen": ("tcp:7", "tcp:7", ("--serve", "served")),
    "stall-timeout": ("7", 7.0, ()),
    "timeout": ("1.5", 1.5, ()),
    "user-agent": ("bot/1.0 (+https://x.y)", "bot/1.0 (+https://x.y)", ()),
    "via": ("share", "share", ("--serve", "served")),
}
"""For each option that takes a value: one, what it is parsed to, and the options it needs.

A relative path becomes absolute. ``file`` and the folder ``served`` are there: see ``be_there``.
"""


REPEATABLE = {"allow-file", "allow-from", "allow-network", "deny-network", "join"}
"""The options that add up."""


def be_there(folder):
    """Make what the values in VALUED name."""
    (folder / "file").touch()
    (folder / "served").mkdir()


def parsed(*words):
    """Parse a command line."""
    options = Options()
    options.parseOptions(list(words))
    return options
