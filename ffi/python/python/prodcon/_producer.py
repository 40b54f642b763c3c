"""Producers: `work` again and again, its results into the queues of the subscribers."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

from . import _run
from ._errors import Full, Invalid, NotFound, NotReady, Removed, Stopped
from ._native import ReadyQueue
from ._worker import Worker

# Longer waits, in seconds, are interrupted by a change of the state; shorter ones are slept through.
_MAX_PLAIN_SLEEP = 0.05
# The longest time, in seconds, that a signal which stops this process alone goes unnoticed.
_SIGNAL_POLL = 0.1
# The longest time, in seconds, that a stopped producer waits for space for its last item.
_LAST_ITEM_TIMEOUT = 10.0


class Producer(Worker):
    """A worker that calls `work` again and again and puts what it returns into the queues of its subscribers.

    Parameters
    ----------
    subscriber_queues: list
        the queues (`Consumer.get_work_queue()`)
    work_timeout: float
        seconds from call to call, without drift; 0: as often as possible
    """

    #: What to do where a subscriber's queue is full: "wait" for space (and stay stoppable), or "skip" that queue, counted in `get_skipped()`.
    on_full: str = "wait"
    _skipped: Any = None

    def __init__(self, subscriber_queues: list[ReadyQueue] | None = None, work_timeout: float = 0) -> None:
        super().__init__()
        self.work_queues = subscriber_queues
        self.work_timeout = work_timeout

    def set_subscribers(self, subscriber_queues: list[ReadyQueue]) -> None:
        """Sets the queues to put into. Before start_new."""
        if self._running():
            raise Invalid("set_subscribers() must be called before start_new(): stop the producer first")
        self.work_queues = subscriber_queues

    def _check_startable(self):
        if self.work_queues is None:
            raise Invalid("a producer needs subscribers: call set_subscribers([consumer.get_work_queue()]) before start_new(), or set_subscribers([])")
        if self.on_full not in ("wait", "skip"):
            raise Invalid(f"on_full is {self.on_full!r}: use 'wait' or 'skip'")

    def _skips(self):
        if self.on_full == "skip" and self._skipped is None:
            self._skipped = (self.mp_context or multiprocessing).Value("Q", 0)
        return self._skipped if self.on_full == "skip" else None

    def get_skipped(self) -> int:
        """How many items were not put because a subscriber's queue was full (`on_full = "skip"`)."""
        return self._skipped.value if self._skipped else 0

    @staticmethod
    def work(on_start_result: Any, state: Any, message_pipe: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Returns an item. Set `state.value = Worker.stopped` to end."""
        raise NotImplementedError("define a static method work()")

    @staticmethod
    def work_loop(  # type: ignore[override]
        work,
        on_start,
        on_stop,
        state,
        work_queues,
        work_args,
        work_kwargs,
        result_pipe,
        message_pipe,
        work_timeout,
        buffer_size,
    ):
        """Calls `work`, puts its result into each queue that is ready, and sends it to the controlling process, until the state is stopped."""
        started = on_start(state, message_pipe, *work_args, **work_kwargs)
        try:
            due = time.monotonic() + work_timeout
            while state.value != Worker.stopped:
                now = time.monotonic()
                if now < due:
                    _sleep(state, due - now)
                    continue
                # From plan to plan; what is late by more than a period is not made up for.
                due = max(due + work_timeout, now) if work_timeout else now
                result = work(started, state, message_pipe, *work_args, **work_kwargs)
                for queue in work_queues:
                    _offer(queue, result, state)
                result_pipe.send(result)
        finally:
            _run.leaving()
            on_stop(started, state, message_pipe, *work_args, **work_kwargs)


def _sleep(state, seconds):
    if seconds <= _MAX_PLAIN_SLEEP:
        time.sleep(seconds)
    else:
        # Where there are several processes, a signal that stops this one changes no shared state.
        state.wait(Worker.stopped, seconds if _run.sole() else min(seconds, _SIGNAL_POLL))


def _offer(queue, item, state):
    """Puts an item into a subscriber's queue if that is ready; waits for space as long as this worker is not stopped."""
    if not isinstance(queue, ReadyQueue):
        if queue.is_ready() and not queue.full():
            queue.put(item)
        return
    # A producer that stopped itself with this very item still gets some time for it; one that is stopped while it waits gives up.
    last = state.value == Worker.stopped
    begin, wait = time.monotonic(), False
    while True:
        try:
            if not queue.is_ready():
                return  # not yet, or not any more: a put would keep the item for a consumer's first start
            return queue.put(item, wait, _SIGNAL_POLL)
        except Full:
            skipped = _run.skipped()
            if skipped is not None:
                with skipped.get_lock():
                    skipped.value += 1
                return
            if state.value == Worker.stopped and not (last and time.monotonic() < begin + _LAST_ITEM_TIMEOUT):
                return
            wait = True
        except (NotReady, Stopped, NotFound, Removed):
            return  # its consumer does not run
