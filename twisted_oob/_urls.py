"""URLs as others may see them, and as they go over the wire; for every wing.

``to_uri`` makes a URI (RFC 3986) of what people and clients write. It changes nothing that is a URI
already. Nearly all URLs are, so that one regular expression sees it first, and what follows is for
the others only.

=============  =========================================================================
part           what becomes of a character that it can't hold
=============  =========================================================================
white space    cut, if it is around the URL
control        an error, anywhere else
scheme         an error
userinfo       percent-encoded as UTF-8; a backslash is an error: some take it for a slash
host           a name with non-ASCII characters becomes A-labels; else an error
port           an error
path, query,   percent-encoded as UTF-8; so is a "%" without two digits after it
fragment
=============  =========================================================================
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

MAX_URL_LENGTH: Final = 8192
"""The longest URL that is taken or sent, in characters (a URI is ASCII, so also in bytes)."""

# RFC 3986 appendix A; http and https need a host (RFC 9110 section 4.2). A percent sign is let
# through here and judged by _BAD_PERCENT, as an IPv6 address is by IPv6Address, so that no
# alternation repeats and the match stays linear. Most URLs have no userinfo, and are not searched
# for its end.
_SUB: Final = r"A-Za-z0-9\-._~!$&'()*+,;=%"
_USER: Final = rf"(?:[{_SUB}:]*@)?"
_IP_LITERAL: Final = rf"\[ (?: [0-9A-Fa-f:.]+ | [vV][0-9A-Fa-f]+\.[{_SUB}:]+ ) \]"
_PORT_AND_PATH: Final = rf"(?: :[0-9]* )? (?: /[{_SUB}:@/]* )?"
URI: Final = re.compile(
    rf"""
    (?: [hH][tT][tT][pP][sS]? :
        // (?: [{_SUB}]+ {_PORT_AND_PATH}
             | {_USER} (?: {_IP_LITERAL} | [{_SUB}]+ ) {_PORT_AND_PATH} )
      | (?! [hH][tT][tT][pP][sS]?: ) [A-Za-z][A-Za-z0-9+.\-]* :
        (?: // {_USER} (?: {_IP_LITERAL} | [{_SUB}]* ) {_PORT_AND_PATH}
          | (?!//)[{_SUB}:@/]* ) )
    (?: \?[{_SUB}:@/?]* )?
    (?: \#[{_SUB}:@/?]* )?
    """,
    re.VERBOSE,
)
"""An absolute URI, but for what is judged apart: a percent sign, and an IPv6 address."""
_NOT_A_URI: Final = "url is not an absolute URI (RFC 3986): "
_NO_HOST: Final = re.compile(
    r"https?:(?!//)|https?://(?:[^/?#\[\]]*@)?(?::[0-9]*)?(?:[/?#]|$)", re.IGNORECASE
)
_IPV6: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\]")
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

# Spaces, line breaks and tabs: whatever XML can hold of what Unicode calls white space.
_WHITE: Final = (
    "\t\n\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_PARTS: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.\-]*:)(?:(//)([^/?#]*))?([^?#]*)(?:(\?)([^#]*))?(?:(\#)(.*))?"
)
_NOT_IN_USER: Final = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^{_SUB}:\\@]")
_NOT_IN_PATH: Final = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^{_SUB}:@/]")
_NOT_IN_QUERY: Final = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^{_SUB}:@/?]")
HOST_NAME: Final = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
"""A host in lower case as DNS has it: labels of at most 63 characters, at most 253 together and a
final dot (RFC 1035 section 2.3.4), of letters, digits and hyphens (RFC 1123 section 2.1), and
underscores, which some hosts have."""
_LONGEST_LABEL: Final = 59  # RFC 1035 section 2.3.4, without "xn--"
_MOST_OF_A_HOST: Final = 254  # RFC 1035 section 2.3.4, with the final dot

_MOST_SHOWN: Final = 200
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_HOST_AND_PORT: Final = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::[0-9]*)?")
_USER_IN_PATH: Final = re.compile(r"(?<=[/\\]{2})[^/\\]*@")
_BEGINS_A_URL: Final = re.compile(
    r"""
    (?<!\S)
    (?! (?: [^\s:/\\@?\#]*                                         # a word
          | [^\s:/\\@?\#]+:[0-9]+                                  # a host and its port
          | [^\s:/\\@?\#]+@[^\s:/\\@?\#]+ (?: /[^\s:/\\@?\#]* )?  # a JID: it has no secret
        ) :? (?!\S) )
    \S
    """,
    re.VERBOSE,
)


def to_uri(text: str) -> str:
    """Make a URI of a URL as people and clients write it (RFC 3987 section 3.1).

    White space around it is cut. The host becomes A-labels, everything else percent-encoded UTF-8.
    What is a URI already stays as it is.

    Args:
        text: Any text.

    Returns:
        An absolute URI (RFC 3986) of at most MAX_URL_LENGTH characters.

    Raises:
        ValueError: No URI can be made of it. The message says why, without the URL.
    """
    if len(text) <= MAX_URL_LENGTH and URI.fullmatch(text) is not None:
        if "%" not in text and "[" not in text:
            return text
        if _BAD_PERCENT.search(text) is None:
            _check_ipv6(text)
            return text
    return _converted(text)


def _converted(text: str) -> str:
    text = text.strip(_WHITE)
    if not text:
        raise ValueError("url is blank; it must be an absolute URI (RFC 3986)")
    _check_length(text)
    bad = _CONTROL.search(text)
    if bad is not None:
        raise ValueError(
            f"url has the character U+{ord(bad[0]):04X} at {bad.start()}, which no URL can hold"
        )
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise ValueError(f"{_NOT_A_URI}it must begin with a scheme such as 'https:'")
    scheme, slashes, authority, path, question, query, hash_, fragment = parts.groups(default="")
    uri = "".join(
        (
            scheme,
            slashes,
            _authority(authority),
            _NOT_IN_PATH.sub(_percent_encoded, path),
            question,
            _NOT_IN_QUERY.sub(_percent_encoded, query),
            hash_,
            _NOT_IN_QUERY.sub(_percent_encoded, fragment),
        )
    )
    _check_length(uri)
    if URI.fullmatch(uri) is None:
        if _NO_HOST.match(uri):
            raise ValueError("url has no host, which http and https need (RFC 9110 section 4.2)")
        raise ValueError(f"{_NOT_A_URI}its user, host or port has a character that it can't")
    if _BAD_PERCENT.search(uri) is not None:
        raise ValueError(f"{_NOT_A_URI}'%' needs two hexadecimal digits after it in a host")
    _check_ipv6(uri)
    return uri


def _authority(authority: str) -> str:
    user, at, rest = authority.rpartition("@")
    if rest.isascii():
        return _NOT_IN_USER.sub(_percent_encoded, user) + at + rest
    host, colon, port = rest.partition(":")
    return _NOT_IN_USER.sub(_percent_encoded, user) + at + a_labels(host) + colon + port


def load_tables() -> None:
    """Load what international host names need, while there are file descriptors for it.

    Otherwise the first such name of a process has Python open files, which may fail.
    """
    a_labels("\u0254.example")


def a_labels(host: str) -> str:
    """Give a host name with non-ASCII characters as A-labels (RFC 5890 section 2.3.2.1).

    What is left may be an address in ASCII: full-width digits and dots become usual ones.

    Raises:
        ValueError: It is no name that DNS can hold. The message does not repeat it.
    """
    import idna  # noqa: PLC0415  (its tables take a while, and few need them)

    # Before the conversion, which takes more than linear time.
    if len(host) <= _MOST_OF_A_HOST:
        try:
            # As browsers do: full-width letters and dots and capitals are mapped (UTS 46).
            mapped = idna.uts46_remap(host, std3_rules=False)
            converted = ".".join(map(_a_label, re.split("[.\u3002]", mapped)))
        except (idna.IDNAError, UnicodeError):
            converted = ""
        if HOST_NAME.fullmatch(converted):
            return converted
    raise ValueError(f"{_NOT_A_URI}its host is no domain name")


def _a_label(label: str) -> str:
    """Give a label in ASCII. IDNA 2008 is not asked, as there are domains with hearts in them.

    Raises:
        UnicodeError: It is too long. So a host with many such labels takes no longer than with one.
    """
    if label.isascii():
        return label
    # Each character takes one or more. To encode takes the square of their number.
    encoded = "" if len(label) > _LONGEST_LABEL else label.encode("punycode").decode("ascii")
    if not 0 < len(encoded) <= _LONGEST_LABEL:
        raise UnicodeError("a label is too long")
    return f"xn--{encoded}"


def _percent_encoded(bad: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in bad[0].encode()])


def _check_length(url: str) -> None:
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"url has {len(url)} characters; at most {MAX_URL_LENGTH} are allowed")


def _check_ipv6(uri: str) -> None:
    if "[" in uri:
        address = _IPV6.search(uri)
        try:
            if address is not None:
                IPv6Address(address[1])
        except ValueError:
            raise ValueError(f"{_NOT_A_URI}there is no IPv6 address between '[' and ']'") from None


def shown_url(url: str) -> str:
    """Give a URL as a log or repr may show it: scheme, host, port and path, cut at 200 characters.

    The userinfo, the query and the fragment hold passwords, signatures and keys. Characters that
    are not printable are replaced, so that they can't forge a line of a log.

    Args:
        url: Any text, also one that is no URL.
    """
    rest = re.split("[?#]", url, maxsplit=1)[0]
    found = _SCHEME.match(rest)
    scheme = "" if found is None else found[0]
    rest = rest[len(scheme) :]
    # Any number of slashes, of either kind, begins a host, as it does for browsers.
    unslashed = rest.lstrip("/\\")
    slashes = rest[: len(rest) - len(unslashed)]
    authority = re.split(r"[/\\]", unslashed, maxsplit=1)[0]
    path = unslashed[len(authority) :]
    _user, at, host = authority.rpartition("@")
    if (slashes or at) and _HOST_AND_PORT.fullmatch(host) is None:
        # No port: it is a password that has a "/", "?" or "#" in it.
        host, path = host.partition(":")[0], ""
    # A path may hold another URL, or all of one whose scheme nobody could find.
    path = _USER_IN_PATH.sub("", slashes + host + path)
    return _printable(f"{scheme}{path}"[:_MOST_SHOWN])


def shown_text(text: str) -> str:
    """Give a text as a log or repr may show it, cut at 200 characters.

    From the first word on that may be a URL, it is shown as ``shown_url`` does. A JID is not one,
    nor is a word with a colon behind it.
    """
    text = text[:_MOST_SHOWN]
    begins = _BEGINS_A_URL.search(text)
    if begins is None:
        return _printable(text)
    return _printable(text[: begins.start()]) + shown_url(text[begins.start() :])


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
