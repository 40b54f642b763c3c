"""Waiting for a queue in asyncio, by a descriptor that the event loop watches.

Nothing is taken or put before an attempt succeeds, and no attempt is left half done: between the attempt and the return there is no await. So a task that is
cancelled, as by `asyncio.wait_for`, leaves nothing behind. A wake-up that it has had goes to another waiter.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Callable, Type

from ._errors import Empty, Full, Stopped

if TYPE_CHECKING:
    from ._native import Delivery, ReadyQueue

# After an attempt that failed although something was there, seconds: others take it, or a put waits that a program has told not to drop items.
_PAUSE = 0.001


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await waiter
    finally:
        loop.remove_reader(fd)


async def _attempt(queue: ReadyQueue, writable: bool, attempt: Callable[[], Any], not_yet: Type[Exception]) -> Any:
    try:
        return attempt()
    except not_yet:
        pass
    ready = queue._ready_fd(writable)
    vain = 0
    try:
        while True:
            if ready.arm():
                # Other tasks get their turn, too.
                await asyncio.sleep(_PAUSE if vain else 0)
                vain += 1
            else:
                await _readable(ready.fileno())
                vain = 0
            try:
                return attempt()
            except not_yet:
                pass
    finally:
        ready.close()


async def aget(queue: ReadyQueue) -> Any:
    return await _attempt(queue, False, queue.get_nowait, Empty)


async def atake(queue: ReadyQueue) -> Delivery:
    delivery: Delivery = await _attempt(queue, False, lambda: queue.take(block=False), Empty)
    return delivery


async def aput(queue: ReadyQueue, item: Any) -> None:
    await _attempt(queue, True, lambda: queue.put_nowait(item), Full)


class Items:
    """The items of a queue until the end of the stream."""

    def __init__(self, queue: ReadyQueue) -> None:
        self._queue = queue

    def __aiter__(self) -> Items:
        return self

    async def __anext__(self) -> Any:
        try:
            return await aget(self._queue)
        except Stopped:
            raise StopAsyncIteration from None
