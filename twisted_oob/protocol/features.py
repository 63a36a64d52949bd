"""Which Out of Band Data an entity announces (XEP-0066 section 4), by service discovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wokkel.disco import NS_DISCO_INFO

from twisted_oob.protocol.data import DISCO_FEATURES
from twisted_oob.xmpp.stanza import Payload

if TYPE_CHECKING:
    from twisted.words.xish.domish import Element

FEATURES_QUERY: Final = Payload(NS_DISCO_INFO, "query")
"""What is asked (XEP-0030 section 3.1)."""


def announced_features(answer: Element | None) -> frozenset[str]:
    """Give those of DISCO_FEATURES that an entity announces.

    Args:
        answer: The ``<iq/>`` that it answered; None if that was an error, or empty.
    """
    if answer is None:
        return frozenset()
    announced = (
        feature.getAttribute("var")
        for query in answer.elements(NS_DISCO_INFO, "query")
        for feature in query.elements(NS_DISCO_INFO, "feature")
    )
    return frozenset(DISCO_FEATURES).intersection(announced)
