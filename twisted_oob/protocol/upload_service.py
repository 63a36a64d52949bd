"""Finding a server's services for HTTP File Upload (XEP-0363 section 4), by service discovery.

========================  =========================================================================
who is asked              for what
========================  =========================================================================
the server's own domain   disco#info, as it may be a service itself, and disco#items
each of its items         disco#info, all at once
========================  =========================================================================

A service has the feature ``urn:xmpp:http:upload:0``, and may tell its limit in a form of that type.
Some have a second form, of an older type, whose limit is not meant for us.

Who does not answer within ``LIMIT`` seconds, or with an error, is left out. So a component that is
down delays the others by that much at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from wokkel.data_form import NS_X_DATA
from wokkel.disco import NS_DISCO_INFO, NS_DISCO_ITEMS

from twisted_oob.errors import FileTooLarge, UploadServiceNotFound
from twisted_oob.protocol.slots import NS_UPLOAD, read_size
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.stanza import Payload

if TYPE_CHECKING:
    from twisted.words.xish.domish import Element

    from twisted_oob.xmpp.asking import AskingHandler

LIMIT: Final = 3.0
"""Seconds that each may take to answer."""
_MOST_ITEMS: Final = 100


@dataclass(frozen=True, slots=True)
class UploadService:
    """A service for HTTP File Upload (XEP-0363).

    Attributes:
        jid: Its address.
        max_size: The largest file that it takes, in bytes; None if it does not tell.
    """

    jid: JID
    max_size: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a server has.

    Attributes:
        services: Its services, in the order of its items; the domain itself comes first.
        complete: Whether everybody answered who was asked.
    """

    services: tuple[UploadService, ...]
    complete: bool

    @property
    def best(self) -> UploadService | None:
        """The service that takes the largest files, the first of several; None without one."""
        return max(self.services, key=_room, default=None)


def _room(service: UploadService) -> float:
    return float("inf") if service.max_size is None else service.max_size


def check_takes(service: UploadService | None, size: int) -> UploadService:
    """Check that there is a service, and that a file is not too large for it.

    Args:
        service: What was found; None if nothing was.
        size: The file's size in bytes.

    Raises:
        UploadServiceNotFound: There is no service.
        FileTooLarge: The file is larger than the service says it takes.
    """
    if service is None:
        raise UploadServiceNotFound("the server has no service for HTTP File Upload (XEP-0363)")
    if service.max_size is not None and size > service.max_size:
        raise FileTooLarge(service.max_size)
    return service


def server_domain(me: JID | None) -> str | None:
    """Give the domain of the server that a stream goes to.

    Args:
        me: Our address there: a JID with a user, or a component's domain, which by custom is the
            server's with one label before it.

    Returns:
        None if nothing tells.
    """
    if me is None:
        return None
    return me.host if me.user is not None else me.host.partition(".")[2] or None


async def find_services(handler: AskingHandler, domain: str) -> Found:
    """Ask a server's domain and its items.

    Raises:
        Exception: What the stream was lost for, or CancelledError.
    """
    asked = [handler.ask("get", Payload(kind, "query"), domain, timeout=LIMIT) for kind in _KINDS]
    (info, items), complete = await _answers(asked)
    jids = [parse_jid(domain), *_items(items, domain)]
    infos, all_told = await _answers(
        handler.ask("get", Payload(NS_DISCO_INFO, "query"), jid, timeout=LIMIT) for jid in jids[1:]
    )
    services = [
        UploadService(jid, limit)
        for jid, found in zip(jids, [info, *infos], strict=True)
        for limit in read_limits(found)
    ]
    return Found(tuple(services), complete and all_told)


_KINDS: Final = (NS_DISCO_INFO, NS_DISCO_ITEMS)


async def _answers(asked: Iterable[Deferred[Any]]) -> tuple[list[Element | None], bool]:
    """Wait for answers; None for an error or silence. Also tell whether all have answered."""
    complete = True
    answers: list[Element | None] = []
    for succeeded, result in await DeferredList(list(asked), consumeErrors=True):
        if succeeded:
            answers.append(result)
            continue
        # Neither of them: the stream is lost.
        if result.check(StanzaError, IQTimeoutError) is None:
            result.raiseException()
        answers.append(None)
        complete = complete and result.check(IQTimeoutError) is None
    return answers, complete


def _items(iq: Element | None, domain: str) -> list[JID]:
    """Read disco#items (XEP-0030 section 4): each address once, in order, without nodes."""
    found: dict[str, JID] = {}
    for query in () if iq is None else iq.elements(NS_DISCO_ITEMS, "query"):
        for item in query.elements(NS_DISCO_ITEMS, "item"):
            try:
                jid = parse_jid(item.getAttribute("jid"))
            except ValueError:
                continue
            if not item.getAttribute("node") and jid.full() != domain:
                found.setdefault(jid.full(), jid)
    return list(found.values())[:_MOST_ITEMS]


def read_limits(iq: Element | None) -> Iterator[int | None]:
    """Read the disco#info of what may be an upload service (XEP-0363 section 4).

    Args:
        iq: The answer; None without one.

    Yields:
        Its limit in bytes, or None if it tells no usable one. Nothing if it is no such service.
    """
    for query in () if iq is None else iq.elements(NS_DISCO_INFO, "query"):
        features = query.elements(NS_DISCO_INFO, "feature")
        if any(feature.getAttribute("var") == NS_UPLOAD for feature in features):
            forms = query.elements(NS_X_DATA, "x")
            sizes = [
                read_size(text)
                for form in forms
                if NS_UPLOAD in _values(form, "FORM_TYPE")
                for text in _values(form, "max-file-size")
            ]
            yield next(filter(None, sizes), None)
            return


def _values(form: Element, name: str) -> list[str]:
    """Give the values of a field of a form (XEP-0004 section 3.2)."""
    return [
        str(value).strip()
        for field in form.elements(NS_X_DATA, "field")
        if field.getAttribute("var") == name
        for value in field.elements(NS_X_DATA, "value")
    ]
