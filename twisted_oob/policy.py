"""What may be fetched and where it may land: pure decisions, no reactor and no I/O.

A URL comes from someone else, so fetching it is an attack surface (server-side request
forgery). Everything here either gives an answer or raises one of the errors that tell the
peer: ``Forbidden``, ``TooLarge``, ``FetchFailed``.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import math
import re
import secrets
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit

from twisted_oob.errors import FetchFailed, Forbidden, TooLarge

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OK: Final = 200
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One URL, judged and taken apart, ready to be asked for."""

    scheme: str
    host: str  # ASCII, lower case; an IPv6 address without its brackets
    port: int
    path: str  # with the query, without the fragment; never empty
    authorization: bytes | None = dataclasses.field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The URL without userinfo and fragment."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what may see the same credentials (RFC 6454)."""
        return self.scheme, self.host, self.port


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchPolicy:
    """What a Fetcher accepts from a stranger. Checked when made: a ValueError says what is wrong.

    ``max_size``: bytes; a file of exactly this size is accepted.
    ``allow_networks``: networks that may be fetched from although they are not global unicast.
        An IPv4 network also allows its addresses hidden in IPv6 (``::ffff:127.0.0.1``); an IPv6
        network allows every address written that way, whatever IPv4 address is hidden in it.
    ``max_redirects``: how many redirects are followed; 0 for none.
    ``timeout``: seconds for the whole transfer, from the name's resolution to the published file.
    ``stall_timeout``: seconds without a single byte from the server.
    """

    max_size: int = 100_000_000
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    max_redirects: int = 5
    timeout: float = 600.0
    stall_timeout: float = 30.0

    def __post_init__(self) -> None:
        """Refuse a policy that can't be meant."""
        for name, least in (("max_size", 1), ("max_redirects", 0)):
            number = getattr(self, name)
            if type(number) is not int or number < least:
                raise ValueError(f"{name} must be an int of at least {least}, not {number!r}")
        for name in ("timeout", "stall_timeout"):
            seconds = getattr(self, name)
            if type(seconds) not in {int, float} or not 0 < seconds < math.inf:
                raise ValueError(f"{name} must be a positive number of seconds, not {seconds!r}")
        networks = self.allow_networks
        if type(networks) is not tuple or not all(
            isinstance(network, IPv4Network | IPv6Network) for network in networks
        ):
            raise ValueError(
                "allow_networks must be a tuple of ipaddress.IPv4Network and IPv6Network, "
                f"not {networks!r}"
            )

    def check_address(self, address: str) -> None:
        """Forbid an IP address that is neither global unicast nor allowed.

        IPv4 hidden in IPv6 is what counts, except where the address as written is allowed.
        The error's text is the same for every address.
        """
        try:
            allowed = self._allows(ip_address(address))
        except ValueError:
            allowed = False
        if not allowed:
            raise Forbidden(
                "this address is not allowed",
                detail=f"{address} is neither global unicast nor in an allowed network",
            )

    def _allows(self, address: IPv4Address | IPv6Address) -> bool:
        if any(address in network for network in self.allow_networks):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in block for block in _SPECIAL_IPV4)
        stands_for = _stands_for(address)
        if stands_for is None:
            stands_for = _isatap(address)
            if address not in _GLOBAL_IPV6 or any(address in block for block in _SPECIAL_IPV6):
                return False
        return all(self._allows(hidden) for hidden in stands_for)

    def check_answer(self, status: int, encodings: Sequence[bytes], length: int | None) -> None:
        """Judge what a server says before its file.

        ``status``: only 200 is a whole file (RFC 9110 section 15).
        ``encodings``: the values of Content-Encoding; only ``identity`` is the file itself.
        ``length``: the declared Content-Length in bytes; None where there is none.
        """
        if status != _OK:
            raise FetchFailed(f"HTTP status {status}")
        for encoding in b",".join(encodings).split(b","):
            if encoding.strip().lower() not in {b"", b"identity"}:
                raise FetchFailed(
                    "the file has a Content-Encoding", detail=f"Content-Encoding {encoding!r}"
                )
        if length is not None:
            if length < 0:  # Twisted 22.1 lets this through (RFC 9110 section 8.6)
                raise FetchFailed("no proper answer from the server", detail=f"length {length}")
            self.check_size(length)

    def check_size(self, size: int) -> None:
        """Refuse more than ``max_size`` bytes."""
        if size > self.max_size:
            raise TooLarge(f"the file is larger than {self.max_size} bytes")

    def next_hop(self, target: Target, location: bytes | None, hop: int) -> Target:
        """Follow a redirect (RFC 9110 section 10.2.2): the next target, judged like the first.

        ``location``: the Location header; None where there is none.
        ``hop``: which redirect this is, counted from 1.
        Credentials stay with the origin they were given for.
        """
        if hop > self.max_redirects:
            raise FetchFailed("too many redirects")
        location = location and location.strip()
        if not location:
            raise FetchFailed("a redirect without a Location")
        try:
            url = urljoin(target.url, _ascii(location))
        except ValueError as error:
            raise Forbidden(_BAD_URL, detail=f"redirect: {type(error).__name__}") from None
        following = read_url(url)
        if (target.scheme, following.scheme) == ("https", "http"):
            raise Forbidden("a redirect from https to http is not allowed")
        if following.authorization is None and following.origin == target.origin:
            following = dataclasses.replace(following, authorization=target.authorization)
        return following


# Every block of the IANA IPv4 Special-Purpose Address Registry (RFC 6890) that is not globally
# reachable, multicast (RFC 5771), and the two whose exceptions serve no files (192.0.0.0/24,
# 192.88.99.0/24). Written out, since ``is_global`` differs from one Python release to the next.
_SPECIAL_IPV4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)

# All the global unicast space IANA gave out (RFC 3587), and what is special in it: protocol
# assignments (RFC 2928), documentation (RFC 3849, RFC 9637). Everything outside is special too.
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_SPECIAL_IPV6: Final = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))

# Where IPv6 hides IPv4: a network, and for each address in it the bits to skip on the right and
# the mask it is obfuscated with. The first network that matches counts. 64:ff9b:1::/48 (RFC 8215)
# is missing on purpose: where it keeps the IPv4 address is its own network's secret, so it is
# just not global.
_IPV4_IN_IPV6: Final[tuple[tuple[IPv6Network, tuple[tuple[int, int], ...]], ...]] = (
    (IPv6Network("::ffff:0:0/96"), ((0, 0),)),  # mapped, RFC 4291 section 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), ((0, 0),)),  # translated (SIIT), RFC 2765
    (IPv6Network("64:ff9b::/96"), ((0, 0),)),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), ((80, 0),)),  # 6to4, RFC 3056
    (IPv6Network("2001::/32"), ((64, 0), (0, 0xFFFF_FFFF))),  # Teredo's server, client: RFC 4380
    (IPv6Network("::/96"), ((0, 0),)),  # compatible, RFC 4291 section 2.5.5.1
)


def _stands_for(address: IPv6Address) -> tuple[IPv4Address, ...] | None:
    """The IPv4 addresses an IPv6 address is only another way to reach; None where it is its own."""
    # :: and ::1; is_loopback differs between Pythons for what hides an IPv4 address.
    if int(address) in (0, 1):
        return None
    for network, places in _IPV4_IN_IPV6:
        if address in network:
            return tuple(_bits(address, skip, mask) for skip, mask in places)
    return None


_ISATAP_MASK, _ISATAP = 0xFDFF_FFFF, 0x0000_5EFE


def _isatap(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 address in an ISATAP interface identifier, 0:5efe or 200:5efe (RFC 5214)."""
    if int(address) >> 32 & _ISATAP_MASK == _ISATAP:
        return (_bits(address, 0, 0),)
    return ()


def _bits(address: IPv6Address, skip: int, mask: int) -> IPv4Address:
    return IPv4Address((int(address) >> skip & 0xFFFF_FFFF) ^ mask)


_BAD_URL: Final = "this is not a URL that can be fetched"
_NOT_IN_URLS: Final = re.compile(rb"[^\x21-\x7e]|\\")
_HOST_NAME: Final = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")


def read_url(url: str) -> Target:
    """Judge a URL and take it apart: http or https, with a host and no more than a port.

    Any other URL is ``Forbidden``. Non-ASCII characters of the path and query are
    percent-encoded as UTF-8 (RFC 3987 section 3.1). The error never repeats the URL.
    """
    if re.search(r"[\0-\x20\x7f\\]", url):
        raise Forbidden(_BAD_URL, detail="a space, backslash or control character in the URL")
    try:
        parts = urlsplit(_ascii(url.encode("utf-8", "surrogatepass")))
        port = parts.port
    except ValueError:  # its text may hold the userinfo
        raise Forbidden(_BAD_URL, detail="the URL's host or port is malformed") from None
    if parts.scheme not in _PORTS:
        raise Forbidden("only http and https are allowed", detail=f"scheme {parts.scheme!r}")
    userinfo = parts.netloc.rpartition("@")[0]
    path = parts.path or "/"
    return Target(
        scheme=parts.scheme,
        host=_host(parts.hostname or "", bracketed=parts.netloc.rpartition("@")[2][:1] == "["),
        port=_PORTS[parts.scheme] if port is None else _real_port(port),
        path=f"{path}?{parts.query}" if parts.query else path,
        authorization=_basic(userinfo) if userinfo else None,
    )


def _ascii(raw: bytes) -> str:
    """Percent-encode every byte that may not stand in a URL (RFC 3986 section 2.1)."""
    return _NOT_IN_URLS.sub(lambda match: b"%%%02X" % ord(match[0]), raw).decode("ascii")


def _host(host: str, *, bracketed: bool) -> str:
    if not bracketed:
        if not _HOST_NAME.fullmatch(host):
            raise Forbidden(_BAD_URL, detail=f"host name {host!r}")
        return host
    try:
        address = IPv6Address(host)
    except ValueError:
        address = None
    if address is None or address.scope_id is not None:
        raise Forbidden(_BAD_URL, detail=f"IPv6 address {host!r}")
    return str(address)


def _real_port(port: int) -> int:
    if port == 0:
        raise Forbidden(_BAD_URL, detail="port 0")
    return port


def _basic(userinfo: str) -> bytes:
    """Turn a URL's userinfo into the value of an Authorization header (RFC 7617)."""
    user, _, password = userinfo.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return b"Basic " + base64.b64encode(pair)


_FALLBACK_NAME: Final = "file"
_NAME_BYTES: Final = 200  # of the 255 a file system takes, with room for a counter
_SUFFIX_BYTES: Final = 32  # what is longer is no suffix, only a dot in a name
_HEADER_BYTES: Final = 4096  # of a Content-Disposition; a longer one is not worth the search
_PARAMETER: Final = re.compile(
    r""";\s*(?P<name>[^\s;="]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^;"]*))""",
    re.DOTALL,
)
# Characters without a shape of their own that are not of the categories below.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
_DROPPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\.|\Z)", re.IGNORECASE
)


def file_name(disposition: bytes | None, path: str) -> str:
    """Choose the name a file lands under: safe in any folder, never empty.

    ``disposition``: the Content-Disposition header (RFC 6266), None where there is none. Its
        ``filename*`` (RFC 8187) wins over ``filename``; a broken one is ignored.
    ``path``: the path of the URL, for its last segment where the header gives no name.
    """
    names = [] if disposition is None else _names_in(disposition[:_HEADER_BYTES])
    names.append(unquote(path.partition("?")[0].rpartition("/")[2]))
    return next(filter(None, map(_safe, names)), _FALLBACK_NAME)


def _names_in(disposition: bytes) -> list[str]:
    try:
        header = disposition.decode("utf-8")
    except UnicodeDecodeError:
        header = disposition.decode("latin-1")
    extended, plain = [], []
    for match in _PARAMETER.finditer(f";{header}"):
        quoted, token, name = match["quoted"], match["token"], match["name"].lower()
        value = token.strip() if quoted is None else re.sub(r"(?s)\\(.)", r"\1", quoted)
        if name == "filename":
            plain.append(value)
        elif name == "filename*":
            extended.append(_extended(value))
    return extended + plain


def _extended(value: str) -> str:
    """Decode an extended parameter value, ``charset'language'text``; empty where it is broken."""
    charset, _, rest = value.partition("'")
    if charset.lower() not in {"utf-8", "iso-8859-1"}:
        return ""
    try:
        return unquote_to_bytes(rest.partition("'")[2]).decode(charset)
    except UnicodeDecodeError:
        return ""


def _safe(name: str) -> str:
    """Make one harmless path segment of a stranger's name; empty where nothing is left."""
    name = _INVISIBLE.sub("", re.split(r"[/\\]", name)[-1])
    name = "".join(c for c in name if unicodedata.category(c) not in _DROPPED)
    name = unicodedata.normalize("NFC", name)
    # A leading dot would hide the file, and the names of temporary files begin with one.
    name = re.sub(r'[<>:"|?*]', "_", re.sub(r"\s+", " ", name)).lstrip(" .").rstrip(" .")
    if _RESERVED.match(name):
        name = f"_{name}"
    stem, suffix = _split(name)
    stem = _cut(stem, _NAME_BYTES - len(suffix.encode()))
    return stem + suffix


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) >= _SUFFIX_BYTES:
        return name, ""
    return stem, dot + suffix


def _cut(text: str, size: int) -> str:
    if len(text.encode()) <= size:
        return text
    return text.encode()[:size].decode(errors="ignore").rstrip(" .")


def numbered_names(name: str) -> Iterator[str]:
    """Give names to try until one is free: ``a.txt``, ``a (2).txt``, ... without end.

    From the hundredth on the number is random, so many files of one name cost no long search.
    """
    yield name
    stem, suffix = _split(name)
    for number in range(2, 100):
        yield f"{stem} ({number}){suffix}"
    for token in map(secrets.token_hex, itertools.repeat(6)):
        yield f"{stem} ({token}){suffix}"
