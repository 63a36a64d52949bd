"""Reading a stranger's URL: judged and taken apart, without a reactor or I/O.

Each rule closes a gap between two readers: what we judge must be what the resolver and the HTTP
client use. A host with a percent-encoded, a full-width or a non-ASCII character may be one host
here and another one there, so it is forbidden.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from twisted_oob._urls import shown_url
from twisted_oob.errors import Forbidden

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Target:
    """One URL, judged and taken apart, ready to be asked for.

    Its ``repr`` has neither the query nor the credentials.

    Attributes:
        scheme: ``http`` or ``https``.
        host: ASCII, lower case; an IPv6 address without its brackets.
        port: The TCP port, also if the URL does not name it.
        path: The path and the query, without the fragment; never empty.
        authorization: The value of an Authorization header for this origin, or None.
    """

    scheme: str
    host: str
    port: int
    path: str
    authorization: bytes | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown_url(self.url)!r})"

    @property
    def url(self) -> str:
        """The URL without userinfo and fragment."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """The scheme, host and port: what may see the same credentials (RFC 6454 section 4)."""
        return self.scheme, self.host, self.port


BAD_URL: Final = "this is not a URL that can be fetched"
QUOTED: Final = 100
"""How much of what a stranger wrote our own log quotes, in characters or bytes."""
_NOT_IN_URLS: Final = re.compile(rb"[^\x21-\x7e]|\\")
# Labels of at most 63 characters, at most 253 together and a final dot (RFC 1035 section 2.3.4), of
# letters, digits and hyphens (RFC 1123 section 2.1), and underscores, which some hosts have.
_HOST_NAME: Final = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")


def read_url(url: str) -> Target:
    """Judge a URL and take it apart.

    Non-ASCII characters of the path and query are percent-encoded as UTF-8 (RFC 3987 section 3.1).

    Args:
        url: Any text.

    Raises:
        Forbidden: The text is not an http or https URL with a host. The error never repeats the
            URL, which may hold a password.
    """
    # urlsplit would drop some of these silently, and others read a backslash as a slash, or not.
    if re.search(r"[\0-\x20\x7f\\]", url):
        raise Forbidden(BAD_URL, detail="a space, backslash or control character in the URL")
    try:
        parts = urlsplit(percent_encoded(url.encode("utf-8", "surrogatepass")))
        port = parts.port
    except ValueError:  # its text may hold the userinfo, so it is not the cause either
        raise Forbidden(BAD_URL, detail="the URL's host or port is malformed") from None
    if parts.scheme not in _PORTS:
        raise Forbidden("only http and https are allowed", detail=f"scheme {quoted(parts.scheme)}")
    userinfo = parts.netloc.rpartition("@")[0]
    path = parts.path or "/"
    return Target(
        scheme=parts.scheme,
        host=_host(parts.hostname or "", bracketed=parts.netloc.rpartition("@")[2][:1] == "["),
        port=_PORTS[parts.scheme] if port is None else _real_port(port),
        path=f"{path}?{parts.query}" if parts.query else path,
        authorization=_basic(userinfo) if userinfo else None,
    )


def quoted(text: str | bytes) -> str:
    """Quote what a stranger wrote for our own log, cut to its first QUOTED characters or bytes."""
    return repr(text[:QUOTED])


def percent_encoded(raw: bytes) -> str:
    """Percent-encode every byte that may not stand in a URL (RFC 3986 section 2.1)."""
    return _NOT_IN_URLS.sub(lambda match: b"%%%02X" % ord(match[0]), raw).decode("ascii")


def _host(host: str, *, bracketed: bool) -> str:
    """Judge the host of a URL (RFC 3986 section 3.2.2)."""
    if not bracketed:
        if not _HOST_NAME.fullmatch(host):
            raise Forbidden(BAD_URL, detail=f"host name {quoted(host)}")
        return host
    try:
        address = IPv6Address(host)
    except ValueError:
        address = None
    # A zone names one of our own interfaces (RFC 6874), which a stranger has no say in.
    if address is None or address.scope_id is not None:
        raise Forbidden(BAD_URL, detail=f"IPv6 address {quoted(host)}")
    return str(address)


def _real_port(port: int) -> int:
    # Nobody listens on port 0. Systems read it as "any port".
    if port == 0:
        raise Forbidden(BAD_URL, detail="port 0")
    return port


def _basic(userinfo: str) -> bytes:
    """Turn a URL's userinfo into the value of an Authorization header (RFC 7617)."""
    user, _, password = userinfo.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return b"Basic " + base64.b64encode(pair)
