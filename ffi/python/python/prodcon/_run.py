"""What happens in a worker process around the work loop.

The process stops by itself when its controlling process is gone, and then the last one to leave removes the queues' names. SIGTERM and Ctrl-C
end the loop in an orderly way, `on_stop` included; a second SIGTERM ends the process at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

from ._errors import Error
from ._native import _attach, unlink
from ._pipes import controller_lives, set_state

_STOPPED, _STARTED, _AT_QUEUE_END = 1, 2, 3


class Link:
    """What a worker process has to know beside the arguments of its work loop."""

    def __init__(self, controller, sole, queues, skipped):
        self.controller = controller  # process id
        self.sole = sole  # it is the worker's only process
        self.queues = queues  # all that it has to do with
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
    _link, _leaving = link, False
    _end_by_sigterm()
    threading.Thread(target=_watch, args=(state, link.controller), daemon=True, name="prodcon-watch").start()
    try:
        loop(*args)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    finally:
        if not controller_lives(link.controller):
            _leave(link.queues)


def _end_by_sigterm():
    """SIGTERM becomes SystemExit, the second one the end."""

    def terminated(_number, _frame):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not _leaving:
            sys.exit(128 + signal.SIGTERM)

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminated)


def _watch(state, controller):
    """Stops the worker when its controlling process is gone; one that does not listen is interrupted."""
    while controller_lives(controller):
        time.sleep(0.2)
    try:
        state.value = _STOPPED
    except Error:
        pass
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(queues):
    """The controlling process, whose queues these are, was killed: the last one to leave removes them."""
    for queue in queues:
        name, directory = queue.name, queue.directory
        queue.close()
        try:
            # Looked at without a seat of its own.
            if _attach(name, False, directory).stats()["seats_live"] == 0:
                unlink(name, directory)
        except Error:
            pass


class Ended:
    """Tells, in the controlling process, when worker processes have ended. Does not reap them: that is for `multiprocessing`."""

    def __init__(self, processes):
        self._files: list[tuple[int, bool]] = []
        for process in processes:
            try:
                self._files.append((os.pidfd_open(process.pid), True))
            except (AttributeError, OSError):
                self._files.append((process.sentinel, False))

    def wait(self):
        from multiprocessing.connection import wait

        for file, ours in self._files:
            wait([file])
            if ours:
                os.close(file)


def end_of_stream(queue):
    """Who receives from this queue gets what is there, then the end."""
    try:
        set_state(queue, _AT_QUEUE_END)
    except Error:
        pass
