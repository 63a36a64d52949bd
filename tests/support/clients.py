"""When people's clients show a message as a file: a function for each, over the stanza as XML.

Each takes a ``<message/>`` as ElementTree has read it, and tells whether that client shows one file
for it, and nothing else. They are the conditions of the clients' own code, as far as a stanza can
meet them: what a client asks the HTTP server comes later.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

OOB = "{jabber:x:oob}"
SFS = "{urn:xmpp:sfs:0}"
FILE = "{urn:xmpp:file:metadata:0}"
URL_DATA = "{http://jabber.org/protocol/url-data}"
FALLBACK = "{urn:xmpp:fallback:0}"
HASHES = "{urn:xmpp:hashes:2}"
REFERENCE = "{urn:xmpp:reference:0}"
SIMS = "{urn:xmpp:sims:1}"
JINGLE_FILE = "{urn:xmpp:jingle:apps:file-transfer:5}"

_SHOWN_BY_CONVERSE = frozenset(
    "jpg jpeg png gif bmp tiff svg ogg mp3 m4a mp4 webm".split()  # noqa: SIM905  (easier to read)
)


def body_of(message):
    """Give the message's own text: that of a child, never of the <body/> in <fallback/>."""
    namespace = message.tag.rpartition("}")[0]
    return message.findtext(f"{namespace}}}body" if namespace else "body")


def oob_url(message):
    """Give the URL of jabber:x:oob; None unless there is exactly one."""
    urls = [url.text for url in message.findall(f"{OOB}x/{OOB}url")]
    return urls[0] if len(urls) == 1 else None


def _body_is_url(message):
    url = oob_url(message)
    return url is not None and body_of(message) == url


def _body_is_url_or_absent(message):
    url = oob_url(message)
    return url is not None and body_of(message) in (url, None)


def _has_sha256(file):
    return any(
        given.get("algo") == "sha-256" and given.text for given in file.findall(f"{HASHES}hash")
    )


def _sfs_url(message):
    """Give the URL of a <file-sharing/>, of which there is one."""
    sharing = message.findall(f"{SFS}file-sharing")
    sources = [one for file in sharing for one in file.iterfind(f"{SFS}sources/{URL_DATA}url-data")]
    return sources[0].get("target") if len(sharing) == 1 and sources else None


def _sims_files(message):
    """Give each file that SIMS names, with the URLs of its sources."""
    for media in message.iterfind(f"{REFERENCE}reference/{SIMS}media-sharing"):
        file = media.find(f"{JINGLE_FILE}file")
        sources = media.iterfind(f"{SIMS}sources/{REFERENCE}reference")
        yield file, [source.get("uri") for source in sources if source.get("uri")]


def conversations(message):
    """The body is the URL, or there is no body; one line; http or https."""
    url = oob_url(message)
    return (
        _body_is_url_or_absent(message)
        and re.fullmatch(r"https?://\S+", url, re.IGNORECASE) is not None
    )


def dino(message):
    """The body is the URL, without a fragment; a <file-sharing/> has a hash that it knows."""
    sharing = message.findall(f"{SFS}file-sharing")
    if any(not _has_sha256(one.find(f"{FILE}file")) for one in sharing):
        return False  # a plain link
    return _body_is_url(message) and re.fullmatch(r"https?://[^\s#]*", oob_url(message)) is not None


def gajim(message):
    """The text is the URL."""
    return _body_is_url(message)


def monal(message):
    """The body is the URL, apart from white space, and that is https."""
    url = oob_url(message)
    body = body_of(message)
    return (
        url is not None and body is not None and body.strip() == url and url.startswith("https://")
    )


def siskin(message):
    """The body is the URL, or there is no body. So it is for Martin."""
    return _body_is_url_or_absent(message)


def kaidan(message):
    """The source of a <file-sharing/> if there is one, else any http URL; no fallback alone."""
    sharing = message.findall(f"{SFS}file-sharing")
    fallbacks = [one.get("for") for one in message.findall(f"{FALLBACK}fallback")]
    if "urn:xmpp:sfs:0" in fallbacks and not sharing:
        return False  # it drops the message
    url = _sfs_url(message) if sharing else oob_url(message)
    return url is not None and url.startswith(("http://", "https://"))


def converse(message):
    """The URL's path has an extension that it knows; no reference takes or adds any text."""
    url = oob_url(message)
    if url is None:
        return False
    path = urlsplit(url).path
    end = str(len(body_of(message) or ""))
    return path.rpartition(".")[2].lower() in _SHOWN_BY_CONVERSE and all(
        reference.get("begin") == reference.get("end") == end
        for reference in message.iter(f"{REFERENCE}reference")
    )


def movim(message):
    """SIMS with URL, type, size and name all there."""
    files = list(_sims_files(message))
    if len(files) != 1:
        return False
    ((file, urls),) = files
    parts = [file.findtext(f"{JINGLE_FILE}{part}") for part in ("media-type", "size", "name")]
    return bool(urls) and all(parts) and parts[1].isdecimal()


def psi(message):
    """SIMS; a URL of jabber:x:oob is listed apart unless it is the body."""
    files = list(_sims_files(message))
    if len(files) != 1 or not files[0][1]:
        return False
    return message.find(f"{OOB}x") is None or _body_is_url(message)


def profanity(message):
    """It shows the body, so that must be the URL. So it is for poezio."""
    return _body_is_url(message)


CLIENTS = {
    "Conversations": conversations,
    "Dino": dino,
    "Gajim": gajim,
    "Monal": monal,
    "Siskin, Martin": siskin,
    "Kaidan": kaidan,
    "converse.js": converse,
    "Movim": movim,
    "Psi": psi,
    "profanity, poezio": profanity,
}
