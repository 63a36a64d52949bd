"""Threads of our own, for what blocks: names and the disk.

The reactor's ten threads serve everybody. Ten names whose servers don't answer would keep the disk
waiting, and a disk that hangs would keep names waiting, and the process at its exit. So whoever
blocks has a few threads of its own:

- They are made when they are needed, up to a limit. Jobs that find all of them busy wait in order,
  and can be taken back.
- A thread without work ends after some seconds.
- They are daemon threads, which nobody joins: a process ends at once, whatever they wait for. (A
  thread that the kernel holds, on a disk that is frozen, delays the end of its process. Nobody can
  help that.)
- A thread that dies is replaced, and its job fails.

The state of a job, where each change of it takes the lock:

=========  ===========================  ======================================================
state      in                           leads to
=========  ===========================  ======================================================
waiting    ``Threads._waiting``         running; over, if it is taken back
running    a thread                     over
over       the reactor's queue          (its Deferred fires, unless it was cancelled)
=========  ===========================  ======================================================
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure

from twisted_oob.errors import NoRoom
from twisted_oob.files.forks import tell_of_forks

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Seconds until a thread without work ends.
IDLE: Final = 10.0


class Job(Protocol):
    """What a thread does."""

    def run(self) -> None:
        """Do it, in a thread. It tells its own result, and its errors."""


class Threads:
    """Threads that run jobs in order.

    Args:
        most: How many there may be.
        name: What each is called.
        idle: The seconds after which one without work ends.
    """

    def __init__(self, most: int, name: str, *, idle: float = IDLE) -> None:
        self._most = most
        self._name = name
        self._idle_time = idle
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._waiting: dict[Job, None] = {}  # in order, and one in the middle can leave
        self._count = 0
        self._idle = 0

    def forget_parent(self) -> None:
        """Begin without threads and jobs, in a child that was just forked."""
        self._begin()

    def start(self, job: Job) -> bool:
        """Run a job in a thread, as soon as there is one.

        Returns:
            Whether it need not wait for others.

        Raises:
            NoRoom: No thread is free, and the system gives us no further one.
        """
        with self._changed:
            self._waiting[job] = None
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._count >= self._most:
                return False
            else:
                try:
                    self._start_thread()
                except (RuntimeError, MemoryError) as error:
                    del self._waiting[job]
                    raise NoRoom(
                        "no room for the file now", detail=str(error) or repr(error)
                    ) from None
            return True

    def take_back(self, job: Job) -> bool:
        """Take a job back; False if it does not wait any more."""
        with self._changed:
            waited = job in self._waiting
            self._waiting.pop(job, None)
        return waited

    def _start_thread(self) -> None:
        threading.Thread(target=self._work, name=self._name, daemon=True).start()
        self._count += 1

    def _work(self) -> None:
        finished = False
        try:
            while self._work_once():
                pass
            finished = True
        finally:
            if not finished:
                self._replace()

    def _work_once(self) -> bool:
        # A call of its own, so that a thread without work keeps no job, and none of its bytes.
        job = self._next()
        if job is not None:
            job.run()
        return job is not None

    def _next(self) -> Job | None:
        """Wait for a job; None if the thread is not needed any more."""
        with self._changed:
            if not self._waiting:
                self._idle += 1
                try:
                    self._changed.wait(self._idle_time)
                finally:
                    self._idle -= 1
            if not self._waiting:
                self._count -= 1
                return None
            job = next(iter(self._waiting))
            del self._waiting[job]
            return job

    def _replace(self) -> None:
        """Have another thread instead of this one, which dies."""
        with self._changed:
            self._count -= 1
            if len(self._waiting) > self._idle and self._count < self._most:
                try:
                    self._start_thread()
                except (RuntimeError, MemoryError):
                    # The next job that comes tries again, and is told if that fails, too.
                    return


def as_error(error: BaseException) -> Exception:
    """Give what a Deferred should fail with, for anything that was raised in a thread.

    A coroutine that waits for the thread would take a SystemExit for its own.
    """
    if isinstance(error, Exception):
        return error
    died = RuntimeError(f"a thread was about to die of {error!r}")
    died.__cause__ = error
    return died


class Workers:
    """Calls what blocks in threads of our own, and gives its result in the reactor.

    Args:
        reactor: Gets the results (IReactorFromThreads).
        most: How many threads there may be.
        name: What each is called.
    """

    def __init__(self, reactor: Any, most: int, name: str) -> None:
        self._reactor = reactor
        self._threads = Threads(most, name)
        self._calls: dict[Deferred[Any], _Call] = {}

    def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        """Call a function in a thread. Calls begin in the order in which they came.

        Returns:
            A Deferred with its result or error. It fails with NoRoom if the system gives us no
            thread. ``cancel()`` takes back a call that did not begin; another one goes on, and its
            result is dropped.
        """
        call: _Call = _Call(self._reactor, function, args, kwargs)
        result: Deferred[_T] = Deferred(self._cancelled)
        self._calls[result] = call
        call.told = result

        def over(value: object) -> object:
            self._calls.pop(result, None)
            return value

        result.addBoth(over)
        try:
            self._threads.start(call)
        except NoRoom:
            self._calls.pop(result)
            return fail(Failure())
        return result

    def take_back(self, job: Deferred[Any]) -> bool:
        """Take a call back that did not begin yet.

        Args:
            job: What ``run`` gave.

        Returns:
            Whether it was taken back. It is never called then, and the Deferred fails with
            CancelledError.
        """
        taken = self._take_back(job)
        if taken:
            job.errback(CancelledError())
        return taken

    def _cancelled(self, job: Deferred[Any]) -> None:
        self._take_back(job)

    def _take_back(self, job: Deferred[Any]) -> bool:
        call = self._calls.get(job)
        return call is not None and self._threads.take_back(call)


class _Call:
    """A call of a function, in a thread; ``told`` gets its result, in the reactor."""

    told: Deferred[Any]

    def __init__(
        self,
        reactor: Any,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._reactor = reactor
        self._function = function
        self._args = args
        self._kwargs = kwargs

    def run(self) -> None:
        result: Any
        try:
            result = self._function(*self._args, **self._kwargs)
        except BaseException as error:  # also what would end the thread: somebody waits for it
            result = Failure(as_error(error))
        self._reactor.callFromThread(self._tell, result)

    def _tell(self, result: Any) -> None:
        if not self.told.called:
            self.told.callback(result)
