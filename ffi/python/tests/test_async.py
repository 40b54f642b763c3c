"""Waiting in descriptors and in asyncio, and looking at items that stay where they are."""

import asyncio
import os
import select
import threading

import prodcon
import pytest

from conftest import DEADLINE


@pytest.fixture
def name():
    """Of the one queue of a test, in a directory of its own."""
    return "q"


def readable(queue, timeout=DEADLINE):
    return bool(select.select([queue], [], [], timeout)[0])


def descriptors():
    return set(os.listdir("/proc/self/fd"))


def test_a_descriptor_becomes_readable_once_it_is_armed(name):
    queue = prodcon.ReadyQueue.create(name, 4, 8)
    queue.put(b"a")
    assert not readable(queue, 0.02)
    assert queue.arm()
    assert queue.get_nowait() == b"a"
    assert not queue.arm()
    assert not readable(queue, 0.02)
    queue.put(b"b")
    assert readable(queue)
    assert queue.get_nowait() == b"b"
    assert not queue.arm() and not readable(queue, 0)
    queue.unlink()
    queue.close()
    with pytest.raises(prodcon.Closed):
        queue.fileno()


def test_the_ends_of_a_queue_are_seen_and_stay_there(name):
    queue = prodcon.ReadyQueue.create(name, 2, 8, lossy=True)
    assert queue.latest() is None and queue.peek() is None
    for item in [b"1", b"2", b"3"]:
        queue.put(item)
    (oldest, first), (newest, last) = queue.peek(), queue.latest()
    assert (first, last, oldest.sequence, newest.sequence) == (b"2", b"3", 1, 2)
    with queue.take() as item:
        assert item.id == oldest
    assert queue.qsize() == 1 and queue.latest() == queue.peek() == (newest, b"3")
    queue.unlink()


def test_an_object_is_seen_also_one_in_a_file(name):
    queue = prodcon.ReadyQueue.create(name, 2, 64, objects=True)
    for item in [{"a": 1}, "x" * 1000]:
        queue.put(item)
        assert queue.latest()[1] == item
        assert queue.latest()[1] == item
    assert queue.peek()[1] == {"a": 1}
    assert queue.get() == {"a": 1} and queue.get() == "x" * 1000
    queue.unlink()


def test_what_is_put_while_a_task_waits_is_got(name):
    queue = prodcon.ReadyQueue.create(name, 1, 8)

    async def exchange():
        got = asyncio.create_task(queue.aget())
        await asyncio.sleep(0.01)
        assert not got.done()
        await queue.aput(b"1")
        assert await got == b"1"
        await queue.aput(b"2")
        put = asyncio.create_task(queue.aput(b"3"))
        await asyncio.sleep(0.01)
        assert not put.done()
        delivery = await queue.atake()
        assert bytes(delivery) == b"2"
        delivery.ack()
        await put
        assert await queue.aget() == b"3"

    asyncio.run(exchange())
    queue.unlink()


def test_async_for_ends_with_the_stream(name):
    queue = prodcon.ReadyQueue.create(name, 2, objects=True)
    producer = prodcon.ReadyQueue.attach(name, objects=True)

    def produce():
        for item in range(100):
            producer.put(item)
        producer.state = 3

    async def consume():
        return [item async for item in queue]

    thread = threading.Thread(target=produce)
    thread.start()
    assert asyncio.run(consume()) == list(range(100))
    thread.join()
    queue.unlink()


def test_a_get_that_times_out_leaves_nothing_behind(name):
    queue = prodcon.ReadyQueue.create(name, 4, 8)

    async def wait():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(queue.aget(), 0.01)
        before = descriptors()
        for _ in range(20):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(queue.aget(), 0.001)
        assert descriptors() == before
        assert queue.stats().unacked == 0
        queue.put(b"1")
        assert await asyncio.wait_for(queue.aget(), DEADLINE) == b"1"

    asyncio.run(wait())
    queue.unlink()


def test_a_storm_of_timeouts_loses_no_item(name):
    queue = prodcon.ReadyQueue.create(name, 2, 8)
    producer = prodcon.ReadyQueue.attach(name)
    count = 200

    def produce():
        for item in range(count):
            producer.put(b"%d" % item)

    async def consume():
        got, vain = [], 0  # with no time at all wait_for would not even try
        while len(got) < count:
            try:
                got.append(int(await asyncio.wait_for(queue.aget(), (1 + vain % 7) * 0.0001)))
            except asyncio.TimeoutError:
                vain += 1
        return got

    thread = threading.Thread(target=produce)
    thread.start()
    assert asyncio.run(consume()) == list(range(count))
    thread.join()
    queue.unlink()


def test_a_task_that_was_woken_and_is_cancelled_wakes_another_one(name):
    queue = prodcon.ReadyQueue.create(name, 4, 8)

    async def wait():
        tasks = [asyncio.create_task(queue.aget()) for _ in range(3)]
        await asyncio.sleep(0.02)
        queue.put(b"1")
        tasks[0].cancel()
        done, _ = await asyncio.wait(tasks[1:], timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [b"1"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert queue.qsize() == 0

    asyncio.run(wait())
    queue.unlink()


def test_a_forked_child_waits_by_itself(name):
    queue = prodcon.ReadyQueue.create(name, 4, 8)
    assert not queue.arm()
    child = os.fork()
    if child == 0:
        try:

            async def wait():
                got = asyncio.create_task(queue.aget())
                await asyncio.sleep(0.01)
                await queue.aput(b"child")
                return await got

            os._exit(0 if asyncio.run(wait()) == b"child" and not queue.arm() else 2)
        except BaseException:
            os._exit(3)
    assert os.waitpid(child, 0)[1] == 0
    assert queue.qsize() == 0
    assert not queue.arm()  # what the child put may have made it readable
    queue.put(b"parent")
    assert readable(queue) and queue.get_nowait() == b"parent"
    queue.unlink()
