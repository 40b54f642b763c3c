"""Consumers: `work` with what is in their queue."""

from __future__ import annotations

import sys
import time
from typing import Any

from . import _pipes, _run
from ._errors import Error, GetTimedOut, NotFound, Removed, Stopped
from ._native import ReadyQueue
from ._pipes import set_state
from ._worker import Worker


# The longest time, in seconds, that a signal which stops this process alone goes unnoticed.
_SIGNAL_POLL = 0.1


def put_in_queue(queue: ReadyQueue, data: Any) -> None:
    """Puts an item into a consumer's work queue, from any process. Waits while the queue is full.

    What is put before the consumer's first start is worked on when it starts.
    """
    queue.put(data)


class Consumer(Worker):
    """A worker with a queue, that calls `work` with the items in it.

    `work` is called when the buffer holds `max_buffer_size` items; when `work_timeout` has passed since the last call and it holds any; and at the
    end of the queue.

    Parameters
    ----------
    work_timeout: float
        seconds
    max_buffer_size: int
        items
    lossy_queue: bool
        the full queue drops its oldest item, and producers never wait
    maxsize: int
        items that the queue holds; 0: many (8192)
    item_size, seats, queue_name, at_least_once:
        instead of the class attributes
    """

    #: What a killed worker process had in batch is worked on by the next one, instead of being lost.
    at_least_once: bool = False

    def __init__(self, work_timeout: float = 5, max_buffer_size: int = 1, lossy_queue: bool = False, *args: Any, **kwargs: Any) -> None:
        options = ("item_size", "seats", "queue_name", "at_least_once")
        self._queue_options = {name: kwargs.pop(name, getattr(self, name)) for name in options}
        self._queue_options["name"] = self._queue_options.pop("queue_name")
        self._queue_options.update(lossy=bool(lossy_queue), maxsize=kwargs.pop("maxsize", 0))
        if self._queue_options["at_least_once"]:
            # Each item in hand takes a seat.
            self._queue_options["seats"] = min(1023, (self._queue_options["seats"] or 64) + max(0, max_buffer_size))
        super().__init__()
        self.work_queues = [self._own_queue]
        self.work_timeout = work_timeout
        self.max_buffer_size = max_buffer_size

    def _make_queue(self) -> ReadyQueue:
        return ReadyQueue(**self._queue_options)

    def get_work_queue(self) -> ReadyQueue:
        """The queue, for `Producer.set_subscribers` and `put_in_queue`."""
        return self.work_queues[0]

    def set_stop_at_queue_end(self) -> None:
        """Tells the worker to stop when all that was put so far has been worked on. From now on nobody can put."""
        self.state.value = Worker.stop_at_queue_end

    def _before_start(self):
        # Producers may put before the process runs.
        super()._before_start()
        self.work_queues[0].set_ready()

    def _after_end(self):
        super()._after_end()
        # A killed worker's items wait for the next one where they may not be lost.
        if not self._own_queue.at_least_once:
            try:
                self._own_queue.set_not_ready()
            except Error:
                pass

    @staticmethod
    def work(items: list[Any], on_start_result: Any, state: Any, message_pipe: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Works on a list of items. Set `state.value = Worker.stopped` to end."""
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
        max_buffer_size,
    ):
        """Calls `work` with what comes in the queue and sends its result to the controlling process, until stopped or at the end of the queue."""
        (queue,) = work_queues
        most = max(1, max_buffer_size)
        started = on_start(state, message_pipe, *work_args, **work_kwargs)
        batch = queue._batch(most) if queue.at_least_once else None
        try:
            buffer: list[Any] = []
            ended = full = False
            failure: Exception | None = None
            last = time.monotonic()
            while not ended:
                left = max(0.0, last + work_timeout - time.monotonic()) if buffer else None
                if not _run.sole():
                    # A signal that stops this process alone changes no shared state: it is looked for.
                    left = _SIGNAL_POLL if left is None else min(left, _SIGNAL_POLL)
                    if _pipes.stopping:
                        ended = True  # what is in the buffer was taken from the others' queue: it is worked on
                try:
                    if ended:
                        pass
                    elif batch is None:
                        buffer += queue.get_many(most - len(buffer), True, left)
                    else:
                        more = batch.take(most - len(buffer), left)
                        buffer += more
                        full = not more  # there are no seats for a larger buffer
                except GetTimedOut:
                    pass
                except (Stopped, NotFound, Removed):
                    ended = True
                    if state.value != Worker.stop_at_queue_end and (_run.sole() or not _pipes.stopping):
                        break  # stopped: what is in the buffer is dropped, as what is in the queue
                except Exception as error:
                    if batch is not None or not buffer:
                        raise
                    ended, failure = True, error  # an item that cannot be unpickled; first what came before it
                now = time.monotonic()
                if buffer and (ended or full or len(buffer) >= most or now - last >= work_timeout):
                    last = now
                    items, buffer = buffer, []
                    result = work(items, started, state, message_pipe, *work_args, **work_kwargs)
                    if batch is not None:
                        batch.ack()
                    result_pipe.send(result)
            if failure is not None:
                raise failure
        finally:
            _run.leaving()
            if batch is not None:
                batch.nack()  # what was not worked on
            if _run.sole() and sys.exc_info()[0] is None:
                set_state(state._queue, Worker.stopped)
                if not (_pipes.stopping and queue.at_least_once):
                    queue.set_not_ready()
            on_stop(started, state, message_pipe, *work_args, **work_kwargs)
