"""The exceptions. All derive from `Error`; some also from the built-in or `queue` exception that a caller would expect."""

from __future__ import annotations

import queue as _queue
import sys

from ._values import Difference

if sys.version_info >= (3, 13):
    _ShutDown = _queue.ShutDown
else:

    class _ShutDown(Exception):
        """`queue.ShutDown` is there from Python 3.13 on."""


class Error(Exception):
    """Anything that prodcon raises of its own."""


class Full(Error, _queue.Full):
    """There is no space, and the call does not wait. Also a `queue.Full`."""


class Empty(Error, _queue.Empty):
    """There is no item, and the call does not wait. Also a `queue.Empty`."""


class TimedOut(Error, TimeoutError):
    """The time given was over first."""

    # OSError's str() shows the errno, of which there is none here.
    __str__ = Exception.__str__


class PutTimedOut(TimedOut, Full):
    """There was no space within the time given."""


class GetTimedOut(TimedOut, Empty):
    """There was no item within the time given."""


class NotReady(Error):
    """The queue is not ready: its consumer has to set it ready first."""


class Stopped(Error, _ShutDown):
    """The queue is stopped, or, for a get, has come to its end. From Python 3.13 on also a `queue.ShutDown`."""


class TooLarge(Error, ValueError):
    """The item is longer than the queue's items can be."""


class NotFound(Error, FileNotFoundError):
    """There is no queue of that name."""

    def __str__(self):
        return str(self.args[-1]) if self.args else ""


class Removed(Error):
    """The queue's name was removed while this process was attached to it."""


class Exists(Error, FileExistsError):
    """There is a queue of that name already."""

    __str__ = NotFound.__str__


class OptionsDiffer(Exists):
    """There is a queue of that name, made with other options than those asked for: see `differences`."""

    #: What differs.
    differences: list[Difference]

    def __init__(self, errno: int, text: str, differences: list[tuple[str, str, str]]) -> None:
        super().__init__(errno, text)
        self.differences = [Difference(*difference) for difference in differences]

    def __reduce__(self):
        return type(self), (*self.args[:2], [tuple(difference) for difference in self.differences])


class Incompatible(Error):
    """The queue is of another type, or of another version of the format."""


class NoSeat(Error):
    """All seats are taken: close an endpoint, or create the queue with more seats."""


class Corrupt(Error):
    """The queue's memory contradicts itself, or the file is no queue."""


class Exhausted(Error):
    """The queue has used up its positions (years of use, flat out)."""


class Forked(Error):
    """The object belongs to the parent process: this is a forked child."""


class Invalid(Error, ValueError):
    """What was asked for makes no sense here; the text says why."""


class Closed(Error, ValueError):
    """The handle was closed."""


class Cancelled(Error):
    """The handle was closed, by another thread, while this call waited."""


class Denied(Error, PermissionError):
    """This user may not do that to the queue."""

    __str__ = NotFound.__str__


class OsFault(Error, OSError):
    """A system call failed; `errno` says how."""

    __str__ = NotFound.__str__
