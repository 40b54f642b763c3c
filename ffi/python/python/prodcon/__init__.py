"""Crash-proof producer-consumer pipelines between Linux processes, over named shared memory.

`ReadyQueue` is the queue. `Producer` and `Consumer` are workers with the interface of the package adv_prodcon: a program written for that runs with
`import prodcon as adv_prodcon`.
"""

import atexit as _atexit

from ._errors import (
    Closed,
    Corrupt,
    Denied,
    Empty,
    Error,
    Exhausted,
    Exists,
    Forked,
    Full,
    GetTimedOut,
    Incompatible,
    Invalid,
    NoSeat,
    NotFound,
    NotReady,
    OsFault,
    PutTimedOut,
    Removed,
    Stopped,
    TimedOut,
    TooLarge,
)
from ._native import ReadyQueue, Reserved, Taken, __version__, _at_exit, list_queues, unlink

# Registered first, so that it runs after everything that workers register.
_atexit.register(_at_exit)

from ._workers import Consumer, Producer, Worker, put_in_queue  # noqa: E402 (after the registration above)
