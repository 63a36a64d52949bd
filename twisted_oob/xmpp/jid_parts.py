"""The parts of an XMPP address, each prepared so that what is the same is one text (RFC 7622).

In comes a part as somebody wrote it, out goes the one text that stands for it everywhere: in
comparisons, in logs and on the wire. Preparing it again changes nothing. A part that can't be
prepared is a ValueError.

======== =================================== ==========================================
part     rules                               borrowed
======== =================================== ==========================================
local    nodeprep of a query (RFC 6122 A)    the tables and steps of Twisted's stringprep
resource resourceprep of a query (6122 B)    the same
domain   U-labels (RFC 7622 section 3.2),    the mapping table and the checks of ``idna``
         without a final dot
======== =================================== ==========================================

Localparts and resources are still prepared with stringprep, as servers do it. RFC 7622's own rules
differ for few addresses, but there the server and we would mean different accounts.

Twisted's profiles are those of a stored string: a code point that Unicode 3.2 does not know is an
error in them, every emoji of the last twenty years for example. A client compares what others have
stored, and in such a query these code points pass, as they are (RFC 3454 section 7).

A domain's labels are prepared as browsers do it (UTS #46, non-transitional). IDNA 2008 makes
``faß.example`` and ``fass.example`` two domains, which may have two owners; nameprep, which Twisted
has, would take one for the other.
"""

from __future__ import annotations

import re
import stringprep
import unicodedata
from encodings.idna import dots
from ipaddress import IPv6Address
from typing import Final

import idna
from twisted.words.protocols.jabber import xmpp_stringprep

MAX_PART_BYTES: Final = 1023
"""The most bytes of UTF-8 that each part may have (RFC 7622 section 3.1)."""

_ACE_PREFIX: Final = "xn--"
# What a label may have of ASCII (NR-LDH of RFC 5890), beside all that is not ASCII.
_LABEL: Final = re.compile(r"(?!-)[a-z0-9\u0080-\U0010ffff-]+(?<!-)")
_JOINERS: Final = "\u200c\u200d"
_RIGHT_TO_LEFT: Final = ("R", "AL", "AN")


def _fold_case(character: str) -> str:
    # The table has no entry for what Unicode 3.2 does not know. Python looks such a code point up
    # in its own, newer Unicode, and would change what a server leaves as it is.
    if stringprep.in_table_a1(character):
        return character
    return stringprep.map_table_b2(character)


_nodeprep: Final = xmpp_stringprep.Profile(
    mappings=[xmpp_stringprep.B_1, xmpp_stringprep.MappingTableFromFunction(_fold_case)],
    prohibiteds=xmpp_stringprep.nodeprep.prohibiteds,
    check_unassigneds=False,
)
_resourceprep: Final = xmpp_stringprep.Profile(
    mappings=xmpp_stringprep.resourceprep.mappings,
    prohibiteds=xmpp_stringprep.resourceprep.prohibiteds,
    check_unassigneds=False,
)


def prepare_localpart(text: str) -> str:
    """Prepare what stands before the ``@`` of an address.

    Raises:
        ValueError: It can't be a localpart; the message says why.
    """
    return _prepared(_nodeprep, text, "localpart")


def prepare_resource(text: str) -> str:
    """Prepare what stands after the ``/`` of an address.

    Raises:
        ValueError: It can't be a resource; the message says why.
    """
    return _prepared(_resourceprep, text, "resource")


def prepare_domain(text: str) -> str:
    """Prepare the domain of an address: a name, or an IP address (an IPv6 one in brackets).

    A-labels become U-labels, and a final dot is cut. A label that begins as an A-label but stands
    for no U-label stays as it is.

    Raises:
        ValueError: It can't be a domain; the message says why.
    """
    _check_length(text, "domain")
    if text.startswith("[") and text.endswith("]"):
        return f"[{_ipv6(text[1:-1])}]"
    labels = dots.split(text)
    if labels[-1] == "" and len(labels) > 1:
        del labels[-1]
    domain = ".".join(map(_prepared_label, labels))
    _check_length(domain, "domain")
    return domain


def _prepared(profile: xmpp_stringprep.Profile, text: str, name: str) -> str:
    # Before it is prepared, too, as that is slow.
    _check_length(text, name)
    try:
        prepared: str = profile.prepare(text)
    except UnicodeError as error:
        raise ValueError(f"its {name} is not valid: {error}") from None
    _check_length(prepared, name)
    return prepared


def _check_length(text: str, name: str) -> None:
    if not text:
        raise ValueError(f"its {name} is empty")
    if len(text.encode(errors="surrogatepass")) > MAX_PART_BYTES:
        raise ValueError(f"its {name} has more than {MAX_PART_BYTES} bytes")


def _ipv6(text: str) -> str:
    # Python takes a zone too ("%eth0"), which means nothing to others.
    if "%" in text:
        raise ValueError("the IPv6 address that is its domain has a zone")
    try:
        return IPv6Address(text).compressed
    except ValueError:
        raise ValueError("its domain is in brackets, but is not an IPv6 address") from None


def _prepared_label(label: str) -> str:
    mapped = _u_label(label)
    if not mapped.startswith(_ACE_PREFIX):
        return mapped
    try:
        decoded = mapped[len(_ACE_PREFIX) :].encode().decode("punycode")
        # Others could be read as a label whose owner is somebody else.
        genuine = not decoded.isascii() and _u_label(decoded) == decoded
        if genuine and _ACE_PREFIX + decoded.encode("punycode").decode() == mapped:
            return decoded
    except ValueError:
        pass
    return mapped


def _u_label(label: str) -> str:
    """Return a label in lower case and normal form, its A-label not decoded."""
    if not label:
        raise ValueError("a label of its domain is empty")
    try:
        mapped = idna.uts46_remap(label, std3_rules=False)
        if not mapped.isascii():
            _check_u_label(mapped)
    except UnicodeError as error:
        raise ValueError(f"its domain is not valid: {error}") from None
    if not _LABEL.fullmatch(mapped):
        raise ValueError(
            "a label of its domain has more than letters, digits, and hyphens between them"
        )
    return mapped


def _check_u_label(label: str) -> None:
    # Not idna.check_label, which also forbids symbols. Domains with emoji exist.
    if label.startswith(_ACE_PREFIX):
        raise UnicodeError(f"{label!r} begins as an A-label, but is not one")
    idna.check_initial_combiner(label)
    # It would forbid what Python's Unicode does not know yet, in labels without a direction, too.
    if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in label):
        idna.check_bidi(label)
    for position, character in enumerate(label):
        if character in _JOINERS and not idna.valid_contextj(label, position):
            raise UnicodeError(f"{label!r} has a joiner that joins nothing")
