"""What producers and consumers have in common: a process of its own, pipes to it, a state; with adv_prodcon's interface.

A worker called W has the queues W (a consumer's work queue; a producer's carries its state only), W.results, W.in and W.out. Its state is that of W.
Where adv_prodcon does something else than its documentation says, this does what the documentation says; the README lists it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import weakref
from typing import Any, Callable

from . import _exit, _pipes, _run
from ._errors import Cancelled, Closed, Error, Invalid, NotFound, Removed
from ._native import ReadyQueue
from ._pipes import MessagePipe, ResultPipe, State

# The longest time, in seconds, that the end of the program waits for a callback to return.
CALLBACK_TIMEOUT = 10.0

# Held while processes are started, by a callback perhaps, and while it is looked at which ones there are. A forked child has one of its own.
_starting = threading.RLock()


def _in_child():
    global _starting
    _starting = threading.RLock()


os.register_at_fork(after_in_child=_in_child)


class Worker:
    """What producers and consumers have in common. Derive from `Producer` or `Consumer` instead.

    A worker may be used by the process that made it. It ends with that process, however that ends: stopped in an orderly way, `on_stop` included.
    """

    stopped = 1
    started = 2
    stop_at_queue_end = 3

    #: Name of the worker's queues; None: one of its own, `py-...`.
    queue_name: str | None = None
    #: Bytes reserved for each item of the work queue; longer items go through files of their own. None: 1 to 64 KiB, by the size of the queue.
    item_size: int | None = None
    #: Operations that can go on at once at the work queue, in all processes. None: 1023 where items have at most 1 KiB, else as many as 8 MiB allow, at least 64.
    seats: int | None = None
    #: The same for results.
    results_size: int = 256
    results_item_size: int = 4032
    #: The `multiprocessing` context to start processes with; None: the default one.
    mp_context: Any = None

    def __init__(self) -> None:
        #: The worker process (`multiprocessing.Process`); of several the first.
        self.process: Any = None
        self.processes: list[Any] = []
        self.result_thread: threading.Thread | None = None
        self.message_thread: threading.Thread | None = None
        # Made by `start_new`.
        self.result_pipe_parent: Any = None
        self.result_pipe_child: Any = None
        self.message_pipe_parent: Any = None
        self.message_pipe_child: Any = None
        self.work_queues: Any = []
        self.work_timeout: float = 0
        self.max_buffer_size: int = 1
        #: Further arguments of `on_start`, `work` and `on_stop`.
        self.work_args: tuple[Any, ...] = ()
        self.work_kwargs: dict[str, Any] = {}
        self._maker = os.getpid()
        self._pipes: Any = None
        self._watcher: threading.Thread | None = None
        self._closing = False
        self._own_queue = self._make_queue()
        self.state = State(self._own_queue)
        # Queues that are of no use without this object.
        self._private: list[ReadyQueue] = []
        weakref.finalize(self, _remove, self._private, self._maker).atexit = False
        _workers.add(self)

    def _make_queue(self) -> ReadyQueue:
        """The queue that carries the state."""
        return ReadyQueue(1, item_size=64, name=self.queue_name)

    # ------------------------------------------------------------ for users to define

    @staticmethod
    def work(*args: Any, **kwargs: Any) -> Any:
        """The work itself."""
        raise NotImplementedError("define a static method work()")

    @staticmethod
    def on_start(state: Any, message_pipe: Any, *args: Any, **kwargs: Any) -> Any:
        """Called once in the worker process, before the first `work`. What it returns is handed to `work` and `on_stop`."""

    @staticmethod
    def on_stop(on_start_result: Any, state: Any, message_pipe: Any, *args: Any, **kwargs: Any) -> Any:
        """Called once in the worker process at the end, whatever the end is, short of kill -9."""

    @staticmethod
    def work_loop(*args: Any, **kwargs: Any) -> None:
        """The loop that the worker process runs."""
        raise NotImplementedError("derive from Producer or Consumer")

    def on_result_ready(self, result: Any) -> None:
        """Called in the controlling process, in a thread, with what `work` returned."""

    def on_message_ready(self, message: Any) -> None:
        """Called in the controlling process, in a thread, with what was sent through the message pipe."""

    # ------------------------------------------------------------ start and stop

    def get_state(self) -> int:
        """`Worker.stopped`, `started` or `stop_at_queue_end`."""
        return self.state.value

    def set_stopped(self) -> None:
        """Tells the worker to stop. What is still in its queue is cleared. Of a worker that was closed: nothing."""
        try:
            self.state.value = Worker.stopped
        except (Closed, Removed, NotFound):
            if not self._closing:
                raise

    def start_new(self, work_args: tuple[Any, ...] = (), work_kwargs: dict[str, Any] | None = None, workers: int = 1) -> None:
        """Starts the worker process (or `workers` of them, which share the work). A worker that runs is stopped and waited for first.

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
        while True:
            self._stop_and_wait()
            with _starting:
                if self._closing:
                    if _ending and threading.current_thread() is not threading.main_thread():
                        sys.exit()  # a callback at the end of the program: its thread ends, without a word
                    raise Closed("this worker was closed: make a new one")
                if not self._running():  # else another thread has started it meanwhile
                    return self._start(work_args, work_kwargs or {}, workers)

    def _start(self, work_args, work_kwargs, workers):
        self._open_pipes(workers)
        self._before_start()
        args = (
            self.work,
            self.on_start,
            self.on_stop,
            self.state,
            self.work_queues,
            (*self.work_args, *work_args),
            {**self.work_kwargs, **work_kwargs},
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
            process.join = _joined_with(process.join, process, self._watcher, {self.result_thread: self._pipes[0], self.message_thread: self._pipes[2]})

    def close(self) -> None:
        """Stops the worker, waits for it and removes its queues. It cannot be started again."""
        self._closing = True
        self._stop_and_wait()
        _remove([self._own_queue, *(self._pipes or ())], self._maker)
        _workers.discard(self)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check_startable(self):
        pass

    def _before_start(self):
        self.state.start()

    def _skips(self):
        """Where worker processes count what they skip; None: they skip nothing."""

    def _queues_of_prodcon(self):
        return [queue for queue in self.work_queues or () if isinstance(queue, ReadyQueue)]

    def _running(self):
        return self._watcher is not None and self._watcher.is_alive()

    def _stop_and_wait(self):
        if self._maker != os.getpid():
            return
        while True:
            with _starting:
                processes, watcher = self.processes, self._watcher
                if self._running():
                    self.set_stopped()
            for process in processes:
                try:
                    process.join()
                except ValueError:
                    pass  # the program has closed it
            if watcher is not None:
                watcher.join()  # the last that it does is to set the state to stopped: that must not meet the next start
            with _starting:
                if self.processes is processes:
                    return
            # A callback has started it again.

    def _open_pipes(self, workers):
        name, directory = self._own_queue._name, self._own_queue.directory
        if self._pipes and self._pipes[0].stats().seats < workers + 32:
            _remove(self._pipes, self._maker)
            self._pipes = None
        if self._pipes is None:
            seats = min(1023, max(64, workers + 32))
            self._pipes = (
                _pipes.create(name, ".results", directory, self.results_size, self.results_item_size, seats),
                _pipes.create(name, ".in", directory, 256, 960, seats),
                _pipes.create(name, ".out", directory, 256, 960, seats),
            )
            self._private[:] = self._pipes
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
        for queue in self._pipes or ():
            _run.end_of_stream(queue)

    # ------------------------------------------------------------ results and messages

    def _has_listener(self):
        """Somebody is interested in results: else they need not be sent."""
        return any(getattr(getattr(self, name), "__func__", None) is not getattr(Worker, name) for name in ("on_result_ready", "wait_on_result_pipe"))

    def wait_on_result_pipe(self) -> None:
        """Calls `on_result_ready` with each result, until the worker has ended and all were received. Runs in a thread."""
        pipe = self.result_pipe_parent
        while not self._has_listener():
            # A callback may still be set.
            if self._pipes[0].wait_state(Worker.stop_at_queue_end, 0.25):
                return
        _receive(pipe.recv, lambda result: self.on_result_ready(result), lambda: self.result_pipe_parent is pipe, self._pipes[0])

    def wait_on_message_pipe(self) -> None:
        """Calls `on_message_ready` with each message, until the worker has ended and all were received. Runs in a thread."""
        pipe = self.message_pipe_parent
        _receive(pipe.recv, lambda message: self.on_message_ready(message), lambda: self.message_pipe_parent is pipe, self._pipes[2])


def _receive(receive: Callable[[], Any], call: Callable[[Any], None], current: Callable[[], bool], queue: ReadyQueue) -> None:
    # A callback may have started the worker again, with another thread.
    while current():
        try:
            item = receive()
        except (EOFError, Cancelled, Closed):
            return
        except Exception as error:
            _report()  # it could not be unpickled: the next may
            if isinstance(error, Error):
                time.sleep(0.1)  # or nothing can be received for now
            continue
        me = threading.current_thread()
        _calls[me] = time.monotonic()
        try:
            call(item)
        except Exception:
            _report()
        except BaseException:
            # It ends this thread (sys.exit), and the worker must not wait for it.
            with _starting:
                if current():
                    _stop_listening(queue)
            raise
        finally:
            _calls.pop(me, None)
        _progress[me] = time.monotonic()


# When a receiving thread's last callback returned, and when one was called that has not returned yet.
_progress: weakref.WeakKeyDictionary[threading.Thread, float] = weakref.WeakKeyDictionary()
_calls: weakref.WeakKeyDictionary[threading.Thread, float] = weakref.WeakKeyDictionary()


def _stop_listening(queue: ReadyQueue) -> None:
    """Nobody receives from this pipe any more: who sends drops it instead of waiting for space."""
    try:
        queue.set_not_ready()
    except Error:
        pass  # it is gone


def _remove(queues, maker):
    """Removes queues that this process made, and that nobody else shall use any more."""
    for queue in list(queues):
        try:
            if maker == os.getpid():
                queue.unlink()
        except Error:
            pass  # it is gone
        queue.close()


def _report():
    """An exception in a thread, told as threading tells it, without ending the thread."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


def _joined_with(join, process, watcher, receivers):
    """`process.join` that also waits until all that the worker sent was handed to the callbacks.

    `receivers`: the threads that call them, and the pipes from which these receive.
    """

    def joined(timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        begin = time.monotonic()
        while _ending and deadline is None and not _seems_ended(process):
            join(0.5)
            for thread, queue in receivers.items():
                if time.monotonic() >= max(begin, _calls.get(thread, float("inf"))) + CALLBACK_TIMEOUT:
                    _stop_listening(queue)  # the worker may wait for space
        join(timeout)
        # Another thread may have asked for its end just now, and may not have noted yet what it was told: then it seems to be alive, although it is not.
        # Where SIGCHLD is ignored it always does.
        noted = None
        while deadline is not None and process.is_alive():
            now = time.monotonic()
            if noted is None and _seems_ended(process):
                noted = now + 1
            if now >= min(deadline, noted or deadline):
                break
            time.sleep(0.001)
        if deadline is not None and noted is None and process.is_alive():
            return
        begin = time.monotonic()
        for thread in (watcher, *receivers):
            me = threading.current_thread()
            if me is thread or (me in receivers and thread in receivers):
                continue  # called by a callback
            while thread.is_alive():
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    return
                # A callback that does not return does not hold up the end of the program forever.
                if _ending and now >= max(begin, _progress.get(thread, 0.0)) + CALLBACK_TIMEOUT:
                    return
                thread.join(0.5 if deadline is None else max(0.0, min(0.5, deadline - now)))

    return joined


def _seems_ended(process):
    """It has ended, as far as its id says: the system has forgotten it, or multiprocessing has noted its end."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return not process.is_alive()


# ---------------------------------------------------------------- the end of the controlling process

_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_ending = False


def _stop_all() -> None:
    """Stops all workers and waits for them, as adv_prodcon does at exit."""
    global _ending
    _ending = True
    mine = [worker for worker in list(_workers) if worker._maker == os.getpid()]
    for worker in mine:
        worker._closing = True  # callbacks start nothing any more
        try:
            worker.set_stopped()
        except Error:
            pass
    for worker in mine:
        worker._stop_and_wait()


_exit.first_of_all(_stop_all)
