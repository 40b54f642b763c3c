"""The end of a process, and the beginning of its children: what queues need there.

In a program, and in a process of `multiprocessing`, queues are left when all children have been
waited for, by a finalizer of `multiprocessing` with a late priority: whichever module was imported
first. A program whose exit is interrupted leaves them after the interpreter has ended.
"""

from __future__ import annotations

import copyreg
import multiprocessing
import multiprocessing.util
import os
from typing import Any

from ._native import _at_exit, _hold_all

# Before and after the children have been joined, which has the priority None.
EARLY, LATE = 100, -1000


class _Here:
    """What `multiprocessing` calls back needs an object that stays."""


_here = _Here()
_stops: list[Any] = []


def _stop() -> None:
    for stop in list(_stops):
        stop()


def _register() -> None:
    multiprocessing.util.Finalize(None, _stop, exitpriority=EARLY)
    multiprocessing.util.Finalize(None, _at_exit, exitpriority=LATE)


def _in_process(_: Any) -> None:
    # A new process of `multiprocessing`, forked or not, which has forgotten what was registered.
    _register()
    _hold_all()


def first_of_all(stop: Any) -> None:
    """Has `stop` called at the end of this process and its children, while they still may wait."""
    _stops.append(stop)


_register()
multiprocessing.util.register_after_fork(_here, _in_process)
# A child of os.fork that ends in the ordinary way; one of `multiprocessing` registers once more.
os.register_at_fork(after_in_child=_register)


def childless() -> bool:
    """This process has no children to which a queue might have been given."""
    if multiprocessing.active_children():
        return False
    helpers = set()
    try:
        from multiprocessing import forkserver, resource_tracker

        helpers = {getattr(forkserver._forkserver, "_forkserver_pid", None), getattr(resource_tracker._resource_tracker, "_pid", None)}
    except (ImportError, AttributeError):
        pass
    children: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            children.update(int(pid) for pid in file.read().split())
    return not children - helpers


def state_of(queue: Any) -> Any:
    """The state of a subclass's instance, for pickling, as `object.__reduce_ex__` has it."""
    get = getattr(queue, "__getstate__", None)
    if get is not None:
        return get()
    values = getattr(queue, "__dict__", None) or None
    slots = {name: getattr(queue, name) for name in copyreg._slotnames(type(queue)) if hasattr(queue, name)}  # type: ignore[attr-defined]
    return (values, slots) if slots else values
