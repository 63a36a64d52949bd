"""Each stanza as soon as it is there: expat's deferral, switched off."""

from __future__ import annotations

from typing import Any


def parse_promptly(xmlstream: Any) -> None:
    """Let a stream's parser give each stanza as soon as it is there.

    Expat 2.6 may otherwise keep the end of a stanza back until more data comes. A stream without
    such a parser stays as it is.
    """
    without_deferral(getattr(xmlstream, "stream", None))


def without_deferral(stream: Any) -> None:
    """Let an element stream's expat parser give each stanza as soon as it is there."""
    parser: Any = getattr(stream, "parser", None)
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
