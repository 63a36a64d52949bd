"""Reading a stranger's URL: judged and taken apart, without a reactor or I/O.

Each rule closes a gap between two readers: what we judge must be what the resolver and the server
are asked for. So a URL is taken apart once, here, by RFC 3986, and nobody reads it again. Its path
and query go to the server octet for octet (RFC 9112 section 3.2.1): ``//a``, ``/a;``, ``/a?`` and
``/a/../b`` are other resources than what a tidy reader makes of them.

The host is ASCII from here on. An international name, also one in percent-encoded UTF-8 (RFC 3986
section 3.2.2), becomes A-labels, and what that makes an address (``127.0.0.1`` in full-width
digits) is judged as one. A host with percent-encoded ASCII may be one host here and another one
there, so it is forbidden.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from twisted_oob._urls import HOST_NAME, a_labels, shown_url
from twisted_oob.errors import Forbidden
from twisted_oob.files.bad_ports import BAD_PORTS

_PORTS: Final = {"http": 80, "https": 443}
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Target:
    """One URL, judged and taken apart, ready to be asked for.

    Its ``repr`` has neither the query nor the credentials.

    Attributes:
        scheme: ``http`` or ``https``.
        host: ASCII, lower case; an IPv6 address without its brackets.
        port: The TCP port, also if the URL does not name it.
        path: The request target (RFC 9112 section 3.2.1): the path and the query as the URL has
            them, without the fragment. It begins with a slash.
        authorization: The value of an Authorization header for this origin, or None.
        first: The URL whose redirects led here; None if no redirect did. Its credentials are for
            its own origin only.
    """

    scheme: str
    host: str
    port: int
    path: str
    authorization: bytes | None = None
    first: Target | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown_url(self.url)!r})"

    @property
    def authority(self) -> str:
        """The host and a port that is not the scheme's own: the Host header's value.

        See RFC 9110 section 7.2.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without userinfo and fragment."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """The scheme, host and port: what may see the same credentials (RFC 6454 section 4)."""
        return self.scheme, self.host, self.port


class Reference(NamedTuple):
    """The parts of a URI reference (RFC 3986 section 4.1), as they are written.

    A part that is not there is None, which is not the same as an empty one. The fragment is left
    out, as no server is told of it.
    """

    scheme: bytes | None
    authority: bytes | None
    path: bytes
    query: bytes | None


BAD_URL: Final = "this is not a URL that can be fetched"
BAD_PORT: Final = "this port is not allowed"
# How much of what a stranger wrote our own log quotes, in characters or bytes.
_QUOTED: Final = 100
_NOT_IN_URLS: Final = re.compile(rb"[^\x21-\x7e]|\\")
# Some readers drop one of these silently. Others read a backslash as a slash, or not.
_AMBIGUOUS: Final = re.compile(rb"[\0-\x20\x7f\\]")
_SCHEME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*):")  # RFC 3986 section 3.1
_HOST_AND_PORT: Final = re.compile(rb"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
# Not of ASCII.
_ENCODED_UTF_8: Final = re.compile(rb"(?:%[89A-Fa-f][0-9A-Fa-f])+")
_MALFORMED: Final = "the URL's host or port is malformed"


def read_url(url: str) -> Target:
    """Judge a URL and take it apart.

    Non-ASCII characters of the path and query are percent-encoded as UTF-8 (RFC 3987 section 3.1).
    Everything else stays as it is. Dot segments stay, too: only a redirect resolves them.

    Args:
        url: Any text.

    Raises:
        Forbidden: The text is not an http or https URL with a host, or its port is one that
            browsers block. The error never repeats the URL, which may hold a password.
    """
    raw = url.encode("utf-8", "surrogatepass")
    _check_unambiguous(raw)
    return judge(read_reference(raw))


def read_reference(raw: bytes) -> Reference:
    """Take a URI reference apart (RFC 3986 appendix B). Every text is one."""
    rest, question, query = raw.partition(b"#")[0].partition(b"?")
    authority = scheme = None
    if (found := _SCHEME.match(rest)) is not None:
        scheme, rest = found[1], rest[found.end() :]
    if rest.startswith(b"//"):
        authority, slash, path = rest[2:].partition(b"/")
        rest = slash + path
    return Reference(scheme, authority, rest, query if question else None)


def path_of(url: str) -> str:
    """Give the path of a URL that nobody has judged, without an error, for a name to show."""
    return percent_encoded(read_reference(url.encode("utf-8", "surrogatepass")).path)


def judge(reference: Reference) -> Target:
    """Judge the parts of an absolute URL. A path and query of any bytes are percent-encoded.

    Raises:
        Forbidden: As for ``read_url``.
    """
    scheme = (reference.scheme or b"").decode("ascii").lower()
    if scheme not in _PORTS:
        raise Forbidden("only http and https are allowed", detail=f"scheme {quoted(scheme)}")
    authority = reference.authority or b""
    _check_unambiguous(authority)
    userinfo, _, place = authority.rpartition(b"@")
    found = _HOST_AND_PORT.fullmatch(place)
    if found is None:  # the text may hold a part of the userinfo
        raise Forbidden(BAD_URL, detail=_MALFORMED)
    path = percent_encoded(reference.path) or "/"
    if reference.query is not None:
        path = f"{path}?{percent_encoded(reference.query)}"
    return Target(
        scheme=scheme,
        host=_host(found[1]),
        port=_port(found[2]) if found[2] else _PORTS[scheme],
        path=path,
        authorization=_basic(userinfo) if userinfo else None,
    )


def quoted(text: str | bytes) -> str:
    """Quote what a stranger wrote for our own log, cut to its first 100 characters or bytes."""
    return repr(text[:_QUOTED])


def percent_encoded(raw: bytes) -> str:
    """Percent-encode every byte that may not stand in a URL (RFC 3986 section 2.1)."""
    return _NOT_IN_URLS.sub(lambda match: b"%%%02X" % ord(match[0]), raw).decode("ascii")


def _check_unambiguous(raw: bytes) -> None:
    if _AMBIGUOUS.search(raw) is not None:
        raise Forbidden(BAD_URL, detail="a space, backslash or control character in the URL")


def _host(raw: bytes) -> str:
    """Judge the host of a URL (RFC 3986 section 3.2.2), and give it in ASCII."""
    if raw.startswith(b"["):
        return _ipv6(raw[1:-1])
    raw = _ENCODED_UTF_8.sub(lambda encoded: unquote_to_bytes(encoded[0]), raw)
    try:
        written = raw.decode()
        host = written.lower() if written.isascii() else a_labels(written)
    except ValueError:
        host = ""
    if HOST_NAME.fullmatch(host) is None:
        raise Forbidden(BAD_URL, detail=f"host name {quoted(raw.decode(errors='replace'))}")
    return host


def _ipv6(raw: bytes) -> str:
    try:
        address = IPv6Address(raw.decode("ascii"))
    except ValueError:
        address = None
    # A zone names one of our own interfaces (RFC 6874), which a stranger has no say in.
    if address is None or address.scope_id is not None:
        raise Forbidden(BAD_URL, detail=f"IPv6 address {quoted(raw.decode(errors='replace'))}")
    return str(address)


def _port(digits: bytes) -> int:
    """Judge the port of a URL (RFC 3986 section 3.2.3)."""
    significant = digits.lstrip(b"0")
    # Nobody listens on port 0. Systems read it as "any port".
    if not significant:
        raise Forbidden(BAD_URL, detail="port 0")
    # The length first: to read a long number takes more than linear time.
    if len(significant) > len(str(_LARGEST_PORT)) or int(significant) > _LARGEST_PORT:
        raise Forbidden(BAD_URL, detail=_MALFORMED)
    port = int(significant)
    if port in BAD_PORTS:
        raise Forbidden(BAD_PORT, detail=f"browsers block port {port} ({BAD_PORTS[port]})")
    return port


def _basic(userinfo: bytes) -> bytes:
    """Turn a URL's userinfo into the value of an Authorization header (RFC 7617)."""
    user, _, password = userinfo.partition(b":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return b"Basic " + base64.b64encode(pair)
