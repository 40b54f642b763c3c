"""Crash-proof producer-consumer pipelines between Linux processes, over named shared memory.

`ReadyQueue` is the queue. `Producer` and `Consumer` are workers with the interface of the package adv_prodcon: a program written for that runs with
`import prodcon as adv_prodcon`.
"""

from ._consumer import Consumer, put_in_queue
from ._errors import (
    Cancelled,
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
    OptionsDiffer,
    OsFault,
    PutTimedOut,
    Removed,
    Stopped,
    TimedOut,
    TooLarge,
)
from ._native import Delivery, Interest, ReadyQueue, Reservation, __version__, list_queues, select, unlink
from ._producer import Producer
from ._values import Difference, ItemId, Stats
from ._worker import Worker

__all__ = [
    "Cancelled",
    "Closed",
    "Consumer",
    "Corrupt",
    "Delivery",
    "Denied",
    "Difference",
    "Empty",
    "Error",
    "Exhausted",
    "Exists",
    "Forked",
    "Full",
    "GetTimedOut",
    "Incompatible",
    "Interest",
    "Invalid",
    "ItemId",
    "NoSeat",
    "NotFound",
    "NotReady",
    "OptionsDiffer",
    "OsFault",
    "Producer",
    "PutTimedOut",
    "ReadyQueue",
    "Removed",
    "Reservation",
    "Stats",
    "Stopped",
    "TimedOut",
    "TooLarge",
    "Worker",
    "__version__",
    "list_queues",
    "put_in_queue",
    "select",
    "unlink",
]
