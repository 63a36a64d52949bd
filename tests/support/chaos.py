"""Chaos: thousands of transfers over real sockets, with faults and cancellations from one seed.

Each transfer has a Plan, which its number and the seed decide alone. The ChaosServer reads the
number from the path and does what the plan says. What cannot be planned is the moment at which a
cancellation or a limit meets a transfer: that is what differs between two runs.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from dataclasses import dataclass, field
from random import Random

from twisted.internet.inotify import IN_CREATE, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO, INotify
from twisted.python.filepath import FilePath

from tests.support.hostile_http import HostileServer, answer, chunked, redirect
from twisted_oob import FileInfo

MOST = 400_000  # the largest file that the Fetchers take
KEEP, CLOSE, RESET = "keep", "close", "reset"
COMMON_NAME = "everybodys.bin"  # which many transfers want
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


# --- what a server may do: the pieces that it sends, each after some seconds, and how it ends


def _at_once(data, end=KEEP):
    return [(0, data)], end


def _in_pieces(random, data, end=KEEP):
    cuts = sorted(random.randrange(len(data)) for _ in range(random.randrange(1, 4)))
    pieces = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, None], strict=True)]
    return [(random.uniform(0, 0.004), piece) for piece in pieces], end


def whole(random, body):
    return _at_once(answer(body))


def whole_in_pieces(random, body):
    return _in_pieces(random, answer(body))


def whole_in_chunks(random, body):
    return _in_pieces(random, chunked(body[:7], body[7:]))


def whole_and_closed(random, body):
    return _at_once(answer(body), CLOSE)


def short(random, body):
    return _in_pieces(random, answer(body, length=len(body) + 1), CLOSE)


def short_of_chunks(random, body):
    return _in_pieces(random, chunked(body, end=b""), CLOSE)


def without_a_length(random, body):
    return _at_once(b"HTTP/1.1 200 OK\r\n\r\n" + body, CLOSE)


def reset_at_once(random, body):
    return [], RESET


def reset_within(random, body):
    whole = answer(body)
    return _in_pieces(random, whole[: random.randrange(1, len(whole))], RESET)


def silent(random, body):
    return [], KEEP


def silent_within(random, body):
    return _in_pieces(random, answer(body, length=len(body) + 1))


def too_slow(random, body):
    return [(0, _HEAD % 1000), *[(0.01, b"x")] * 1000], KEEP


def too_large(random, body):
    return _at_once(answer(body, length=MOST + 1))


def without_end(random, body):
    head, piece = chunked(end=b""), b"%x\r\n%b\r\n" % (100_000, bytes(100_000))
    return [(0, head), *[(0, piece)] * (MOST // 100_000 + 1)], KEEP


def not_found(random, body):
    return _at_once(answer(body, status="404 Not Found"))


def garbage(random, body):
    return _at_once(b"SSH-2.0-" + body, CLOSE)


WHOLE = (whole, whole, whole_in_pieces, whole_in_chunks, whole_and_closed)
WRONG = (
    *(short, short_of_chunks, without_a_length, reset_at_once, reset_within, silent, silent_within),
    *(too_slow, too_large, without_end, not_found, garbage),
)
# For the patient Fetcher, those whose end it does not wait for long.
QUICKLY_WRONG = tuple(set(WRONG) - {silent, silent_within, too_slow})


@dataclass(frozen=True)
class Plan:
    """What happens to one transfer.

    ``may_succeed``: whether its file is whole and as it was announced. ``cancel``: when the caller
    cancels: None for never, or whether the whole body must have come before, and seconds after
    that. ``hasty``: whether a Fetcher with short limits has it.
    """

    number: int
    path: str
    body: bytes = field(repr=False)
    server: str
    script: tuple = field(repr=False)
    info: FileInfo | None
    redirected: bool
    hasty: bool
    cancel: tuple[bool, float] | None
    may_succeed: bool

    @property
    def must_succeed(self):
        return self.may_succeed and not self.hasty and self.cancel is None


def plan(seed, number):
    """Give the plan of a transfer."""
    random = Random(f"{seed}/{number}")
    large = random.random() < 0.08
    size = random.randrange(100_000, MOST) if large else random.randrange(20, 3000)
    body = b"%d %b" % (number, random.randbytes(size))
    hasty = random.random() < 0.3
    is_whole = random.random() < 0.7
    server = random.choice(WHOLE if is_whole else WRONG if hasty else QUICKLY_WRONG)
    info = None
    announced = random.random()
    if announced < 0.3:
        info = FileInfo(size=len(body), sha256=hashlib.sha256(body).hexdigest())
    elif announced < 0.36:
        info = FileInfo(sha256=hashlib.sha256(b"another").hexdigest())
    elif announced < 0.4:
        info = FileInfo(size=len(body) - 1)
    cancel = None
    if random.random() < 0.4:
        # From at once to later than most of them take; or as the last byte has come, which is
        # when the file is synced and gets its name.
        at_the_end = random.random() < 0.6
        cancel = (
            at_the_end,
            (random.uniform(0, 0.012) if at_the_end else 10 ** random.uniform(-5, -1.5)),
        )
    name = COMMON_NAME if random.random() < 0.1 else f"file-{number}.bin"
    return Plan(
        number=number,
        path=f"/{number}/{name}",
        body=body,
        server=server.__name__,
        script=server(random, body),
        info=info,
        redirected=random.random() < 0.1,
        hasty=hasty,
        cancel=cancel,
        may_succeed=is_whole and (info is None or announced < 0.3),
    )


class ChaosServer(HostileServer):
    """Does what the plans say. ``plans``: those that it knows, by number."""

    def __init__(self, reactor):
        super().__init__(reactor)
        self.plans = {}

    def requested(self, connection):
        first, number, *_ = connection.line.split(" ")[1][1:].split("/")
        if first == "moved":
            plan = self.plans[int(number)]
            connection.write(redirect(plan.path))
        else:
            self._send(connection, *self.plans[int(first)].script)

    def _send(self, connection, pieces, end):
        for number, (delay, piece) in enumerate(pieces):
            if delay:
                later = self.reactor.callLater(
                    delay, self._send, connection, [(0, piece), *pieces[number + 1 :]], end
                )
                connection.lost.addCallback(_cancel, later)
                return
            connection.write(piece)
        if end is CLOSE:
            connection.close()
        elif end is RESET:
            now = struct.pack("ii", 1, 0)
            connection.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            connection.transport.abortConnection()

    def url(self, plan):
        path = f"/moved{plan.path}" if plan.redirected else plan.path
        # A name is resolved in a thread, and has an address at which nobody listens.
        return super().url(path, host="localhost" if plan.number % 7 == 0 else "127.0.0.1")


def _cancel(_, later):
    if later.active():
        later.cancel()


class FolderWatcher:
    """Sees what appears in a folder under a name that does not begin with a dot, and what goes.

    ``appeared``, ``gone``: these names, in order. ``contents``: the SHA-256 of what each file held
    when it was first seen.
    """

    def __init__(self, reactor, folder):
        self.appeared, self.gone, self.contents = [], [], {}
        self._notifier = INotify(reactor)
        self._notifier.startReading()
        mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO
        self._notifier.watch(FilePath(str(folder)), mask, callbacks=[self._happened])

    def _happened(self, _watch, path, mask):
        name = path.basename().decode()
        if name.startswith("."):
            return
        if mask & (IN_DELETE | IN_MOVED_FROM):
            self.gone.append(name)
            return
        self.appeared.append(name)
        if path.exists():
            self.contents[name] = hashlib.sha256(path.getContent()).hexdigest()

    def stop(self):
        """See what has happened until now, and stop."""
        self._notifier.doRead()
        self._notifier.loseConnection()
