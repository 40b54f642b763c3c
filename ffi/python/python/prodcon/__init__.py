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

# Before the workers are imported, so that it runs after all that they register: first they end, then the queues go.
_atexit.register(_at_exit)

from ._consumer import Consumer, put_in_queue  # noqa: E402
from ._producer import Producer  # noqa: E402
from ._worker import Worker  # noqa: E402

__all__ = [
    "Closed",
    "Consumer",
    "Corrupt",
    "Denied",
    "Empty",
    "Error",
    "Exhausted",
    "Exists",
    "Forked",
    "Full",
    "GetTimedOut",
    "Incompatible",
    "Invalid",
    "NoSeat",
    "NotFound",
    "NotReady",
    "OsFault",
    "Producer",
    "PutTimedOut",
    "ReadyQueue",
    "Removed",
    "Reserved",
    "Stopped",
    "Taken",
    "TimedOut",
    "TooLarge",
    "Worker",
    "__version__",
    "list_queues",
    "put_in_queue",
    "unlink",
]
