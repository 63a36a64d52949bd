"""What all transfers of a Fetcher share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted_oob.files.commit import Committer
from twisted_oob.files.folder import Folder
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.workers import Workers


@dataclass(frozen=True)
class Tools:
    """What all transfers of a Fetcher share.

    Attributes:
        reactor: Makes connections and resolves names.
        clock: An IReactorTime for limits and waits.
        policy: What is accepted.
        tls_policy: An IPolicyForHTTPS that verifies servers.
        folder: Where files land.
        file_mode: The permissions of a file.
        writers: Threads that write pieces of large files, sync them, and remove parts.
        committer: Has the thread that commits.
    """

    reactor: Any
    clock: Any
    policy: FetchPolicy
    tls_policy: Any
    folder: Folder
    file_mode: int
    writers: Workers
    committer: Committer
