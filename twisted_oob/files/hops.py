"""Hops: one request after the other, until an answer is neither a redirect nor "not now".

Theory of operation
===================

A judged target goes in. Out comes the final answer, whose body is still to be delivered, and the
target that it is for. In between, each hop is one request on one connection:

==========================================  =======================================================
the head of the answer                      leads to
==========================================  =======================================================
a redirect (RFC 9110 section 15.4)          the next hop, judged like the first URL
503 or 429 with Retry-After (10.2.3)        the same hop again after that time: up to three times in
                                            a transfer, if it is over before the transfer's time is
anything else                               the end; whoever asked for it judges the status
==========================================  =======================================================

A transfer never has two connections: before the next request, and before a wait, the old one is
gone. While we wait, no bytes are expected, so there is no stall.

Cookies that a hop sets go back to its own origin in later hops, and are forgotten with the
transfer. Many file hosts send everybody who doesn't bring one through the same redirect for ever.
"""

from __future__ import annotations

import time
from typing import Any, Final

from twisted.internet.task import deferLater

from twisted_oob.errors import TryLater
from twisted_oob.files.connections import JudgedConnections
from twisted_oob.files.cookies import Cookies
from twisted_oob.files.get import Get
from twisted_oob.files.limits import Limits
from twisted_oob.files.pace import Pace
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.redirects import REDIRECTS, next_hop
from twisted_oob.files.request import get_head
from twisted_oob.files.response_head import ResponseHead
from twisted_oob.files.retry_after import retry_after
from twisted_oob.files.urls import Target
from twisted_oob.files.wait_out import wait_out

# RFC 9110 section 15.6.4 and RFC 6585 section 4.
_NOT_NOW: Final = frozenset({429, 503})
_MOST_RETRIES: Final = 3


class Hops:
    """The requests of one transfer.

    Args:
        clock: An IReactorTime.
        policy: Judges redirects, and names us.
        connections: Makes the connections.
        limits: The transfer's.
        pace: Bounds what small pieces cost.
    """

    def __init__(
        self,
        clock: Any,
        policy: FetchPolicy,
        connections: JudgedConnections,
        limits: Limits,
        pace: Pace,
    ) -> None:
        self._clock = clock
        self._policy = policy
        self._connections = connections
        self._limits = limits
        self._pace = pace
        self._cookies = Cookies()
        self._redirects = 0
        self._retries = 0

    async def ask(self, target: Target) -> tuple[Target, ResponseHead, Get]:
        """Ask for a target, and go where the answers lead.

        Returns:
            The last target, the head of its answer, and the request with the body still to be
            delivered.

        Raises:
            Forbidden: A redirect or an address is not allowed.
            FetchFailed: A redirect leads nowhere, or there were too many.
            TryLater: The server wants to be asked later than this transfer can.
            Exception: What went wrong on the network; ``explained`` knows what it means.
        """
        while True:
            head, get = await self._request(target)
            if head.status in REDIRECTS:
                await wait_out(self._connections.hang_up())
                self._redirects += 1
                target = next_hop(self._policy, target, head.first(b"location"), self._redirects)
                continue
            wait = self._wait_for(head)
            if wait is None:
                return target, head, get
            # No bytes are expected, and so there is no stall.
            self._limits.watch(on=False)
            await wait_out(self._connections.hang_up())
            if wait:
                await deferLater(self._clock, wait)

    async def _request(self, target: Target) -> tuple[ResponseHead, Get]:
        self._limits.ask()
        request = get_head(
            target, user_agent=self._policy.user_agent, cookie=self._cookies.header(target)
        )
        get = await self._connections.connect(target, lambda: Get(request, pace=self._pace))
        head = await get.head
        self._limits.answered()
        self._cookies.take(target, head)
        return head, get

    def _wait_for(self, head: ResponseHead) -> float | None:
        """Give the seconds to wait before the same hop again; None if that would be no use.

        Raises:
            TryLater: The server wants to be asked again, but we have no time left or no patience.
        """
        if head.status not in _NOT_NOW:
            return None
        wait = retry_after(head.first(b"retry-after"), date=head.first(b"date"), now=time.time())
        if wait is None:
            return None
        if self._retries == _MOST_RETRIES or wait >= self._limits.left:
            raise TryLater(
                "the server asks to try again later",
                detail=f"HTTP status {head.status}, Retry-After {wait:g} s, "
                f"after {self._retries} retries",
            )
        self._retries += 1
        return wait
