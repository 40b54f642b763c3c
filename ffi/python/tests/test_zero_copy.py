"""Items in place and blocks to be filled: who sees the memory, and for how long."""

import gc
import os
import pickle
import signal
import subprocess
import threading

import prodcon
import pytest
from conftest import DEADLINE, until


@pytest.fixture(params=[False, True], ids=["at-most-once", "at-least-once"])
def octets(request):
    with prodcon.ReadyQueue.create("octets", 4, 1000, at_least_once=request.param) as made:
        yield made
        made.unlink()


def unacked(queue):
    return queue.stats().unacked


def test_an_item_is_seen_in_place_and_acknowledged_at_the_end(octets):
    octets.put(b"hello")
    with octets.take() as item:
        assert isinstance(item, prodcon.Delivery)
        assert bytes(item) == b"hello" and len(item) == 5 and item.delivery_count == 1 and unacked(octets) == 1
        assert memoryview(item).readonly
    assert unacked(octets) == 0 and octets.stats().gets == 1
    with pytest.raises(BufferError, match="has ended"):
        bytes(item)
    with pytest.raises(prodcon.Invalid, match="has ended"):
        item.ack()
    with pytest.raises(prodcon.Invalid, match="has ended"):
        len(item)


def test_a_view_keeps_the_item_in_hand_until_it_is_gone(octets):
    numpy = pytest.importorskip("numpy")
    octets.put(numpy.arange(5.0))
    with octets.take() as item:
        array = numpy.frombuffer(item)
        part = array[1:3]
    del item
    # The memory is ours for as long as somebody sees it, whatever comes and goes meanwhile.
    for number in range(20):
        octets.put(bytes([number]) * 1000)
        octets.get()
    assert array.tolist() == [0, 1, 2, 3, 4] and unacked(octets) == 1
    del array
    assert unacked(octets) == 1
    del part
    assert unacked(octets) == 0 and octets.stats().lost == 0


def test_a_delivery_that_nobody_acknowledged_goes_back_when_it_is_collected(octets):
    octets.put(b"1")
    octets.take()
    gc.collect()
    if octets.at_least_once:
        with octets.take(False) as item:
            assert bytes(item) == b"1" and item.delivery_count == 2
    assert octets.empty() and octets.stats().gets == 1 and octets.stats().lost == 0


def test_an_unacknowledged_delivery_is_settled_with_its_last_view(octets):
    numpy = pytest.importorskip("numpy")
    octets.put(numpy.arange(3.0))
    view = memoryview(octets.take())
    array = numpy.frombuffer(view)
    view.release()
    gc.collect()
    assert array.tolist() == [0, 1, 2] and unacked(octets) == 1
    del array
    gc.collect()
    if octets.at_least_once:
        with octets.take(False) as item:
            assert numpy.frombuffer(item).tolist() == [0, 1, 2] and item.delivery_count == 2
    assert octets.empty() and octets.stats().gets == 1 and octets.stats().lost == 0


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_leaves_the_block_gives_the_item_back(octets, error):
    octets.put(b"1")
    with pytest.raises(error):
        with octets.take():
            raise error
    if octets.at_least_once:
        octets.take(False).ack()
    assert unacked(octets) == 0 and octets.empty() and octets.stats().gets == 1 and octets.stats().lost == 0


def test_ctrl_c_in_the_block_gives_the_item_back(children):
    with prodcon.ReadyQueue.create("jobs", 4, 100, at_least_once=True) as queue:
        queue.put(b"job")
        child = children.python(
            "import prodcon, time\n"
            "with prodcon.ReadyQueue.attach('jobs').take() as item:\n"
            "    print('working', flush=True)\n"
            "    time.sleep(600)\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout.readline() == "working\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(DEADLINE) != 0
        with queue.take(timeout=DEADLINE) as item:
            assert bytes(item) == b"job" and item.delivery_count == 2
        queue.unlink()


def test_a_copying_get_acknowledges(octets):
    octets.put_many([b"1", b"2", b"3"])
    assert octets.get() == b"1" and octets.get_many(2) == [b"2", b"3"]
    assert unacked(octets) == 0 and octets.stats().gets == 3 and octets.empty()
    with prodcon.ReadyQueue(3, at_least_once=True) as objects:
        objects.put([1])
        objects.put("x" * 100_000)
        assert objects.get() == [1] and objects.get() == "x" * 100_000 and objects.empty()
        assert unacked(objects) == 0 and objects.stats().gets == 2


def test_room_is_made_for_good(octets):
    octets.lossy = True  # by this handle, as adv_prodcon does it
    thread = threading.Thread(target=octets.put_many, args=([b"%d" % number for number in range(20)],), daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert octets.get_many(9) == [b"16", b"17", b"18", b"19"]
    assert octets.empty() and unacked(octets) == 0 and octets.stats().redelivered == 0


def test_deliveries_live_side_by_side_and_are_settled_in_any_order(octets):
    octets.put_many([b"0", b"1", b"2", b"3"])
    items = [octets.take() for _ in range(4)]
    assert [bytes(item) for item in items] == [b"0", b"1", b"2", b"3"] and unacked(octets) == 4
    items[2].ack()
    items[0].ack()
    assert bytes(items[1]) == b"1" and bytes(items[3]) == b"3" and unacked(octets) == 2
    if octets.at_least_once:
        items[3].nack()
        with octets.take() as item:
            assert bytes(item) == b"3" and item.delivery_count == 2
    else:
        items[3].ack()
    items[1].ack()
    assert unacked(octets) == 0 and octets.stats().gets == 4


def test_no_more_than_max_unacked_are_in_hand(octets):
    queue = prodcon.ReadyQueue.attach("octets", max_unacked=2)
    assert queue.max_unacked == 2 and pickle.loads(pickle.dumps(queue)).max_unacked == 2 and octets.max_unacked is None
    octets.put_many([b"0", b"1", b"2", b"3"])
    first, second = queue.take(), queue.take()
    with pytest.raises(prodcon.NoSeat, match="max_unacked=2"):
        queue.take()
    octets.take().ack()  # it is the limit of that handle alone
    second.ack()
    third = queue.take()
    # A view keeps its item in hand.
    view = memoryview(first)
    first.ack()
    with pytest.raises(prodcon.NoSeat):
        queue.take()
    view.release()
    with pytest.raises(prodcon.Empty):
        queue.take(False)
    third.ack()
    for bad in (0, -1):
        with pytest.raises((prodcon.Invalid, OverflowError)):
            prodcon.ReadyQueue.attach("octets", max_unacked=bad)
    queue.close()


def test_a_wait_that_ends_without_an_item_holds_no_place(octets):
    queue = prodcon.ReadyQueue.attach("octets", max_unacked=1)
    for _ in range(3):
        with pytest.raises(prodcon.Empty):
            queue.take(timeout=0.01)
    octets.put(b"1")
    queue.take().ack()
    queue.close()


def test_an_item_keeps_its_id(octets):
    octets.put_many([b"0", b"1"])
    first = octets.take()
    kept = first.id
    assert isinstance(kept, prodcon.ItemId) and kept.index == 0 and len(kept.queue) == 32 and str(kept).endswith(f"-{kept.sequence}.0")
    with octets.take() as second:
        assert second.id.queue == kept.queue and second.id > kept and second.id.sequence == kept.sequence + 1
    if octets.at_least_once:
        first.nack()
        with octets.take() as again:
            assert again.id == kept
    else:
        first.ack()
    assert first.id == kept  # also afterwards


def test_taking_waits_as_get_does(octets):
    with pytest.raises(prodcon.Empty):
        octets.take(False)
    with pytest.raises(prodcon.GetTimedOut):
        octets.take(timeout=0.05)
    got = []

    def take():
        with octets.take() as item:
            got.append(bytes(item))

    thread = threading.Thread(target=take)
    thread.start()
    octets.put(b"later")
    thread.join(DEADLINE)
    assert got == [b"later"]
    octets.state = 1
    with pytest.raises(prodcon.Stopped):
        octets.take()


def test_what_is_given_back_is_delivered_again():
    with prodcon.ReadyQueue.create("twice", 4, 100, at_least_once=True) as queue:
        queue.put(b"again")
        queue.take().nack()
        with pytest.raises(ZeroDivisionError):
            with queue.take() as item:
                assert item.delivery_count == 2
                1 / 0
        with queue.take() as item:
            assert bytes(item) == b"again" and item.delivery_count == 3
            view = memoryview(item)
            with pytest.raises(BufferError, match="views"):
                item.nack()
            view.release()
        assert queue.empty() and queue.stats().redelivered == 2
        queue.unlink()


def test_what_nobody_takes_goes_to_the_dead_letters():
    letters = prodcon.ReadyQueue.create("letters", 4, 100)
    with prodcon.ReadyQueue.create("work", 4, 100, at_least_once=True, dead_letter=("letters", 2)) as queue:
        queue.put(b"poison")
        for _ in range(2):
            queue.take().nack()
        with pytest.raises(prodcon.Empty):
            queue.get_nowait()
        assert letters.get() == b"poison" and queue.stats().dead_lettered == 1
        queue.unlink()
    letters.unlink()


def test_an_at_most_once_queue_takes_nothing_back():
    with prodcon.ReadyQueue.create("once", 4, 100) as queue:
        queue.put(b"1")
        item = queue.take()
        with pytest.raises(prodcon.Invalid, match="at_least_once=True"):
            item.nack()
        assert bytes(item) == b"1"  # still in hand
        item.ack()
        queue.unlink()


def test_a_block_is_filled_in_place_and_put_at_the_end(octets):
    numpy = pytest.importorskip("numpy")
    with octets.reserve(80) as block:
        assert isinstance(block, prodcon.Reservation) and len(block) == 80 and not memoryview(block).readonly
        numpy.frombuffer(block)[:] = numpy.arange(10)
        assert octets.empty()
    assert numpy.frombuffer(octets.get()).tolist() == list(range(10))
    with pytest.raises(BufferError, match="has ended"):
        memoryview(block)
    with pytest.raises(prodcon.Invalid, match="has ended"):
        block.commit()


def test_a_block_can_be_shortened_cancelled_and_committed_by_hand(octets):
    block = octets.reserve(10)
    memoryview(block)[:] = b"0123456789"
    block.truncate(4)
    with pytest.raises(prodcon.Invalid, match="cannot be shortened"):
        block.truncate(5)
    block.commit()
    assert octets.get() == b"0123"
    octets.reserve(10).cancel()
    with pytest.raises(ZeroDivisionError):
        with octets.reserve(10):
            1 / 0
    del block
    octets.reserve(5)  # dropped
    assert octets.empty() and octets.stats().puts == 1


def test_a_block_that_can_still_be_written_is_not_put(octets):
    block = octets.reserve(10)
    view = memoryview(block)
    with pytest.raises(BufferError, match="release or delete"):
        block.commit()
    with pytest.raises(BufferError):
        block.truncate(1)
    view.release()
    block.commit()
    assert octets.qsize() == 1
    with pytest.raises(BufferError):
        with octets.reserve(10) as block:
            view = memoryview(block)
    assert octets.qsize() == 1
    view[:] = b"harmless.."  # the block stays this process's as long as this view is there
    with pytest.raises(prodcon.Invalid, match="has ended"):
        block.commit()
    view.release()
    octets.get()


def test_a_commit_that_finds_no_space_keeps_the_reservation(octets):
    for _ in range(4):
        octets.put(b"x")
    block = octets.reserve(3)
    memoryview(block)[:] = b"new"
    with pytest.raises(prodcon.Full):
        block.commit(False)
    with pytest.raises(prodcon.PutTimedOut):
        block.commit(timeout=0.05)
    octets.get()
    block.commit()
    assert octets.get_many(4) == [b"x", b"x", b"x", b"new"]
    block = octets.reserve(3)
    octets.set_not_ready()
    with pytest.raises(prodcon.NotReady):
        block.commit()
    octets.set_ready()
    block.commit()


def test_a_block_in_use_by_another_thread_is_refused():
    with prodcon.ReadyQueue.create("octets", 1, 10) as queue:
        queue.put(b"full")
        block = queue.reserve(1)
        thread = threading.Thread(target=block.commit)
        thread.start()
        caught = []

        def refused():
            try:
                memoryview(block).release()
            except BufferError as error:
                caught.append(error)
            return caught

        until(refused, "the other thread's commit")
        assert "another thread" in str(caught[0])
        with pytest.raises(prodcon.Invalid, match="another thread"):
            block.commit()
        queue.get()
        thread.join(DEADLINE)
        queue.unlink()


def test_help_says_when_an_item_is_gone():
    assert "given" in prodcon.Delivery.__doc__ and "put at the end" in prodcon.Reservation.__doc__
    assert "acknowledged when this returns" in prodcon.ReadyQueue.get.__doc__


def test_guards_cannot_be_made_by_hand():
    for kind in (prodcon.Delivery, prodcon.Reservation):
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            kind(b"x")


def test_a_handle_of_objects_has_nothing_to_show():
    with prodcon.ReadyQueue(2) as queue:
        with pytest.raises(prodcon.Invalid, match="objects=False"):
            queue.take()
        with pytest.raises(prodcon.Invalid, match="objects=False"):
            queue.reserve(3)


def test_a_guard_belongs_to_the_process_that_made_it(octets):
    octets.put(b"parent's")
    item, block = octets.take(), octets.reserve(3)
    view = memoryview(item)
    child = os.fork()
    if child == 0:
        code = 0
        for what in (lambda: memoryview(item), lambda: memoryview(block), item.ack, item.nack, block.commit, block.cancel, lambda: block.truncate(1)):
            try:
                what()
                code = 1
            except prodcon.Forked:
                pass
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bytes(view) == b"parent's"
    view.release()
    item.ack()
    block.cancel()


def test_a_view_made_before_a_fork_shows_the_child_a_copy(octets):
    octets.put(b"parent's")
    item, block = octets.take(), octets.reserve(5)
    seen, written = memoryview(item), memoryview(block)
    written[:] = b"mine!"
    child = os.fork()
    if child == 0:
        good = bytes(seen) == b"parent's" and bytes(written) == b"mine!"
        written[:] = b"child"  # reaches nobody
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bytes(written) == b"mine!"
    written.release()
    block.commit()
    seen.release()
    item.ack()
    assert octets.get() == b"mine!"
