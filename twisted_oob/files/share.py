"""FileShare: local files over HTTP, each at a URL that nobody can guess.

How its parts work together:

- ``FileShare`` listens, and knows the files by the tokens in their URLs;
- ``SharedFile`` (shared_file.py) is one of them;
- ``ShareFactory`` (serving.py) speaks HTTP with those who read them;
- ``Sending`` (sendfile.py) sends a part of one to one of them;
- ``Readers`` (readers.py) counts what they have got.

A token has 128 random bits. It is looked up by its keyed hash (BLAKE2), and the key never leaves
this object. So the time that a look-up takes tells nothing of how much of a guess was right: hashes
of similar tokens have nothing in common, and nobody outside can compute one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address
from os import PathLike
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_oob._checks import (
    check_callable,
    check_not_empty,
    checked_reactor,
    checked_seconds,
    wrong_type,
)
from twisted_oob._file_info import FileInfo
from twisted_oob._urls import to_uri
from twisted_oob.files.headers import clean_name, name_in_url
from twisted_oob.files.serving import ShareFactory
from twisted_oob.files.shared_file import SharedFile
from twisted_oob.files.source import SourceFile, media_type_of

_TOKEN_BYTES: Final = 16
_KEY_BYTES: Final = 32
# Characters. Some clients refuse a header of 16 KiB, and Content-Disposition has the name twice.
_MOST_OF_A_NAME: Final = 4096
_ORIGIN: Final = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
# What listens on all addresses is reached on this machine by these.
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (nothing is bound here)

# To the type checker it is Any: its methods have no types.
_Service: Any = Service


class FileShare(_Service):  # type: ignore[misc]
    """Serves local files over HTTP while it runs; a Twisted service.

    Nothing but the files that were added can be read, each at its own URL ``PUBLIC/TOKEN/NAME``.
    Only the token decides which. A wrong name behind it is as unknown as a wrong token. A file is
    opened once, when it is added: what is served is that inode, and as many bytes as it had then.

    PUBLIC is the public URL, or ``http://HOST:PORT`` of the port. Behind a public URL that has a
    path, the reverse proxy may keep that path or strip it.

    Args:
        endpoint: Where to listen: an IStreamServerEndpoint, or its description for
            ``serverFromString``, such as ``tcp:0`` for any free port.
        public_url: The URL under which others reach the port, as by a reverse proxy. An endpoint
            with TLS, or one that is no TCP port, needs it.
        reactor: Tells the time and runs the timers; None means the installed one.

    Raises:
        ValueError: The public URL is not good, or nothing is known of such an endpoint.
        WrongType: An argument has the wrong type. It is a TypeError.
    """

    _log = Logger()

    def __init__(
        self, endpoint: Any, *, public_url: str | None = None, reactor: Any = None
    ) -> None:
        self._public = None if public_url is None else _checked_public_url(public_url)
        self._reactor = reactor = checked_reactor(reactor)
        if isinstance(endpoint, str):
            endpoint = serverFromString(reactor, endpoint)
        elif not callable(getattr(endpoint, "listen", None)):
            raise wrong_type("endpoint", "an IStreamServerEndpoint or a str", endpoint)
        self._endpoint = endpoint
        prefix = "" if self._public is None else urlsplit(self._public).path
        self._prefixes = {b"", unquote_to_bytes(prefix)}
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._shared: dict[bytes, tuple[bytes, SharedFile]] = {}
        self._timers: dict[SharedFile, Any] = {}
        self._factory = ShareFactory(self._find, reactor)
        self._port: Any = None
        self._failure: Failure | None = None
        self._waiting: list[Deferred[None]] = []

    @property
    def ready(self) -> Deferred[None]:
        """A Deferred that fires when it listens, and fails with what the endpoint failed with.

        Each time it is a new one, which can be cancelled.
        """
        if self._port is not None:
            return succeed(None)
        if self._failure is not None:
            return fail(self._failure)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def is_at(self, host: str) -> bool:
        """Tell whether it listens at one of this machine's addresses, as far as the port tells.

        Args:
            host: An IP address of this machine.
        """
        own = getattr(None if self._port is None else self._port.getHost(), "host", host)
        return own in {host, "::"} or (own == "0.0.0.0" and ":" not in host)  # noqa: S104

    def startService(self) -> None:
        """Begin to listen; ``ready`` tells when it does."""
        super().startService()
        self._failure = None
        # The port of an earlier start may still be on its way, and keep the factory from starting.
        self._factory.startFactory()
        listening = maybeDeferred(self._endpoint.listen, self._factory)
        listening.addCallbacks(self._listens, self._failed)

    def stopService(self) -> Deferred[None]:
        """Stop listening, close every shared file and every connection.

        Returns:
            A Deferred that fires when nothing is left. What the kernel has it sends on.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def add(
        self,
        path: str | PathLike[str] | SourceFile,
        *,
        name: str | None = None,
        media_type: str | None = None,
        expires: float | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> SharedFile:
        """Share a file. Opening it blocks for a moment.

        Args:
            path: The file. An open SourceFile belongs to the share from now on.
            name: What readers shall call it, if not as it is called here.
            media_type: Its media type, if not what the name tells.
            expires: Seconds until it is closed; None for as long as the share runs.
            on_progress: Called with the bytes that the furthest reader has got, and the size,
                whenever there are more.

        Raises:
            OSError: The file can't be opened, or is no regular file.
            RuntimeError: The share does not listen, so that nobody knows its port. With a public
                URL there is no need to listen first.
            ValueError: An argument is not good, or there is no URL with such a port or name.
            WrongType: An argument has the wrong type. It is a TypeError.
        """
        check_callable("on_progress", on_progress)
        seconds = checked_seconds("expires", expires)
        if name is not None:
            check_not_empty("name", name)
        # It also checks the media type.
        FileInfo(media_type=media_type)
        where = self._where()
        source = path if isinstance(path, SourceFile) else SourceFile(path)
        try:
            if source.closed:
                raise ValueError(f"path is a SourceFile that is closed: {source.path}")
            name = clean_name(name or source.name)
            info = FileInfo(name, source.size, media_type or media_type_of(name))
            shared = self._added(source, info, name_in_url(name), where, on_progress)
        except BaseException:
            if source is not path:
                source.close()
            raise
        if seconds is not None:
            self.expire(shared, seconds)
        return shared

    def expire(self, shared: SharedFile, seconds: float) -> None:
        """Close a shared file after some time, whatever was said of that before.

        Args:
            shared: One of this share. If it is closed, nothing happens.
            seconds: When, in seconds from now, above 0.

        Raises:
            ValueError: The seconds are not above 0.
            WrongType: An argument has the wrong type. It is a TypeError.
        """
        if not isinstance(shared, SharedFile):
            raise wrong_type("shared", "a SharedFile", shared)
        if checked_seconds("seconds", seconds) is None:
            raise wrong_type("seconds", "a number of seconds", seconds)
        timer = self._timers.get(shared)
        if shared.source.closed:
            return
        if timer is None:
            self._timers[shared] = self._reactor.callLater(seconds, shared.close)
        else:
            timer.reset(seconds)

    def _where(self) -> tuple[str, int] | None:
        """Give the host and port of the URLs, or None if there is a public URL."""
        if self._public is not None:
            return None
        if self._port is None:
            raise RuntimeError(
                "the share does not listen yet; wait for its ready, or give public_url"
            )
        address = self._port.getHost()
        try:
            return _LOOPBACK.get(address.host, address.host), address.port
        except AttributeError:
            raise ValueError(f"public_url is needed, as no URL tells {address}") from None

    def _added(
        self,
        source: SourceFile,
        info: FileInfo,
        segment: str,
        where: tuple[str, int] | None,
        on_progress: Callable[[int, int], object] | None,
    ) -> SharedFile:
        if len(segment) > _MOST_OF_A_NAME:
            taken = f"{len(segment)} characters in a URL"
            raise ValueError(f"name takes {taken}; at most {_MOST_OF_A_NAME} are allowed")
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        digest = self._digest(token.encode())
        shared = SharedFile(
            source,
            info,
            url_for=partial(self._url, f"/{token}/{segment}", where),
            on_progress=on_progress,
            on_close=partial(self._forget, digest),
        )
        self._shared[digest] = unquote_to_bytes(segment), shared
        return shared

    def _url(self, path: str, where: tuple[str, int] | None, host: str | None) -> str:
        if where is None:
            return f"{self._public}{path}"
        return f"http://{_in_url(where[0] if host is None else host)}:{where[1]}{path}"

    def _digest(self, token: bytes) -> bytes:
        return hashlib.blake2b(token, key=self._key).digest()

    def _find(self, target: bytes) -> SharedFile | None:
        """Give the file that a request's target means (RFC 9112 section 3.2), or None."""
        origin = _ORIGIN.match(target)
        path = (target if origin is None else target[origin.end() :]).partition(b"?")[0]
        before, _, segment = path.rpartition(b"/")
        prefix, slash, token = before.rpartition(b"/")
        known = self._shared.get(self._digest(token))
        if not slash or known is None or unquote_to_bytes(prefix) not in self._prefixes:
            return None
        name, shared = known
        return shared if unquote_to_bytes(segment) == name else None

    def _forget(self, digest: bytes) -> None:
        _, shared = self._shared.pop(digest)
        timer = self._timers.pop(shared, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _listens(self, port: Any) -> Any:
        if not self.running or self._port is not None:
            # It was stopped meanwhile, and perhaps begun again.
            return port.stopListening()
        self._port = port
        self._tell(None)
        return None

    def _failed(self, failure: Failure) -> None:
        self._failure = failure
        if not self._waiting:
            self._log.error("can't listen for readers of files: {why}", why=failure.value)
        self._tell(failure)

    def _tell(self, result: Failure | None) -> None:
        """Tell those who wait for ``ready``, but not those who begin to meanwhile."""
        for _ in range(len(self._waiting)):
            # One at a time: each may cancel another one.
            if self._waiting:
                self._waiting.pop(0).callback(result)  # a Failure is one

    async def _stop(self) -> None:
        port, self._port = self._port, None
        self._tell(Failure(CancelledError("the share was stopped")))
        for _, shared in list(self._shared.values()):
            shared.close()
        if port is not None:
            await maybeDeferred(port.stopListening)
        await self._factory.stop()


def _checked_public_url(url: object) -> str:
    """Check a public URL; returns it without a slash at its end."""
    if not isinstance(url, str):
        raise wrong_type("public_url", "a str or None", url)
    try:
        parts = urlsplit(to_uri(url))
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(f"public_url is no good: {error}") from None
    # An empty query or fragment counts, too.
    if not good or "@" in parts.netloc or re.search("[?#]", url):
        raise ValueError(
            "public_url must be an http or https URL with a host, without a user, query or fragment"
        )
    return parts.geturl().rstrip("/")


def _in_url(host: str) -> str:
    """Give a host as it stands in a URL."""
    try:
        # The zone means nothing to anybody else (RFC 6874 section 1).
        return f"[{IPv6Address(host.strip('[]').partition('%')[0])}]"
    except ValueError:
        pass
    try:
        uri = to_uri(f"http://{host}/")
    except ValueError:
        uri = ""
    parts = urlsplit(uri)
    if not parts.hostname or parts.path != "/" or set("@:") & set(parts.netloc):
        raise ValueError(f"host must be a host name or an address, not {host[:100]!r}")
    return parts.netloc
