"""Files in messages as people's clients name them: ``<file-sharing/>`` and SIMS, built and read.

``jabber:x:oob`` has a URL and nothing else. Two later standards say what is known of the file, too:

==========================  =================================  ====================================
standard                    element in the message             its sources
==========================  =================================  ====================================
SFS (XEP-0447 0.3.1)        ``<file-sharing/>``                ``<url-data target/>`` (XEP-0103)
SFS, attached later         ``<sources/>``                     the same; nothing is known of it
SIMS (XEP-0385 0.2.1)       ``<reference>`` with               ``<reference uri/>`` (XEP-0372)
                            ``<media-sharing/>``
==========================  =================================  ====================================

Several sources of one element are the same file. A source that needs more than to fetch a URL is
left out: Jingle (XEP-0358, and ``xmpp:`` URIs), and encrypted files (XEP-0448), whose URL holds
other bytes than those that are described.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.words.xish.domish import Element

from twisted_oob.protocol.data import NS_X_OOB, OOBData
from twisted_oob.protocol.metadata import NS_FILE, FileInfo, file_element, read_file, text_of
from twisted_oob.protocol.same_file import file_key
from twisted_oob.xmpp.characters import replace_non_xml

NS_SFS: Final = "urn:xmpp:sfs:0"
NS_URL_DATA: Final = "http://jabber.org/protocol/url-data"
NS_FALLBACK: Final = "urn:xmpp:fallback:0"
NS_REFERENCE: Final = "urn:xmpp:reference:0"
NS_SIMS: Final = "urn:xmpp:sims:1"
NS_JINGLE_FILE: Final = "urn:xmpp:jingle:apps:file-transfer:5"

_FILES: Final = frozenset((NS_FILE, NS_JINGLE_FILE, "urn:xmpp:jingle:apps:file-transfer:4"))
_SHOWN_INLINE: Final = ("image/", "audio/", "video/")
_XMPP: Final = "xmpp:"
_FETCHABLE: Final = ("https:", "http:")

# What names a file, from what tells most of it to what tells least.
_BY_SFS, _BY_SIMS, _ATTACHED, _BY_X_OOB, _IN_TEXT = range(5)


@dataclass(slots=True)
class MentionedFile:
    """A file that a stanza names, in one way or in several.

    Attributes:
        place: How many children of the stanza stand before the first that names it.
        way: What names it; of several, that whose source comes first.
        sources: Where it is; not empty. The first one counts.
        info: What is known of it; None if nothing but URLs names it.
        desc: The sender's description.
    """

    place: int
    way: int
    sources: list[OOBData]
    info: FileInfo | None = None
    desc: str | None = None

    @property
    def data(self) -> OOBData:
        """What ``jabber:x:oob`` has, or would have."""
        first = self.sources[0]
        return first if first.desc else OOBData(first.url, self.desc, first.sid)

    def add(self, other: MentionedFile) -> None:
        """Add what another child of the stanza says of the same file."""
        self.place = min(self.place, other.place)
        self.desc = self.desc or other.desc
        if other.way == _BY_X_OOB and self.way != _BY_X_OOB:
            self.way = other.way
            self.sources = other.sources + self.sources
        self.info = _fuller(self.info, other.info)


def add_sharing(message: Element, url: str, info: FileInfo, body: str) -> None:
    """Say in a message what is known of the file at a URL, to each client in its own way.

    Args:
        message: It has its ``<body/>`` and ``<x/>`` already.
        url: Where the file is, a URI.
        info: What is known of it. Without a SHA-256 there is no ``<file-sharing/>``: clients show
            a plain link then. Without media type, name and size there is no SIMS.
        body: The text of ``<body/>``. If it is the URL, it is a fallback (XEP-0428).
    """
    if info.sha256 is not None:
        sharing = message.addElement((NS_SFS, "file-sharing"), NS_SFS)
        inline = info.media_type is not None and info.media_type.startswith(_SHOWN_INLINE)
        sharing["disposition"] = "inline" if inline else "attachment"
        sharing.addChild(file_element(info))
        sources = sharing.addElement("sources")
        sources.addElement((NS_URL_DATA, "url-data"), NS_URL_DATA)["target"] = url
        if body == url:
            fallback = message.addElement((NS_FALLBACK, "fallback"), NS_FALLBACK)
            fallback["for"] = NS_SFS
            fallback.addElement("body")
    if info.media_type is not None and info.name is not None and info.size is not None:
        # In code points (XEP-0426). It refers to no part of the text: some clients would print the
        # URL once more, and others take what it refers to out of the text.
        end = str(len(body))
        reference = _add_reference(message, url, end)
        sharing = reference.addElement((NS_SIMS, "media-sharing"), NS_SIMS)
        sharing.addChild(file_element(info, NS_JINGLE_FILE))
        _add_reference(sharing.addElement("sources"), url, end)


def _add_reference(holder: Element, url: str, end: str) -> Element:
    reference: Element = holder.addElement((NS_REFERENCE, "reference"), NS_REFERENCE)
    reference["type"] = "data"
    reference["begin"] = reference["end"] = end
    reference["uri"] = url
    return reference


def files_in(
    stanza: Element,
    on_unusable: Callable[[ValueError], object],
    in_text: Sequence[str] = (),
) -> list[MentionedFile]:
    """Find the files that a message or presence names, each once, in the order of the stanza.

    What names the same URL is the same file, also if it is written in another way. Nothing that a
    peer may have sent raises.

    Args:
        stanza: The message or presence.
        on_unusable: Called with the error for each URL that is left out, as nobody can use it.
        in_text: URIs that its text has, which come after all others.
    """
    found: list[MentionedFile] = []
    by_key: dict[str, MentionedFile] = {}
    mentions = list(_mentions(stanza, on_unusable))
    last = len(stanza.children)
    mentions += [MentionedFile(last, _IN_TEXT, [OOBData(url)]) for url in in_text]
    # The order of the stanza decides nothing: a server may turn it round (ejabberd does).
    for mention in sorted(mentions, key=lambda mention: mention.way):
        keys = [file_key(data.url) for data in mention.sources]
        file = next((by_key[key] for key in keys if key in by_key), None)
        if file is None:
            file = mention
            found.append(file)
        else:
            file.add(mention)
        for key in keys:
            by_key.setdefault(key, file)
    return sorted(found, key=lambda file: file.place)


def _fuller(info: FileInfo | None, other: FileInfo | None) -> FileInfo | None:
    """Add what only the other knows."""
    if info is None or other is None:
        return info or other
    return FileInfo(
        info.name or other.name,
        other.size if info.size is None else info.size,
        info.media_type or other.media_type,
        info.sha256 or other.sha256,
    )


def _mentions(
    stanza: Element, on_unusable: Callable[[ValueError], object]
) -> Iterator[MentionedFile]:
    """Read each child that names a file, if one of its URLs is usable."""
    for place, child in enumerate(stanza.children):
        if not isinstance(child, Element):
            continue
        if child.uri == NS_X_OOB and child.name == "x":
            try:
                yield MentionedFile(place, _BY_X_OOB, [OOBData.from_element(child)])
            except ValueError as error:
                on_unusable(error)
            continue
        for way, holder, urls in _shared(child):
            sources = []
            for url in urls:
                try:
                    sources.append(OOBData(url))
                except ValueError as error:  # noqa: PERF203  (each is for itself)
                    on_unusable(error)
            if sources:
                sources.sort(key=lambda data: not data.url.lower().startswith(_FETCHABLE))
                yield _described(MentionedFile(place, way, sources), holder)


def _shared(child: Element) -> Iterator[tuple[int, Element, list[str]]]:
    """Give what shares a file by SFS or SIMS, each with its URLs as they are written."""
    if child.uri == NS_SFS and child.name == "file-sharing":
        yield _BY_SFS, child, targets(child.elements(NS_SFS, "sources"))
    elif child.uri == NS_SFS and child.name == "sources":
        yield _ATTACHED, child, targets([child])
    elif child.uri == NS_REFERENCE and child.name == "reference":
        for media in child.elements(NS_SIMS, "media-sharing"):
            references = [
                reference
                for sources in media.elements(NS_SIMS, "sources")
                for reference in sources.elements(NS_REFERENCE, "reference")
            ]
            yield _BY_SIMS, media, _urls(references, "uri")


def targets(sources: Iterable[Element]) -> list[str]:
    """Give the URLs of ``<sources/>`` of SFS, as they are written."""
    return _urls(
        [url for one in sources for url in one.elements(NS_URL_DATA, "url-data")], "target"
    )


def _urls(elements: list[Element], attribute: str) -> list[str]:
    urls = [element.getAttribute(attribute, "") for element in elements]
    return [url for url in urls if not url.strip().lower().startswith(_XMPP)]


def _described(file: MentionedFile, holder: Element) -> MentionedFile:
    """Add what its sender knows of a file."""
    for described in holder.elements():
        if described.name == "file" and described.uri in _FILES:
            file.info = read_file(described)
            descriptions = map(text_of, described.elements(described.uri, "desc"))
            # An application may have made the stanza, and not a parser.
            file.desc = replace_non_xml(next(descriptions, "")) or None
            break
    return file
