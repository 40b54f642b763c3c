"""Waits that a close ends, waits for several queues, and for a queue that is not there yet."""

import gc
import threading
import time
import weakref

import pytest

import prodcon
from prodcon import ReadyQueue

MINUTE = 60


def in_thread(call):
    """Calls it in a thread; what it raised or returned."""
    answers = []

    def run():
        try:
            answers.append(call())
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def answer():
        thread.join(MINUTE)
        return answers[0]

    return answer


def closed_during(queue, call):
    """What a call raises that waits while the queue is closed; None if it had not begun."""
    answer = in_thread(lambda: call(queue))
    time.sleep(0.05)
    queue.close()
    error = answer()
    return None if isinstance(error, prodcon.Closed) else error


WAITS = {
    "get": lambda queue: queue.get(),
    "get with a timeout": lambda queue: queue.get(timeout=MINUTE),
    "get_many": lambda queue: queue.get_many(3),
    "take": lambda queue: queue.take(),
    "select": lambda queue: prodcon.select([queue]),
    "wait_state": lambda queue: queue.wait_state(1),
}
FULL_WAITS = {
    "put": lambda queue: queue.put(b"2"),
    "put_many": lambda queue: queue.put_many([b"2"]),
    "select": lambda queue: prodcon.select([queue.writable()], MINUTE),
}


@pytest.mark.parametrize("full,how", [(False, how) for how in WAITS] + [(True, how) for how in FULL_WAITS])
def test_a_close_ends_every_wait(directory, full, how):
    other = ReadyQueue.create("q", 1, 8)
    if full:
        other.put(b"1")
    error = None
    while error is None:
        queue = ReadyQueue.attach("q")
        error = closed_during(queue, (FULL_WAITS if full else WAITS)[how])
    assert isinstance(error, prodcon.Cancelled), error
    assert "closed" in str(error)
    with pytest.raises(prodcon.Closed):
        queue.get_nowait()
    assert other.qsize() == int(full)
    other.unlink()


def test_a_commit_that_waits_is_cancelled_too(directory):
    other = ReadyQueue.create("q", 1, 8)
    other.put(b"1")
    queue = ReadyQueue.attach("q")
    block = queue.reserve(1)
    assert isinstance(closed_during(queue, lambda _: block.commit()), prodcon.Cancelled)
    other.unlink()


def test_a_select_gives_the_index_of_what_is_ready(directory):
    one, two = ReadyQueue.create("one", 1, 8), ReadyQueue.create("two", 1, 8)
    assert prodcon.select([one, two.readable()], 0.001) is None
    assert prodcon.select([one, two], 0) is None
    assert prodcon.select([one, two.writable()]) == 1
    answer = in_thread(lambda: prodcon.select([one, two], MINUTE))
    time.sleep(0.02)
    ReadyQueue.attach("two").put(b"2")
    assert answer() == 1
    assert two.get_nowait() == b"2"
    one.put(b"1")
    assert prodcon.select(iter([one.writable(), one.readable()])) == 1
    one.lossy = True
    assert prodcon.select([one.writable()]) == 0
    assert repr(one.writable()) == "<prodcon.Interest writable 'one'>"
    for queue in (one, two):
        queue.unlink()


def test_a_select_refuses_what_it_cannot_wait_for(directory):
    queue = ReadyQueue.create("q", 1, 8)
    with pytest.raises(prodcon.Invalid, match="never ends"):
        prodcon.select([])
    assert prodcon.select([], 0.001) is None
    with pytest.raises(prodcon.Invalid, match="127"):
        prodcon.select([queue] * 128, 0)
    with pytest.raises(TypeError, match="not for int"):
        prodcon.select([7], 0)
    queue.unlink()
    with pytest.raises(prodcon.Removed):
        prodcon.select([queue], MINUTE)
    queue.close()
    with pytest.raises(prodcon.Closed):
        prodcon.select([queue], MINUTE)


def test_an_attach_waits_for_its_queue(directory):
    with pytest.raises(prodcon.TimedOut, match="'q'"):
        ReadyQueue.attach("q", wait=0.01)
    answer = in_thread(lambda: ReadyQueue.attach("q", wait=MINUTE).get(timeout=MINUTE))
    time.sleep(0.005)
    queue = ReadyQueue.create("q", 1, 8)
    queue.put(b"7")
    assert answer() == b"7"
    with pytest.raises(prodcon.NotFound):
        ReadyQueue.attach("q", wait=MINUTE, directory="/nowhere/at/all")
    queue.unlink()


class Bad:
    def __reduce__(self):
        return int, ("no number",)


def test_an_exception_that_get_many_has_kept_is_something_to_get(directory):
    with ReadyQueue.create("q", 4, 100, objects=True) as queue:
        queue.put(1)
        queue.put(Bad())
        assert queue.get_many(5) == [1]
        assert queue.qsize() == 0
        assert prodcon.select([queue], 0) == 0
        assert queue.arm()
        with pytest.raises(ValueError, match="no number"):
            queue.get_nowait()
        assert not queue.arm() and prodcon.select([queue], 0) is None
        queue.unlink()


def test_an_interest_in_an_object_keeps_nobody_from_collecting_both(directory):
    class Waits(ReadyQueue):
        pass

    queue = Waits(1)
    queue.interest = queue.readable()
    alive = weakref.ref(queue)
    del queue
    gc.collect()
    assert alive() is None
