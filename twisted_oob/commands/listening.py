"""Where the embedded router listens, for people: its address, and who else is on the line."""

from __future__ import annotations

import os
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

# Kinds of server endpoints that encrypt.
_ENCRYPTED: Final = ("ssl", "tls")


def shown_address(address: Any) -> str:
    """Show an IAddress: ``127.0.0.1:5347``, ``[::1]:5347``, ``unix:/run/router``."""
    host = getattr(address, "host", None)
    if host is not None:
        return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
    name = getattr(address, "name", None)
    return str(address) if name is None else f"unix:{os.fsdecode(name)}"


def is_exposed(address: Any, endpoint: str) -> bool:
    """Tell whether others could read what components send there.

    Args:
        address: The IAddress that is listened at.
        endpoint: The description of the server endpoint.
    """
    host = getattr(address, "host", None)
    if host is None or endpoint.partition(":")[0] in _ENCRYPTED:
        return False
    judged = ip_address(host.partition("%")[0])
    if isinstance(judged, IPv6Address) and judged.ipv4_mapped is not None:
        judged = judged.ipv4_mapped
    return not judged.is_loopback
