"""What happens in a worker process around the work loop.

The process stops by itself when its controlling process is gone; then the last one to leave removes the queues that nobody owns any more. SIGTERM
and SIGINT do to this process what `set_stopped` does to all: `work` returns, what it returned counts, `on_stop` runs. A second signal kills.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from typing import Any

from . import _pipes
from ._errors import Error
from ._pipes import controller_lives, set_state

_STOPPED, _STARTED, _AT_QUEUE_END = 1, 2, 3


class Link:
    """What a worker process has to know beside the arguments of its work loop."""

    def __init__(self, controller, sole, queues, skipped):
        self.controller = controller  # process id
        self.sole = sole  # it is the worker's only process
        self.queues = queues  # all that it has to do with: so that it attaches to them
        self.skipped = skipped  # counts what was not put into full queues; None: wait for space


# The link of this process, if it is a worker process; and whether its loop has ended and on_stop runs.
_link: Link | None = None
_leaving = False


def sole() -> bool:
    """The loop runs in the worker's only process (also when it is called by hand)."""
    return _link is None or _link.sole


def skipped() -> Any:
    """Where to count items that found a full queue; None: they wait."""
    return _link and _link.skipped


def leaving() -> None:
    """The loop has ended; on_stop is not to be interrupted by the first SIGTERM."""
    global _leaving
    _leaving = True


def run(loop, args, state, link):
    """The target of the worker process."""
    global _link, _leaving
    _link, _leaving, _pipes.stopping = link, False, False
    _stop_by_signals(state, link)
    threading.Thread(target=_watch, args=(state, link.controller), daemon=True, name="prodcon-watch").start()
    loop(*args)


# The controlling process is gone, and nobody waits for this one any more.
_orphaned = False


def _stop_by_signals(state, link):
    """SIGTERM and SIGINT stop this worker process; the second of them ends it."""
    signals = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}

    def told(_number, _frame):
        for number in mine:
            signal.signal(number, signal.SIG_DFL)
        if _orphaned and not _leaving:
            sys.exit(128 + signal.SIGTERM)
        _pipes.stopping = True
        if link.sole:
            try:
                set_state(state._queue, _STOPPED)  # which ends its waits
            except Error:
                pass

    if threading.current_thread() is not threading.main_thread():
        return
    mine = [number for number, default in signals.items() if signal.getsignal(number) == default]
    for number in mine:
        signal.signal(number, told)


def _watch(state, controller):
    """Stops the worker when its controlling process is gone; one that does not listen is interrupted."""
    global _orphaned
    while controller_lives(controller):
        time.sleep(0.2)
    try:
        state.value = _STOPPED
    except Error:
        pass
    time.sleep(0.3)
    _orphaned = True
    os.kill(os.getpid(), signal.SIGTERM)


def _aside(file):
    """Moves a descriptor away from those of the standard streams, if the program has closed these."""
    if file > 2:
        return file
    try:
        return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(file)


class Ended:
    """Tells, in the controlling process, when worker processes have ended. Does not reap them: that is for `multiprocessing`."""

    def __init__(self, processes):
        self._files: list[tuple[int, bool]] = []
        for process in processes:
            try:
                self._files.append((_aside(os.pidfd_open(process.pid)), True))
            except (AttributeError, OSError):
                self._files.append((process.sentinel, False))

    def wait(self):
        from multiprocessing.connection import wait

        for file, ours in self._files:
            wait([file])
            if ours:
                os.close(file)


def end_of_stream(queue):
    """Lets receivers of this queue get what is there, then the end."""
    try:
        set_state(queue, _AT_QUEUE_END)
    except Error:
        pass
