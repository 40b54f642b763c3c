"""ReadyQueue in one process: bytes, objects, waiting, the gate, the state."""

import errno
import os
import pickle
import queue
import struct
import threading
import time

import prodcon
import pytest
from conftest import DEADLINE


@pytest.fixture
def objects():
    with prodcon.ReadyQueue(8) as made:
        made.set_ready()
        yield made


@pytest.fixture
def octets():
    with prodcon.ReadyQueue.create("octets", 4, 1000) as made:
        yield made
        made.unlink()


def test_bytes_like_goes_in_and_bytes_come_out(octets):
    for item in (b"", b"bytes", bytearray(b"bytearray"), memoryview(b"a view")[2:], memoryview(bytes(range(100)))):
        octets.put(item)
        assert octets.get() == bytes(item)
    import array

    octets.put(array.array("d", [1.5, 2.5]))
    assert array.array("d", octets.get()).tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    "item",
    [
        0, 1, -1, 2**63 - 1, -(2**63), 2**63, 10**100, True, False, None, 1.5, float("inf"), "", "text", "\N{SNOWMAN}", "a lone \udc80", b"", b"\0\1",
        (1, "two", [3.0]), {"a": {1, 2}}, bytearray(b"x" * 5000), "x" * 100_000, b"y" * 100_000, list(range(50_000)), range(5), Ellipsis,
    ],
    ids=lambda item: f"{type(item).__name__}-{str(item)[:20].encode('ascii', 'replace').decode()}",
)  # fmt: skip
def test_an_object_comes_out_as_it_went_in(objects, item):
    objects.put(item)
    got = objects.get()
    assert got == item and type(got) is type(item)


def test_what_is_in_a_container_comes_out_of_its_own_type(objects):
    # The quick way through marshal would make bytes of whatever has a buffer, and lose what is shared if it were used wrongly.
    shared = [1]
    recursive = {"a": 1}
    recursive["self"] = recursive
    for item in (
        (1, Celsius(3), True), [bytearray(b"x"), b"x"], {"c": Celsius(1), Celsius(2): None}, (frozenset({1}), {2}), [[[[[[[[[[[1]]]]]]]]]]],
        (float("-inf"), -0.0, 10**50, "\udc80", Ellipsis, 1j), {1: {2: {3: (4, [5])}}}, list(range(1000)), tuple("x" * 300),
        {str(n): n for n in range(300)},
    ):  # fmt: skip
        objects.put(item)
        got = objects.get()
        assert got == item and repr(got) == repr(item)
        assert [type(element) for element in got] == [type(element) for element in item]
    objects.put((shared, shared))
    first, second = objects.get()
    assert first is second
    objects.put(recursive)
    got = objects.get()
    assert got["self"] is got and got["a"] == 1


def test_numpy_scalars_stay_numpy_scalars(objects):
    numpy = pytest.importorskip("numpy")
    objects.put((numpy.float64(1.5), [numpy.int32(2)], {"a": numpy.arange(3)}))
    a, (b,), c = objects.get()
    assert type(a) is numpy.float64 and type(b) is numpy.int32 and type(c["a"]) is numpy.ndarray


def test_a_subclass_of_a_plain_type_stays_one(objects):
    objects.put(Celsius(3))
    assert type(objects.get()) is Celsius


class Celsius(int):
    pass


def test_arrays_come_out_equal_writable_and_of_their_order(objects):
    numpy = pytest.importorskip("numpy")
    for array in (
        numpy.arange(3),
        numpy.arange(200_000.0).reshape(200, 1000),
        numpy.asfortranarray(numpy.arange(90_000).reshape(300, 300)),
        numpy.arange(10_000)[::2],
        numpy.array([]),
        numpy.zeros(1000, dtype=[("a", "i4"), ("b", "f8")]),
    ):
        objects.put({"array": array, "twice": [array, array]})
        got = objects.get()
        assert numpy.array_equal(got["array"], array) and got["array"].dtype == array.dtype
        assert got["array"].flags["F_CONTIGUOUS"] == array.flags["F_CONTIGUOUS"] or not array.flags["C_CONTIGUOUS"]
        assert got["twice"][0] is got["twice"][1] is got["array"]
        got["array"][...] = 0
    fixed = numpy.arange(100_000)
    fixed.flags.writeable = False
    objects.put(fixed)
    assert not objects.get().flags.writeable


def test_an_array_outlives_its_queue():
    numpy = pytest.importorskip("numpy")
    with prodcon.ReadyQueue(2) as made:
        made.set_ready()
        made.put(numpy.arange(500_000))
        got = made.get()
    assert got.sum() == sum(range(500_000))


def test_what_multiprocessing_can_pickle_goes_through(objects):
    import multiprocessing

    ours, theirs = multiprocessing.Pipe()
    objects.put(theirs)
    objects.get().send("through")
    assert ours.poll(60) and ours.recv() == "through"


def test_what_cannot_be_pickled_says_so_and_nothing_is_put(objects):
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        objects.put(lambda: 0)
    assert objects.empty()


def test_full_and_empty_are_those_of_queue_too():
    with prodcon.ReadyQueue(1) as made:
        made.set_ready()
        with pytest.raises(queue.Empty) as caught:
            made.get_nowait()
        assert type(caught.value) is prodcon.Empty and made.name in str(caught.value)
        with pytest.raises(queue.Empty) as caught:
            made.get(timeout=0.05)
        assert isinstance(caught.value, prodcon.TimedOut) and isinstance(caught.value, TimeoutError)
        made.put(1)
        assert made.full() and not made.empty() and made.qsize() == 1
        with pytest.raises(queue.Full):
            made.put(2, False)
        with pytest.raises(queue.Full) as caught:
            made.put(2, True, 0.05)
        assert isinstance(caught.value, prodcon.TimedOut)


def test_a_lossy_queue_keeps_the_newest():
    with prodcon.ReadyQueue(3, lossy=True) as made:
        made.set_ready()
        for number in range(21):
            made.put(number)
        assert [made.get() for _ in range(3)] == [18, 19, 20]
        assert made.stats().dropped == 18 and made.lossy


def test_nothing_can_be_put_after_set_not_ready_and_the_queue_is_clear(objects):
    objects.put(1)
    objects.set_not_ready()
    assert not objects.is_ready() and objects.empty()
    with pytest.raises(prodcon.NotReady):
        objects.put(2)
    objects.set_ready()
    objects.put(3)
    assert objects.get() == 3
    objects.put(4)
    objects.clear()
    assert objects.empty() and objects.is_ready()


def test_a_new_queue_of_objects_is_not_ready_one_of_bytes_is(octets):
    with prodcon.ReadyQueue(1) as made:
        assert not made.is_ready() and octets.is_ready()


def test_the_state_stops_put_and_get_and_lets_a_queue_be_worked_off(octets):
    assert octets.state == 2
    octets.put(b"1")
    octets.state = 3
    with pytest.raises(prodcon.Stopped):
        octets.put(b"2")
    assert octets.get() == b"1"
    with pytest.raises(prodcon.Stopped):
        octets.get()
    with pytest.raises(prodcon.Invalid, match="to stopped first"):
        octets.state = 2
    with pytest.raises(prodcon.Invalid, match="no state"):
        octets.state = 9
    octets.state = 1
    with pytest.raises(prodcon.Stopped):
        octets.get()
    assert octets.wait_state(1, 60) and not octets.wait_state(2, 0.05)


def test_a_waiting_get_is_woken_by_the_state(objects):
    found = []

    def wait():
        try:
            objects.get()
        except prodcon.Stopped:
            found.append("stopped")

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    objects.state = 1
    thread.join(60)
    assert found == ["stopped"]


def test_waiting_lets_other_threads_run(objects):
    got = []
    thread = threading.Thread(target=lambda: got.append(objects.get()))
    thread.start()
    # If `get` kept the interpreter's lock, this would never be reached.
    time.sleep(0.1)
    objects.put("from another thread")
    thread.join(60)
    assert got == ["from another thread"]


def test_many_threads_share_one_object(objects):
    total, each = 8, 500
    got, lock = [], threading.Lock()

    def produce(base):
        for number in range(each):
            objects.put(base + number)

    def consume():
        while True:
            item = objects.get()
            if item is None:
                return
            with lock:
                got.append(item)

    producers = [threading.Thread(target=produce, args=(index * each,)) for index in range(total)]
    consumers = [threading.Thread(target=consume) for _ in range(total)]
    for thread in producers + consumers:
        thread.start()
    for thread in producers:
        thread.join(60)
    for _ in consumers:
        objects.put(None)
    for thread in consumers:
        thread.join(60)
    assert sorted(got) == list(range(total * each))


def test_many_at_once(octets):
    assert octets.put_many([b"1", b"2", b"3"]) == 3
    assert octets.get_many(2) == [b"1", b"2"]
    assert octets.get_many(10) == [b"3"]
    with pytest.raises(prodcon.Empty):
        octets.get_many(10, False)
    with pytest.raises(prodcon.Full) as caught:
        octets.put_many((b"%d" % number for number in range(10)), False)
    assert caught.value.put == 4 == octets.qsize()
    assert octets.get_many(0) == []
    octets.clear()


def test_figures_add_up(objects):
    for number in range(5):
        objects.put(number)
    objects.get()
    objects.clear()
    stats = objects.stats()
    assert stats.puts == 5 == stats.gets + stats.cleared + stats.len
    assert stats.seats_live == 1 and stats.ready and stats.state == "started"
    assert objects.recover() == (0, 0)


def test_a_queue_with_other_options_is_told_with_what_differs():
    prodcon.ReadyQueue.create("letters", 4, 100).close()
    with prodcon.ReadyQueue.create("named", 4, 100, at_least_once=True, seats=20, dead_letter=("letters", 3)) as made:
        same = dict(at_least_once=True, dead_letter=("letters", 3), exist_ok=True)
        # What is not asked for may be anything.
        prodcon.ReadyQueue.create("named", 4, 100, **same).close()
        prodcon.ReadyQueue.create("named", 4, 100, seats=20, **same).close()
        prodcon.ReadyQueue.create("named", 4, 100, mode=0o644, ready=False, max_unacked=3, **same).close()
        prodcon.ReadyQueue.create("named", 4, objects=True, **same).close()
        for others, differs in [
            (dict(capacity=5), ("capacity", "5", "4")),
            (dict(item_size=99), ("item_size", "99", "100")),
            (dict(lossy=True), ("lossy", "true", "false")),
            (dict(seats=21), ("seats", "21", "20")),
            (dict(align=16), ("align", "16", "64")),
            (dict(dead_letter=None), ("dead_letter", "none", "'letters' after 3 deliveries")),
        ]:
            with pytest.raises(prodcon.OptionsDiffer, match=f"exists with other options.*{differs[0]}") as caught:
                prodcon.ReadyQueue.create("named", **{**dict(capacity=4, item_size=100), **same, **others})
            assert caught.value.differences == [differs] and caught.value.differences[0].option == differs[0]
            assert isinstance(caught.value, prodcon.Exists) and caught.value.errno == errno.EEXIST
            again = pickle.loads(pickle.dumps(caught.value))
            assert again.differences == [differs] and str(again) == str(caught.value)
        with pytest.raises(prodcon.OptionsDiffer) as caught:
            prodcon.ReadyQueue.create("named", 8, 8, item_type="f64", batch=16, exist_ok=True)
        assert [name for name, *_ in caught.value.differences] == ["capacity", "type", "item_size", "at_least_once", "batch", "dead_letter"]
        made.unlink()
    prodcon.unlink("letters")


@pytest.mark.parametrize("at_least_once", [False, True])
def test_items_of_a_plain_type_move_in_batches(at_least_once):
    numbers = [struct.pack("d", number) for number in range(1000)]
    with prodcon.ReadyQueue.create("samples", 16, 8, item_type="f64", batch=64, at_least_once=at_least_once, seats=8) as samples:
        assert samples.batch == 64 and samples.stats().batch == 64
        assert samples.put_many(iter(numbers)) == 1000
        assert samples.full() and samples.get_many(2000) == numbers
        # A block that is not full, then what waits for space.
        samples.put(numbers[0])
        with pytest.raises(prodcon.Full) as caught:
            samples.put_many(numbers + numbers, False)
        assert caught.value.put == 15 * 64
        with pytest.raises(prodcon.PutTimedOut) as caught:
            samples.put_many(numbers, timeout=0.05)
        assert caught.value.put == 0
        assert samples.get_many(2000) == numbers[:1] + numbers[: 15 * 64]
        with pytest.raises(prodcon.Invalid, match="9 bytes.*have 8") as caught:
            samples.put_many([*numbers[:3], b"9 bytes.."])
        assert caught.value.put == 3 and samples.get_many(9) == numbers[:3]
        with pytest.raises(ZeroDivisionError) as caught:
            samples.put_many(1 / number for number in (0, 0))
        assert caught.value.put == 0
        # Each item has an id and an acknowledgement of its own.
        samples.put_many(numbers[:3])
        for index in range(3):
            with samples.take() as item:
                assert bytes(item) == numbers[index] and item.id.index == index
        stats = samples.stats()
        assert stats.puts == stats.gets and stats.unacked == stats.lost == 0
        samples.unlink()


def test_a_copy_in_the_slot_can_be_declined():
    for copies in (True, False):
        with prodcon.ReadyQueue.create("numbers", 4, 8, item_type="u64", copy_in_slot=copies) as numbers:
            assert copies or not numbers.copy_in_slot
            for number in (7, 8, 9):
                numbers.put(struct.pack("Q", number))
            assert numbers.get() == struct.pack("Q", 7)
            with numbers.take() as item:
                assert bytes(item) == struct.pack("Q", 8)
            assert numbers.get_many(4) == [struct.pack("Q", 9)]
            numbers.unlink()
    with prodcon.ReadyQueue.create("octets", 4, 8) as octets:
        assert not octets.copy_in_slot
        octets.unlink()


def test_put_many_of_batches_waits_for_space():
    numbers = [struct.pack("q", number) for number in range(1000)]
    with prodcon.ReadyQueue.create("samples", 2, 8, item_type="i64", batch=10) as samples:
        thread = threading.Thread(target=samples.put_many, args=(numbers,))
        thread.start()
        got = []
        while len(got) < 1000:
            got += samples.get_many(7, timeout=DEADLINE)
        thread.join(DEADLINE)
        assert got == numbers
        samples.unlink()


def test_batches_need_a_type():
    for arguments in (dict(item_size=8, batch=2), dict(item_type="f64"), dict(item_size=0, item_type=""), dict(item_size=8, batch=0)):
        with pytest.raises(prodcon.Invalid):
            prodcon.ReadyQueue.create("q", 1, **arguments)


def test_the_end_of_the_stream_is_the_standard_librarys_shutdown(octets):
    octets.state = 3
    with pytest.raises(getattr(queue, "ShutDown", prodcon.Stopped)) as caught:
        octets.get()
    assert isinstance(caught.value, prodcon.Stopped)


def test_a_name_can_be_created_attached_and_removed(directory):
    made = prodcon.ReadyQueue.create("named", 4, 100)
    assert made.capacity == 4 and made.item_size == 100 and made.name == "named" and str(made.directory) == str(directory)
    with pytest.raises(prodcon.Exists) as caught:
        prodcon.ReadyQueue.create("named", 4, 100)
    assert isinstance(caught.value, FileExistsError) and "named" in str(caught.value)
    again = prodcon.ReadyQueue.create("named", 4, 100, exist_ok=True)
    other = prodcon.ReadyQueue.attach("named")
    made.put(b"x")
    assert other.get() == b"x"
    assert [(entry["name"], entry["type_name"]) for entry in prodcon.list_queues()] == [("named", "")]
    with prodcon.ReadyQueue.create("typed", 4, 8, item_type="u64"):
        assert [entry["type_name"] for entry in prodcon.list_queues()] == ["", "u64"]
        prodcon.unlink("typed")
    made.close()
    assert os.path.exists(directory / "prodcon.named")  # created by name: it stays
    prodcon.unlink("named")
    with pytest.raises(prodcon.NotFound) as caught:
        prodcon.unlink("named")
    assert isinstance(caught.value, FileNotFoundError) and "there is no queue 'named'" in str(caught.value)
    # Who is attached keeps the memory.
    again.put(b"y")
    assert other.get() == b"y"


def test_a_removed_queue_is_not_taken_for_a_new_one_of_its_name():
    old = prodcon.ReadyQueue.create("again", 4, 100)
    prodcon.unlink("again")
    new = prodcon.ReadyQueue.create("again", 4, 100)
    new.put(b"new")
    copy = pickle.loads(pickle.dumps(new))
    assert copy.get() == b"new"
    # More endpoints than there are idle: the old object would have to attach, and must not attach to the new queue.
    got = []

    def wait():
        try:
            got.append(old.get(timeout=30))
        except prodcon.Error as error:
            got.append(type(error))

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == [prodcon.Removed] * 3
    new.unlink()


def test_a_queue_without_a_name_goes_with_its_object(directory):
    made = prodcon.ReadyQueue(2)
    assert len(os.listdir(directory)) == 1
    del made
    assert os.listdir(directory) == []


def test_a_handle_can_be_pickled(objects):
    copy = pickle.loads(pickle.dumps(objects))
    objects.put([1])
    assert copy.get() == [1] and copy.objects and copy.name == objects.name
    copy.close()
    objects.put(2)  # the copy's end is not the queue's


def test_maxsize_of_zero_means_many():
    with prodcon.ReadyQueue() as made:
        assert made.capacity >= 1000


def test_an_item_size_can_be_chosen(objects):
    with prodcon.ReadyQueue(2, item_size=200_000) as made:
        assert made.item_size == 200_000
    assert 1000 <= objects.item_size <= 65536


def test_the_alignment_of_a_plain_type_is_compared_if_it_is_given():
    with prodcon.ReadyQueue.create("typed", 4, 8, item_type="t") as typed:
        prodcon.ReadyQueue.create("typed", 4, 8, item_type="t", exist_ok=True).close()
        with pytest.raises(prodcon.OptionsDiffer) as caught:
            prodcon.ReadyQueue.create("typed", 4, 8, item_type="t", align=4, exist_ok=True)
        assert caught.value.differences == [("align", "4", "8")]
        for align in (0, 3):
            with pytest.raises(prodcon.Invalid, match="power of two"):
                prodcon.ReadyQueue.create("typed", 4, 8, item_type="t", align=align, exist_ok=True)
        typed.unlink()
