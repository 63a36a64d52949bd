"""Parsers for the values of the options: text from a command line in, a checked value out.

Each parser raises ValueError if the text is not a good value. The message says what is wrong and
what would be right; ``not_valid`` puts the option and the text in front of it. Parsers of paths
also let an OSError through, for example for a name that is too long, unless ``parsed`` calls them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, TypeVar

from twisted.words.protocols.jabber.jid import JID

from twisted_oob._checks import HIGHEST_PORT, check_field_value
from twisted_oob._urls import to_uri
from twisted_oob.protocol.data import check_text
from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.jid import parse_jid

TIMEOUT: Final = "900"
"""Seconds that a file may take by default, at either end: as long as OOBHandler waits."""
LISTEN: Final = "tcp:0"
"""Where a share listens by default: at any free port of IPv4."""
LISTEN_LOCALLY: Final = f"{LISTEN}:interface=127.0.0.1"
"""Where it listens if nobody but this machine should reach it."""
SHARE: Final = "share"
"""How a file gets its URL: from a share of this process."""
UPLOAD: Final = "upload"
"""How a file gets its URL: by an upload to the server."""
VIA: Final = "auto"
"""How a file gets its URL by default: as it can best be had."""

_OCCUPANT: Final = "plans@conference.example.org/files"
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

# Not float() alone: it also reads nan, inf, 1e999 and 1_0. The limit on the digits keeps the
# number of seconds within what a timer can hold.
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
# The limit on the digits keeps the bytes of any time within what a float can hold.
_RATE: Final = re.compile(r"([0-9]{1,15})([KMG]i?)?", re.ASCII)
# Fewer digits are more likely a slip than a mode.
_MODE: Final = re.compile(r"(?:0o)?0?([0-7]{3,4})", re.ASCII)


_T = TypeVar("_T")


def parsed(text: str, parse: Callable[[str], _T]) -> _T:
    """Parse a value with one of the parsers below.

    Raises:
        ValueError: It is not a good value; the message says what is wrong with it.
    """
    try:
        return parse(text)
    except OSError as error:
        raise ValueError(error.strerror) from None


def not_valid(option: str, text: str, reason: object) -> str:
    """Say that an option has no good value."""
    return f"{option} {text!r} is not valid: {reason}"


def not_usable(option: str, what: Path | str, error: OSError | ValueError) -> str:
    """Say that the file or the program that an option names can't be used."""
    reason = error.strerror if isinstance(error, OSError) else error
    return f"{option} {str(what)!r} can't be used: {reason}"


def parse_size(text: str) -> int:
    """Parse a size in bytes; K, M and G are powers of 1000, Ki, Mi and Gi of 1024."""
    match = re.fullmatch(r"([0-9]+)([KMG]i?)?", text)
    if match is None or not int(match[1]):
        raise ValueError("expected a size above 0, such as 500K, 100M or 2Gi")
    return int(match[1]) * _UNITS[match[2] or ""]


def parse_rate(text: str) -> int:
    """Parse a rate in bytes a second, which may be 0; with the units of ``parse_size``."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError("expected bytes a second, such as 1000 or 50K, or 0 for no limit")
    return int(match[1]) * _UNITS[match[2] or ""]


def format_size(size: int) -> str:
    """Write a size in the largest unit of 1000 that it is a whole number of: ``100M``."""
    for unit in ("G", "M", "K"):
        if size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def parse_seconds(text: str) -> float:
    """Parse a number of seconds above 0."""
    if _SECONDS.fullmatch(text) is None or not float(text):
        raise ValueError("expected a number of seconds above 0, such as 30 or 2.5")
    return float(text)


def parse_grace(text: str) -> float:
    """Parse a number of seconds, which may be 0."""
    if _SECONDS.fullmatch(text) is None:
        raise ValueError("expected a number of seconds, 0 or more")
    return float(text)


def parse_count(text: str) -> int:
    """Parse a whole number above 0."""
    if re.fullmatch(r"[0-9]+", text) is None or not int(text):
        raise ValueError("expected a whole number above 0")
    return int(text)


def parse_file_mode(text: str) -> int:
    """Parse the permission bits of files, in octal.

    Their owner may read them. Nobody may do what their owner may not: no use is known for that, and
    what was meant as a decimal number shows by it.
    """
    mode = _octal(text)
    if not mode & 0o400 or mode & 0o777 != mode or (mode >> 3 | mode) & 0o7 & ~(mode >> 6):
        raise ValueError(
            "expected an octal mode such as 640, in which the owner may read, and others no more"
        )
    return mode


def parse_dir_mode(text: str) -> int:
    """Parse the mode of folders, in octal; it may have the set-group-ID and the sticky bit."""
    mode = _octal(text)
    if mode | 0o700 != mode or mode & ~0o3777:
        raise ValueError(
            "expected an octal mode such as 750 or 2750, in which the owner may do everything"
        )
    return mode


def _octal(text: str) -> int:
    match = _MODE.fullmatch(text)
    return 0 if match is None else int(match[1], 8)


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Parse a network in CIDR notation."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"expected a network such as 10.0.0.0/8 or fd00::/8 ({error})") from None


def parse_allowed(text: str) -> str:
    """Check an entry for an AllowList; returns it as it was given."""
    try:
        AllowList([text])
    except ValueError as error:
        raise ValueError(f"expected a JID, a domain or * for everybody{_because(error)}") from None
    return text


def _because(error: ValueError) -> str:
    """Give the reason of an error without the JID, which whoever shows it has written already."""
    _jid, _is, reason = str(error).partition(" is not a valid JID: ")
    return f": {reason or error}"


def parse_domain(text: str) -> str:
    """Parse a domain: a JID that is only a host."""
    try:
        jid = parse_jid(text)
    except ValueError:
        jid = None
    if jid is None or jid.user or jid.resource:
        raise ValueError("expected a domain such as oob.example.org")
    return jid.host


def parse_recipient(text: str) -> JID:
    """Parse the JID of whom something is sent to."""
    try:
        return parse_jid(text)
    except ValueError as error:
        raise ValueError(f"expected a JID, such as bob@example.org{_because(error)}") from None


def parse_room(text: str) -> JID:
    """Parse the JID of an occupant of a room (XEP-0045): the room, and a nick as its resource."""
    wanted = "expected a room with a nick"
    try:
        jid = parse_jid(text)
    except ValueError as error:
        raise ValueError(f"{wanted}, such as {_OCCUPANT}{_because(error)}") from None
    if jid.user and not jid.resource:
        raise ValueError(f"{wanted}, such as {text.rstrip('/')}/files")
    if not jid.user:
        raise ValueError(f"{wanted}, such as {_OCCUPANT}")
    return jid


def parse_account(text: str) -> JID:
    """Parse the JID of an account, with or without a resource."""
    try:
        jid = parse_jid(text)
    except ValueError:
        jid = None
    if jid is None or not jid.user:
        raise ValueError("expected the JID of an account, such as files@example.org")
    return jid


def parse_endpoint(text: str) -> str:
    """Check the description of a server endpoint; returns it as it was given."""
    # Not above: whoever asks for help should not wait for it; the first installs a reactor.
    from twisted.internet import reactor  # noqa: PLC0415
    from twisted.internet.endpoints import serverFromString  # noqa: PLC0415

    # Twisted reports a bad port only when it listens, and then with a traceback.
    port = re.match(r"(?:tcp6?|ssl|tls):(?:port=)?(-?[0-9]+)", text)
    try:
        if port is not None and not 0 <= int(port[1]) <= HIGHEST_PORT:
            raise ValueError(f"a port is 0 to {HIGHEST_PORT}")
        serverFromString(reactor, text)
    except Exception as error:
        # Each kind of endpoint has its own parser, with exceptions of its own. Only a ValueError is
        # made to be read by a person.
        reason = f" ({error})" if isinstance(error, ValueError) else ""
        raise ValueError(
            f"expected a Twisted server endpoint such as tcp:5347:interface=127.0.0.1{reason}"
        ) from None
    return text


def parse_public_url(text: str) -> str:
    """Check the URL that a share is reached at; returns it as a URI."""
    try:
        url = to_uri(text)
    except ValueError:
        url = ""
    if re.match(r"https?://[^/?#@]+(/[^?#]*)?$", url, re.IGNORECASE) is None:
        raise ValueError("expected a URL such as https://files.example.org/shared")
    return url


def parse_via(text: str) -> str:
    """Check how a file gets its URL."""
    if text not in {VIA, SHARE, UPLOAD}:
        raise ValueError(f"expected {VIA}, {SHARE} or {UPLOAD}")
    return text


def parse_text(text: str) -> str:
    """Check that a text can be sent; returns it as it was given."""
    check_text("it", text)
    return text


def parse_user_agent(text: str) -> str:
    """Check a User-Agent (RFC 9110 section 10.1.5); returns it as it was given."""
    try:
        return check_field_value("it", text)
    except ValueError:
        raise ValueError(
            "expected printable ASCII in one line, without spaces around it, such as bot/1.0"
        ) from None


def parse_host(text: str) -> str:
    """Check the name or address of a host; returns it as it was given."""
    from twisted_oob._tls import is_address  # noqa: PLC0415  (as above)

    if is_address(text):
        return text
    try:
        # The codec raises UnicodeError if a label is empty or too long.
        text.encode("idna")
        valid = re.search(r"[\s/@:\x00-\x20]", text) is None
    except UnicodeError:
        valid = False
    if not text or not valid:
        raise ValueError("expected the name or address of a host, such as xmpp.example.org")
    return text


def parse_port(text: str) -> int:
    """Parse a TCP port to connect to."""
    if re.fullmatch(r"[0-9]{1,5}", text) is None or not 1 <= int(text) <= HIGHEST_PORT:
        raise ValueError(f"expected a TCP port, 1 to {HIGHEST_PORT}")
    return int(text)


def parse_directory(text: str) -> Path:
    """Parse the path of a directory that exists or can be created; returns it absolute."""
    if not text:
        raise ValueError("expected the path of a directory; . is the current one")
    path = Path(text).absolute()
    # The nearest parent that exists decides whether the rest can be created.
    existing = path
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise ValueError(f"not a directory: {existing}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"no permission to write in {existing}")
    return path


def parse_served_folder(text: str) -> Path:
    """Parse the path of a directory whose files can be read; returns it absolute."""
    if not text:
        raise ValueError("expected the path of a directory; . is the current one")
    path = Path(text).absolute()
    if not path.exists():
        raise ValueError(f"no such directory: {path}")
    if not path.is_dir():
        raise ValueError(f"not a directory: {path}")
    if not os.access(path, os.R_OK | os.X_OK):
        raise ValueError(f"no permission to read in {path}")
    return path


def parse_file(text: str) -> Path:
    """Parse the path of a file that exists or can be created; returns it absolute."""
    path = Path(text).absolute()
    if path.exists():
        _check_file(path)
    if not path.parent.is_dir():
        raise ValueError(f"no such directory: {path.parent}")
    return path


def parse_existing_file(text: str) -> Path:
    """Parse the path of a file that exists; returns it absolute."""
    path = Path(text).absolute()
    if not path.exists():
        raise ValueError(f"no such file: {path}")
    _check_file(path)
    return path


def _check_file(path: Path) -> None:
    # A shell hands over what a program prints as a pipe, such as /dev/fd/63.
    if not path.is_file() and not path.is_fifo():
        raise ValueError("expected a file, not a directory or device")
