"""Values that the native module hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, order=True)
class ItemId:
    """Identifies an item: the same at each of its deliveries, and different from every other item's."""

    #: The queue that it was put into, in hexadecimal. A queue created again under the same name has another one.
    queue: str
    #: The position of its put.
    sequence: int
    #: Its place in the block; 0 in queues without batches.
    index: int

    def __str__(self) -> str:
        return f"{self.queue}-{self.sequence}.{self.index}"


class Difference(NamedTuple):
    """One option in which an existing queue differs from what was asked for."""

    option: str
    wanted: str
    found: str


@dataclass(frozen=True)
class Stats:
    """A queue's figures. While nobody is in the middle of an operation,
    `puts == gets + dropped + cleared + lost + unacked + len`.
    """

    #: Items that the queue holds (in a queue with batches: blocks).
    capacity: int
    #: Longest item in bytes.
    item_size: int
    #: Seats that the queue has.
    seats: int
    #: Seats whose owner lives.
    seats_live: int
    #: Seats whose owner died in the middle of an operation, and that nobody has resolved yet.
    seats_dead: int
    #: Items in the queue.
    len: int
    #: Producers may put.
    ready: bool
    #: How often the queue was cleared or set not ready.
    epoch: int
    #: "stopped", "started" or "stop_at_queue_end".
    state: str
    #: A put on the full queue drops the oldest item.
    lossy: bool
    #: Items of dead consumers are delivered again.
    at_least_once: bool
    #: Items that were taken and not yet acknowledged.
    unacked: int
    #: Items that were put.
    puts: int
    #: Items that were acknowledged.
    gets: int
    #: Items that puts on the full queue dropped.
    dropped: int
    #: Items that were cleared and discarded.
    cleared: int
    #: Items that dead consumers were holding (at-most-once).
    lost: int
    #: Deliveries beyond the first.
    redelivered: int
    #: Items moved to the dead-letter queue; each is counted in `gets` too.
    dead_lettered: int
    #: Most items in one block.
    batch: int
