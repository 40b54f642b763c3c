"""The pipes between a worker and its controlling process: queues with the interface of a `multiprocessing` connection.

`NAME.results` carries results, `NAME.in` messages to the worker, `NAME.out` messages from it. An end can be pickled to the worker process.
Nothing that was sent is lost. A receiver comes to the end (`EOFError`) when the other side has ended and all has been received.
"""

from __future__ import annotations

import collections
import multiprocessing
import os
import time
from typing import Any

from ._errors import Full, GetTimedOut, NotFound, NotReady, Removed, Stopped
from ._native import ReadyQueue

_STOPPED, _STARTED, _AT_QUEUE_END = 1, 2, 3

# The longest time, in seconds, that a sender or receiver does not look whether its peer is still there.
_PEER_POLL = 0.1


# In this process (by its id, for a fork copies this): whether it is a child of its controlling process itself, not of a fork server.
_direct: tuple[int | None, bool] = (None, False)


def controller_lives(pid: int) -> bool:
    """The controlling process `pid` lives. Asked in that process itself, or in a worker process that it started."""
    global _direct
    me, parent = os.getpid(), os.getppid()
    if _direct[0] != me:
        _direct = (me, parent == pid)
    if pid in (me, parent):
        return True
    if _direct[1]:
        return False
    # A fork server stands between. Its sentinel may be kept open by siblings, so the process id is asked, too.
    known = multiprocessing.parent_process()
    if known is None or known.pid != pid or not known.is_alive():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


# This process is a worker's that was told by a signal to stop.
stopping = False


class State:
    """A worker's state, shared by all processes that know it: `value` is 1 (stopped), 2 (started) or 3 (stop at queue end).

    In a worker process that was told by a signal to stop it is 1, whatever the others do. Setting it wakes the waits in the worker. From stopped there is no way to "stop at queue end", because the worker has ended already; so that is ignored.
    """

    def __init__(self, queue):
        self._queue = queue
        # The worker was never started: it is stopped, while its queue may take items already.
        self._fresh = True

    @property
    def value(self) -> int:
        return _STOPPED if stopping or self._fresh else self._queue.state

    @value.setter
    def value(self, value: int) -> None:
        if not self._fresh:
            set_state(self._queue, value)
        elif value == _STARTED:
            self.start()

    def start(self):
        """Makes it started, whatever it was."""
        if self._queue.state != _STARTED:
            set_state(self._queue, _STOPPED)
            set_state(self._queue, _STARTED)
        self._fresh = False

    def wait(self, value: int, timeout: float | None = None) -> bool:
        """Waits until the state is `value`; False: `timeout` (seconds) was over first."""
        if self.value == value:
            return True
        return self._queue.wait_state(value, timeout)

    def __repr__(self):
        return f"<prodcon.State {self.value}>"


def set_state(queue: ReadyQueue, value: int) -> None:
    """Sets the state of a queue, however often that is asked for."""
    while True:
        now = queue.state
        if now == value or (now, value) == (_STOPPED, _AT_QUEUE_END):
            return
        try:
            queue.state = value
            return
        except ValueError:
            # Somebody else may have come between; refused from the same state it is an error.
            if queue.state == now:
                raise


def create(name, suffix, directory, capacity, item_size, seats):
    return ReadyQueue(capacity, name=name + suffix, item_size=item_size, seats=seats, directory=directory)


def reopen(queue):
    """Makes a pipe's queue fit for the next worker process."""
    set_state(queue, _STOPPED)
    set_state(queue, _STARTED)
    queue.set_ready()


class ResultPipe:
    """One end of the result pipe. The worker's end only sends, the controlling process's only receives.

    While nobody listens, results are not sent at all; the first `recv` or `poll` begins to listen.
    """

    def __init__(self, queue, state, controller):
        self._queue = queue
        self._state = state
        self._controller = controller
        self._stash: collections.deque[Any] = collections.deque()
        self.closed = False

    def listen(self):
        if not self._queue.is_ready():
            self._queue.set_ready()

    def send(self, result: Any) -> None:
        """Sends a result if anybody listens. Waits for space for as long as there is a controlling process."""
        if self.closed:
            raise OSError("handle is closed")
        while True:
            try:
                if self._queue.is_ready():
                    self._queue.put(result, True, _PEER_POLL)
                return
            except Full:
                if not controller_lives(self._controller):
                    return
            except (NotReady, Stopped, NotFound, Removed):
                return

    def recv(self) -> Any:
        """The next result; EOFError when the worker has ended and all results were received."""
        if self._stash:
            return self._stash.popleft()
        self.listen()
        try:
            return self._queue.get()
        except (Stopped, NotFound, Removed):
            raise EOFError from None

    def poll(self, timeout: float | None = 0.0) -> bool:
        """There is a result, or there will be within `timeout` seconds (None: as long as it takes). True at the end, too: `recv` tells it."""
        if self._stash:
            return True
        self.listen()
        try:
            self._stash.append(self._queue.get(True, timeout))
        except GetTimedOut:
            return False
        except (Stopped, NotFound, Removed):
            pass
        return True

    def close(self) -> None:
        self.closed = True


class MessagePipe:
    """One end of the message pipe: `send`, `recv`, `poll`, `close`, as a `multiprocessing` connection."""

    def __init__(self, incoming, outgoing, state, controller):
        self._incoming = incoming
        self._outgoing = outgoing
        self._state = state
        self._controller = controller
        self._stash: collections.deque[Any] = collections.deque()
        self.closed = False

    def _check(self):
        if self.closed:
            raise OSError("handle is closed")

    def _other_side_ended(self):
        if os.getpid() == self._controller:
            return self._outgoing.state != _STARTED
        return not controller_lives(self._controller)

    def send(self, message: Any) -> None:
        """Sends a message. Waits for space while the other side is there; BrokenPipeError when it has ended (a worker's messages are then dropped)."""
        self._check()
        while True:
            try:
                return self._outgoing.put(message, True, _PEER_POLL)
            except Full:
                if not self._other_side_ended():
                    continue
            except (NotReady, Stopped, NotFound, Removed):
                pass
            if os.getpid() == self._controller:
                raise BrokenPipeError("the worker has ended")
            return None

    def _get(self, timeout):
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            wait = _PEER_POLL if deadline is None else max(0.0, min(_PEER_POLL, deadline - time.monotonic()))
            try:
                return self._incoming.get(True, wait)
            except GetTimedOut:
                # A worker that was stopped gets what is there, then the end.
                if os.getpid() != self._controller and (self._state.value == _STOPPED or self._other_side_ended()):
                    raise EOFError from None
                if deadline is not None and time.monotonic() >= deadline:
                    raise
            except (Stopped, NotFound, Removed):
                raise EOFError from None

    def recv(self) -> Any:
        """The next message; EOFError when there will be none any more: the other side has ended, or this worker was stopped."""
        self._check()
        if self._stash:
            return self._stash.popleft()
        return self._get(None)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """There is a message, or there will be within `timeout` seconds (None: as long as it takes)."""
        self._check()
        if self._stash:
            return True
        if timeout == 0 and self._incoming.empty():
            return False
        try:
            self._stash.append(self._get(timeout))
        except GetTimedOut:
            return False
        except EOFError:
            # As a connection: there is something to receive, namely the end. A stopped worker that only polls is told that there is nothing.
            return os.getpid() == self._controller
        return True

    def close(self) -> None:
        self.closed = True
