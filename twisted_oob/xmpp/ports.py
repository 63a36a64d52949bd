"""Where XMPP servers listen, unless DNS or somebody says otherwise."""

from __future__ import annotations

from typing import Final

CLIENT_PORT: Final = 5222
"""For clients, which begin in the clear and then start TLS (RFC 6120 section 14.7)."""
DIRECT_TLS_PORT: Final = 5223
"""For clients that begin TLS with the first byte. It is customary, but not registered."""
COMPONENT_HOST: Final = "127.0.0.1"
"""Where components find their server: mostly on the same machine, as nothing is encrypted."""
COMPONENT_PORT: Final = 5347
"""For components. It is customary, but not registered."""
