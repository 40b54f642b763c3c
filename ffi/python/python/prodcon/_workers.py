"""Workers: producers and consumers that run in processes of their own, with adv_prodcon's interface.

A worker called W has the queues W (a consumer's work queue; a producer's carries its state only), W.results, W.in and W.out. Its state is that of W.
Where adv_prodcon does something else than its documentation says, this does what the documentation says; the README lists it.
"""

import atexit
import multiprocessing
import multiprocessing.util  # registers, for the exit, the joining of all processes: before `_stop_all`, so that this runs first
import os
import sys
import threading
import time
import weakref

from . import _pipes, _run
from ._errors import Error, Full, GetTimedOut, Invalid, NotFound, NotReady, Removed, Stopped
from ._native import ReadyQueue
from ._pipes import MessagePipe, ResultPipe, State, set_state

# Longer waits of a producer are interrupted by a change of its state; shorter ones are slept through.
_NAP = 0.05

# The longest time that is waited, at the end of a worker, for callbacks to return or for space for its last item.
_PATIENCE = 10.0


class Worker:
    """What producers and consumers have in common. Derive from `Producer` or `Consumer` instead.

    A worker may be used by the process that made it. It ends with that process, however that ends: stopped in an orderly way, `on_stop` included.
    """

    stopped = 1
    started = 2
    stop_at_queue_end = 3

    #: Name of the worker's queues; None: one of its own, `py-...`.
    queue_name = None
    #: Bytes reserved for each item of the work queue; longer items go through files of their own. None: 1 to 64 KiB, by the size of the queue.
    item_size = None
    #: Endpoints that the work queue has room for.
    seats = 64
    #: The same for results.
    results_size = 256
    results_item_size = 4032
    #: The `multiprocessing` context to start processes with; None: the default one.
    mp_context = None

    def __init__(self):
        self.process = None
        self.processes = []
        self.result_thread = None
        self.message_thread = None
        self.result_pipe_parent = self.result_pipe_child = None
        self.message_pipe_parent = self.message_pipe_child = None
        self.work_queues = []
        self.work_timeout = 0
        self.max_buffer_size = 1
        self.work_args = ()
        self.work_kwargs = {}
        self._maker = os.getpid()
        self._pipes = None
        self._watcher = None
        self._own_queue = self._make_queue()
        set_state(self._own_queue, Worker.stopped)
        self.state = State(self._own_queue)
        _workers.add(self)

    def _make_queue(self):
        """The queue that carries the state."""
        return ReadyQueue(1, item_size=64, seats=8, name=self.queue_name)

    # ------------------------------------------------------------ for users to define

    @staticmethod
    def work(*args, **kwargs):
        """The work itself."""
        raise NotImplementedError("define a static method work()")

    @staticmethod
    def on_start(state, message_pipe, *args, **kwargs):
        """Called once in the worker process, before the first `work`. What it returns is handed to `work` and `on_stop`."""

    @staticmethod
    def on_stop(on_start_result, state, message_pipe, *args, **kwargs):
        """Called once in the worker process at the end, whatever the end is, short of kill -9."""

    @staticmethod
    def work_loop(*args, **kwargs):
        """The loop that the worker process runs."""
        raise NotImplementedError("derive from Producer or Consumer")

    def on_result_ready(self, result):
        """Called in the controlling process, in a thread, with what `work` returned."""

    def on_message_ready(self, message):
        """Called in the controlling process, in a thread, with what was sent through the message pipe."""

    # ------------------------------------------------------------ start and stop

    def get_state(self):
        """`Worker.stopped`, `started` or `stop_at_queue_end`."""
        return self.state.value

    def set_stopped(self):
        """Tells the worker to stop. What is still in its queue is cleared."""
        self.state.value = Worker.stopped

    def start_new(self, work_args=(), work_kwargs=None, workers=1):
        """Starts the worker process (or `workers` of them, who share the work). One that runs is stopped and waited for first.

        Parameters
        ----------
        work_args: tuple
            further arguments of on_start, work and on_stop, after the instance's `work_args`
        work_kwargs: dict
            keyword arguments of the three, beside the instance's `work_kwargs`
        workers: int
            number of processes
        """
        if self._maker != os.getpid():
            raise Invalid("this worker belongs to the parent process: make one here")
        if workers < 1:
            raise Invalid(f"{workers} worker processes: give 1 or more")
        self._check_startable()
        self._stop_and_wait()
        self._open_pipes()
        self._before_start()
        args = (
            self.work,
            self.on_start,
            self.on_stop,
            self.state,
            self.work_queues,
            (*self.work_args, *work_args),
            {**self.work_kwargs, **(work_kwargs or {})},
            self.result_pipe_child,
            self.message_pipe_child,
            self.work_timeout,
            self.max_buffer_size,
        )
        link = _run.Link(os.getpid(), workers == 1, [self._own_queue, *self._pipes, *self._queues_of_prodcon()], self._skips())
        context = self.mp_context or multiprocessing
        self.processes = []
        try:
            for _ in range(workers):
                process = context.Process(target=_run.run, args=(self.work_loop, args, self.state, link))
                process.start()
                self.processes.append(process)
        except BaseException:
            # What cannot be pickled, for instance; those that run already stop.
            self._after_end()
            raise
        self.process = self.processes[0]
        self._watcher = self._thread(self._wait_for_end, _run.Ended(self.processes), list(self.processes))
        self.result_thread = self._thread(self.wait_on_result_pipe)
        self.message_thread = self._thread(self.wait_on_message_pipe)
        for process in self.processes:
            process.join = _joined_with(process.join, process, self._watcher, (self.result_thread, self.message_thread))

    def close(self):
        """Stops the worker, waits for it and removes its queues. It cannot be started again."""
        self._stop_and_wait()
        for queue in (self._own_queue, *(self._pipes or ())):
            queue.close()
        _workers.discard(self)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _check_startable(self):
        pass

    def _before_start(self):
        set_state(self._own_queue, Worker.stopped)  # whoever changed it meanwhile
        set_state(self._own_queue, Worker.started)

    def _skips(self):
        """Where worker processes count what they skip; None: they skip nothing."""

    def _queues_of_prodcon(self):
        return [queue for queue in self.work_queues or () if isinstance(queue, ReadyQueue)]

    def _running(self):
        return self._watcher is not None and self._watcher.is_alive()

    def _stop_and_wait(self):
        if self._maker != os.getpid():
            return
        if self._running():
            self.set_stopped()
        for process in self.processes:
            try:
                process.join()
            except ValueError:
                pass  # the program has closed it

    def _open_pipes(self):
        name, directory = self._own_queue.name, self._own_queue.directory
        if self._pipes is None:
            self._pipes = (
                _pipes.create(name, ".results", directory, self.results_size, self.results_item_size),
                _pipes.create(name, ".in", directory, 256, 960),
                _pipes.create(name, ".out", directory, 256, 960),
            )
        for queue in self._pipes:
            _pipes.reopen(queue)
        results, incoming, outgoing = self._pipes
        incoming.clear()  # what the one before did not read
        if not self._has_listener():
            results.set_not_ready()
        me = os.getpid()
        self.result_pipe_parent = ResultPipe(results, self.state, me)
        self.result_pipe_child = ResultPipe(results, self.state, me)
        self.message_pipe_parent = MessagePipe(outgoing, incoming, self.state, me)
        self.message_pipe_child = MessagePipe(incoming, outgoing, self.state, me)

    @staticmethod
    def _thread(target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        return thread

    # ------------------------------------------------------------ the worker has ended

    def _wait_for_end(self, ended, processes):
        ended.wait()
        self._after_end()

    def _after_end(self):
        """All processes have ended, maybe killed: nobody puts any more, and what was sent is received to its end."""
        try:
            self.state.value = Worker.stopped
        except Error:
            pass
        for queue in self._pipes:
            _run.end_of_stream(queue)

    # ------------------------------------------------------------ results and messages

    def _has_listener(self):
        """Somebody is interested in results: else they need not be sent."""
        return any(
            getattr(getattr(self, name), "__func__", None) is not getattr(Worker, name) for name in ("on_result_ready", "wait_on_result_pipe")
        )

    def wait_on_result_pipe(self):
        """Calls `on_result_ready` with each result, until the worker has ended and all were received. Runs in a thread."""
        pipe = self.result_pipe_parent
        while not self._has_listener():
            # A callback may still be set.
            if self._pipes[0].wait_state(Worker.stop_at_queue_end, 0.25):
                return
        _receive(pipe.recv, lambda result: self.on_result_ready(result), lambda: self.result_pipe_parent is pipe)

    def wait_on_message_pipe(self):
        """Calls `on_message_ready` with each message, until the worker has ended and all were received. Runs in a thread."""
        pipe = self.message_pipe_parent
        _receive(pipe.recv, lambda message: self.on_message_ready(message), lambda: self.message_pipe_parent is pipe)


def _receive(receive, call, current):
    # A callback may have started the worker anew, with another thread.
    while current():
        try:
            item = receive()
        except EOFError:
            return
        except Exception:
            _report()  # it could not be unpickled: the next may
            continue
        try:
            call(item)
        except Exception:
            _report()


def _report():
    """An exception in a thread, told as threading tells it, without ending the thread."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


def _joined_with(join, process, watcher, receivers):
    """`process.join` that also waits until all that the worker sent was handed to the callbacks."""

    def joined(timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        join(timeout)
        if process.is_alive():
            return
        patience = time.monotonic() + _PATIENCE
        for thread in (watcher, *receivers):
            me = threading.current_thread()
            if me is thread or (me in receivers and thread in receivers):
                continue  # called by a callback
            until = patience if deadline is None else min(patience, deadline)
            thread.join(max(0.0, until - time.monotonic()))

    return joined


def put_in_queue(queue, data):
    """Puts an item into a consumer's work queue, from any process. Waits while the queue is full."""
    queue.put(data)


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
    on_full = "wait"
    _skipped = None

    def __init__(self, subscriber_queues=None, work_timeout=0):
        super().__init__()
        self.work_queues = subscriber_queues
        self.work_timeout = work_timeout

    def set_subscribers(self, subscriber_queues):
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

    def get_skipped(self):
        """How many items were not put because a subscriber's queue was full (`on_full = "skip"`)."""
        return self._skipped.value if self._skipped else 0

    @staticmethod
    def work(on_start_result, state, message_pipe, *args, **kwargs):
        """Returns an item. Set `state.value = Worker.stopped` to end."""
        raise NotImplementedError("define a static method work()")

    @staticmethod
    def work_loop(work, on_start, on_stop, state, work_queues, work_args, work_kwargs, result_pipe, message_pipe, work_timeout, max_buffer_size):
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
    if seconds <= _NAP:
        time.sleep(seconds)
    else:
        state.wait(Worker.stopped, seconds)


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
            return queue.put(item, wait, 0.1)
        except Full:
            skipped = _run.skipped()
            if skipped is not None:
                with skipped.get_lock():
                    skipped.value += 1
                return
            if state.value == Worker.stopped and not (last and time.monotonic() < begin + _PATIENCE):
                return
            wait = True
        except (NotReady, Stopped, NotFound, Removed):
            return  # its consumer does not run


class Consumer(Worker):
    """A worker with a queue, that calls `work` with the items in it.

    `work` is called when the buffer holds `max_buffer_size` items; when `work_timeout` has passed since the last call and it holds any; and at the end of the queue.

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

    #: What a killed worker process had in hand is worked on by the next one, instead of being lost.
    at_least_once = False

    def __init__(self, work_timeout=5, max_buffer_size=1, lossy_queue=False, *args, **kwargs):
        options = ("item_size", "seats", "queue_name", "at_least_once")
        self._queue_options = {name: kwargs.pop(name, getattr(self, name)) for name in options}
        self._queue_options["name"] = self._queue_options.pop("queue_name")
        self._queue_options.update(lossy=bool(lossy_queue), maxsize=kwargs.pop("maxsize", 0))
        if self._queue_options["at_least_once"]:
            # Each item in hand takes a seat.
            self._queue_options["seats"] = min(1023, self._queue_options["seats"] + max(0, max_buffer_size))
        super().__init__()
        self.work_queues = [self._own_queue]
        self.work_timeout = work_timeout
        self.max_buffer_size = max_buffer_size

    def _make_queue(self):
        return ReadyQueue(**self._queue_options)

    def get_work_queue(self):
        """The queue, for `Producer.set_subscribers` and `put_in_queue`."""
        return self.work_queues[0]

    def set_stop_at_queue_end(self):
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
    def work(items, on_start_result, state, message_pipe, *args, **kwargs):
        """Works on a list of items. Set `state.value = Worker.stopped` to end."""
        raise NotImplementedError("define a static method work()")

    @staticmethod
    def work_loop(work, on_start, on_stop, state, work_queues, work_args, work_kwargs, result_pipe, message_pipe, work_timeout, max_buffer_size):
        """Calls `work` with what comes in the queue and sends its result to the controlling process, until stopped or at the end of the queue."""
        (queue,) = work_queues
        most = max(1, max_buffer_size)
        started = on_start(state, message_pipe, *work_args, **work_kwargs)
        hand = queue._hand(most) if queue.at_least_once else None
        try:
            buffer, ended, full = [], False, False
            last = time.monotonic()
            while not ended:
                left = max(0.0, last + work_timeout - time.monotonic()) if buffer else None
                try:
                    if hand is None:
                        buffer += queue.get_many(most - len(buffer), True, left)
                    else:
                        more = hand.take(most - len(buffer), left)
                        buffer += more
                        full = not more  # there are no seats for a larger buffer
                except GetTimedOut:
                    pass
                except (Stopped, NotFound, Removed):
                    ended = True
                    if state.value != Worker.stop_at_queue_end:
                        break  # stopped: what is in the buffer is dropped, as what is in the queue
                now = time.monotonic()
                if buffer and (ended or full or len(buffer) >= most or now - last >= work_timeout):
                    last = now
                    items, buffer = buffer, []
                    result = work(items, started, state, message_pipe, *work_args, **work_kwargs)
                    if hand is not None:
                        hand.ack()
                    result_pipe.send(result)
        finally:
            _run.leaving()
            if hand is not None:
                hand.nack()  # what was not worked on
            if _run.sole() and sys.exc_info()[0] is None:
                set_state(state._queue, Worker.stopped)
                queue.set_not_ready()
            on_stop(started, state, message_pipe, *work_args, **work_kwargs)


# ---------------------------------------------------------------- the end of the controlling process

_workers = weakref.WeakSet()


@atexit.register
def _stop_all():
    """Stops all workers and waits for them, as adv_prodcon does at exit."""
    mine = [worker for worker in _workers if worker._maker == os.getpid()]
    for worker in mine:
        try:
            worker.set_stopped()
        except Error:
            pass
    for worker in mine:
        worker._stop_and_wait()
