"""Challenge: whether a component that has a domain still lives, when another one wants it.

Theory of operation
===================

A component that is gone without a word (its machine lost power, a router forgot its connection)
keeps its domain until the system notices. It may be back sooner. So a newcomer with the right
secret challenges the holder of its domain, which is sent a few requests that nearly every component
answers, if only with an error.

=============================  ===========================  =====================================
what comes first               the holder                   the newcomers
=============================  ===========================  =====================================
a byte from the holder, or     keeps the domain             get ``conflict`` (RFC 6120 4.9.3.3)
progress of what waits for it
the end of the holder          is gone                      the first one that is still there has
                                                            the domain, the others get
                                                            ``conflict``
PROBE_TIMEOUT seconds          gets ``conflict``, unless    the same
                               no newcomer is there
                               any more
=============================  ===========================  =====================================

A newcomer may come, and go, at any time. All that come during one challenge share its end.

TCP's acknowledgements are no sign of life here: the system of a component sends them also while the
component hangs. A live component that answers none of the requests loses its domain; so what is
asked must suit the components (see ``ComponentServerFactory``).

The requests come from the holder's own domain, the one address at which they speak for no other
component. Their answers are recognized by their ids, and go nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted_oob.xmpp.deadlines import Clock, Timer

PROBE_TIMEOUT: Final = 5.0
"""Seconds that a component has to show life if another one wants its domain."""


class Newcomer(Protocol):
    """A stream that waits for a domain."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended meanwhile."""


N = TypeVar("N", bound=Newcomer)


class Challenge(Generic[N]):
    """The challenges that one holder of a domain gets, one after the other.

    Args:
        clock: Runs the timer.
        probe: Sends the holder its requests; called with the beginning of their ids.
        on_silence: Called without arguments if it showed no life in time and a newcomer is there.
    """

    def __init__(
        self, clock: Clock, probe: Callable[[str], object], on_silence: Callable[[], object]
    ) -> None:
        self._clock = clock
        self._probe = probe
        self._on_silence = on_silence
        # Unguessable, or others could make the holder's own stanzas vanish.
        self._id = f"probe-{token_hex(8)}-"
        self._newcomers: list[N] = []
        self._timer: Timer | None = None

    def join(self, newcomer: N) -> None:
        """Let a newcomer wait for the end of the challenge, which begins unless it is under way."""
        self._newcomers.append(newcomer)
        if self._timer is None:
            self._timer = self._clock.callLater(PROBE_TIMEOUT, self._stayed_silent)
            self._probe(self._id)

    def is_answer(self, stanza: Any) -> bool:
        """Whether a stanza of the holder answers a request, of this challenge or an earlier one."""
        given = stanza.attributes.get
        return (
            stanza.name == "iq"
            and given("type") in ("result", "error")
            and given("id", "").startswith(self._id)
        )

    def end(self) -> list[N]:
        """End the challenge, if there is one.

        Returns:
            The newcomers that are still there, the first one first.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        newcomers, self._newcomers = self._newcomers, []
        return [newcomer for newcomer in newcomers if not newcomer.is_over]

    def _stayed_silent(self) -> None:
        self._timer = None
        self._newcomers = [newcomer for newcomer in self._newcomers if not newcomer.is_over]
        # Without one that still waits, nobody needs the domain yet.
        if self._newcomers:
            self._on_silence()
