"""Whatever is handed in: an exception that says what to do, never a crash."""

import os
import pickle
import subprocess
import sys

import prodcon
import pytest


@pytest.fixture
def octets():
    with prodcon.ReadyQueue.create("octets", 4, 100) as made:
        yield made
        made.unlink()


@pytest.mark.parametrize(
    "name", ["", "a/b", "../x", ".hidden", "-dash", "with space", "nul\0byte", "x" * 201, "\N{SNOWMAN}", os.fsdecode(b"\xff\xfe"), "\udc80"]
)
@pytest.mark.parametrize("way", ["create", "attach", "unlink", "constructor", "dead letter"])
def test_a_bad_name_is_told(name, way):
    call = {
        "create": lambda: prodcon.ReadyQueue.create(name, 1, 10),
        "attach": lambda: prodcon.ReadyQueue.attach(name),
        "unlink": lambda: prodcon.unlink(name),
        "constructor": lambda: prodcon.ReadyQueue(1, name=name),
        "dead letter": lambda: prodcon.ReadyQueue.create("q", 1, 10, at_least_once=True, dead_letter=(name, 1)),
    }[way]
    with pytest.raises((prodcon.Invalid, UnicodeEncodeError)) as caught:
        call()
    assert "A-Z a-z 0-9" in str(caught.value) or way == "dead letter"


@pytest.mark.parametrize("name", [b"bytes", 3, None, ["x"], object()])
def test_a_name_of_another_type_is_a_type_error(name):
    for call in (lambda: prodcon.ReadyQueue.create(name, 1, 10), lambda: prodcon.ReadyQueue.attach(name), lambda: prodcon.unlink(name)):
        with pytest.raises(TypeError):
            call()


def test_bad_numbers_are_told():
    for arguments, error in [
        (dict(capacity=0, item_size=10), prodcon.Invalid),
        (dict(capacity=-1, item_size=10), prodcon.Invalid),
        (dict(capacity=2**40, item_size=10), prodcon.Invalid),
        (dict(capacity=2**31, item_size=10), prodcon.Invalid),
        (dict(capacity=1, item_size=-1), OverflowError),
        (dict(capacity=1, item_size=2**62), prodcon.Error),
        (dict(capacity=1), prodcon.Invalid),
        (dict(capacity=1, item_size=10, seats=0), prodcon.Invalid),
        (dict(capacity=1, item_size=10, seats=5000), prodcon.Invalid),
        (dict(capacity=1, item_size=10, seats=-1), OverflowError),
        (dict(capacity=1, item_size=10, dead_letter=("letters", 3)), prodcon.Invalid),
        (dict(capacity=1, item_size=10, dead_letter=("letters", 300)), OverflowError),
        (dict(capacity="1", item_size=10), TypeError),
        (dict(capacity=1, item_size=10, objects=True), prodcon.Invalid),
        (dict(capacity=1, item_size=64, objects=True, item_type="t"), prodcon.Invalid),
        (dict(capacity=1, item_size=10, mode=660), prodcon.Invalid),
        (dict(capacity=1, item_size=8, item_type="t", align=0), prodcon.Invalid),
        (dict(capacity=1, item_size=10, surprise=1), TypeError),
    ]:
        with pytest.raises(error):
            prodcon.ReadyQueue.create("q", **arguments)
        assert prodcon.list_queues() == [], f"{arguments} has left a queue behind"
    with pytest.raises(prodcon.NotFound):
        prodcon.ReadyQueue.create("q", 1, 10, directory="/nowhere")
    with pytest.raises(prodcon.NotFound):
        prodcon.ReadyQueue(1, directory="/nowhere")


def test_a_queue_too_large_for_the_file_system_is_told():
    with pytest.raises(prodcon.OsFault, match="no space") as caught:
        prodcon.ReadyQueue.create("q", 1000, 2**32)
    assert isinstance(caught.value, OSError) and caught.value.errno == 28


@pytest.mark.parametrize("item", ["text", 3, None, [1], object(), 1.5])
def test_a_queue_of_bytes_takes_only_what_is_like_bytes(octets, item):
    with pytest.raises(TypeError, match="bytes-like"):
        octets.put(item)


def test_memory_that_is_not_contiguous_is_told(octets):
    with pytest.raises(BufferError):
        octets.put(memoryview(b"0123456789")[::2])


def test_an_item_too_long_is_told_with_both_lengths(octets):
    with pytest.raises(prodcon.TooLarge, match="101 bytes.*100"):
        octets.put(b"x" * 101)
    with pytest.raises(prodcon.TooLarge):
        octets.reserve(101)
    with pytest.raises(OverflowError):
        octets.reserve(-1)


@pytest.mark.parametrize("timeout", [float("nan"), "soon", [], object()])
def test_a_bad_timeout_is_told(octets, timeout):
    for call in (octets.get, octets.take, lambda **options: octets.put(b"x", **options), lambda **options: octets.get_many(1, **options)):
        with pytest.raises((ValueError, TypeError)):
            call(timeout=timeout)
    assert octets.empty()


def test_an_endless_or_enormous_timeout_is_none(octets):
    octets.put(b"x")
    assert octets.get(timeout=float("inf")) == b"x"
    octets.put(b"x")
    assert octets.get(timeout=1e300) == b"x"


def test_a_closed_handle_says_so(octets):
    other = prodcon.ReadyQueue.attach("octets")
    other.close()
    other.close()
    assert other.closed and "closed" in repr(other)
    for call in (
        lambda: other.put(b"x"), other.get, other.get_nowait, lambda: other.get_many(1), other.take, lambda: other.reserve(1), other.set_ready,
        other.set_not_ready, other.clear, other.is_ready, other.qsize, other.full, other.empty, other.stats, other.recover, lambda: other.state,
        lambda: other.wait_ready(0),
    ):  # fmt: skip
        with pytest.raises(prodcon.Closed, match="attach again"):
            call()
    assert issubclass(prodcon.Closed, ValueError)


def test_what_is_no_queue_is_told(directory):
    for name, content in [("empty", b""), ("text", b"hello" * 1000), ("zeros", bytes(100_000))]:
        path = directory / f"prodcon.{name}"
        path.write_bytes(content)
        with pytest.raises(prodcon.Error):
            prodcon.ReadyQueue.attach(name)
        assert "problem" in prodcon.list_queues()[0]
        path.unlink()
    (directory / "prodcon.dir").mkdir()
    with pytest.raises(prodcon.Error):
        prodcon.ReadyQueue.attach("dir")
    (directory / "prodcon.dir").rmdir()


def test_the_last_seat_is_told(octets):
    with prodcon.ReadyQueue.create("few", 4, 100, seats=2) as few:
        few.put(b"x")
        second = prodcon.ReadyQueue.attach("few")
        third = prodcon.ReadyQueue.attach("few")
        assert third.qsize() == 1 and third.stats().seats_live == 2  # can be looked at
        with pytest.raises(prodcon.NoSeat, match="more seats"):
            third.get()
        third.clear()
        second.close()
        few.put(b"y")
        assert third.get() == b"y"
        few.unlink()


@pytest.mark.parametrize(
    "item",
    [
        b"", b"?", b"i", b"i123", b"f12", b"P", b"P" + bytes(30), b"P\0\0\0\xff\xff\xff\xff" + bytes(40), b"P\0\0\0\1\0\0\0" + b"\xff" * 16,
        b"p", b"pgarbage", b"m", b"mgarbage", b"s\xff", b"@", b"@prodcon" + bytes(24), bytes(60),
    ],
)  # fmt: skip
def test_what_another_program_put_into_a_queue_of_objects_is_told(item):
    with prodcon.ReadyQueue.create("mixed", 4, 100, objects=True) as objects:
        octets = prodcon.ReadyQueue.attach("mixed")
        octets.put(item)
        octets.put(b"i" + (7).to_bytes(8, sys.byteorder))
        try:
            assert objects.get() == 7  # a name of a file that is not there: the item was cleared
            assert item.startswith(b"@prodcon")
        except (prodcon.Invalid, pickle.UnpicklingError, EOFError, UnicodeDecodeError, ValueError) as error:
            assert str(error)
            assert objects.get() == 7  # the bad item is gone
        objects.unlink()


def test_a_plain_type_of_another_program_is_used_as_bytes(cli, children):
    # Only Rust makes such queues; what is wrong with them here is told without one.
    with prodcon.ReadyQueue.create("small", 1, 16) as small:
        with pytest.raises(prodcon.Invalid, match="objects need"):
            prodcon.ReadyQueue.attach("small", objects=True)
        small.unlink()


def test_a_signal_handler_may_use_the_queue_that_it_interrupts(octets):
    import signal

    got = []

    def handle(_number, _frame):
        octets.put(b"from the handler")
        got.append("handled")

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        assert octets.get(timeout=60) == b"from the handler" and got == ["handled"]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_pickling_may_use_the_queue_itself():
    with prodcon.ReadyQueue(4) as queue:
        queue.set_ready()
        queue.put(Nested(queue.name, 2))
        assert queue.get() == "inner 1" and queue.get() == "inner 2"
        assert queue.get() == "outer"


class Nested:
    def __init__(self, name, depth):
        self.name, self.depth = name, depth

    def __reduce__(self):
        queue = prodcon.ReadyQueue.attach(self.name, objects=True)
        for number in range(self.depth):
            queue.put(f"inner {number + 1}")
        queue.put([1, 2, 3])
        assert queue.qsize() == 3
        # Leave the list out again.
        items = [queue.get() for _ in range(3)]
        assert items[-1] == [1, 2, 3]
        for item in items[:-1]:
            queue.put(item)
        return str, ("outer",)


def test_a_daemon_thread_that_waits_does_not_disturb_the_end_of_the_program(children):
    text = """
import atexit, threading, time
atexit.register(time.sleep, 0.2)   # after the package's own: the queues are gone, and who still waits would say so
import prodcon
octets = prodcon.ReadyQueue.create("daemons", 4, 100)
objects = prodcon.ReadyQueue(4)
full = prodcon.ReadyQueue(1)
full.set_ready(); full.put(1)
octets.put_many([b"x"] * 4)
threading.Thread(target=octets.reserve(3).commit, daemon=True).start()
other = prodcon.ReadyQueue.create("others", 4, 100)
for wait in (other.get, other.take, objects.get, lambda: full.put(2), objects.wait_ready):
    for _ in range(3):
        threading.Thread(target=wait, daemon=True).start()
time.sleep(0.3)
"""
    for _ in range(3):
        assert children.run(sys.executable, "-c", text) == ("", "")
        # Not by the program: it would tell its threads that their queue was removed, and rightly, if they come to hear it before the end.
        prodcon.unlink("daemons")
        prodcon.unlink("others")


def test_a_daemon_thread_that_pickles_does_not_disturb_the_end_of_the_program(children):
    # Its Python code is called by the package's: the interpreter, at its end, would unwind its stack, and the process would abort.
    text = """
import threading, time, prodcon

class Slow:
    def __reduce__(self):
        for _ in range(100_000):
            pass
        return restore, ()

def restore():
    for _ in range(100_000):
        pass

def slowly():
    while True:
        yield Slow().__reduce__()[0]()

def forever(call):
    while True:
        call()

queue = prodcon.ReadyQueue(4)
queue.set_ready()
for call in (lambda: queue.put(Slow()), queue.get, lambda: queue.put_many(slowly()), lambda: queue.get_many(100)):
    threading.Thread(target=forever, args=(call,), daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(5):
        assert children.run(sys.executable, "-c", text) == ("", "")


def test_at_the_end_of_the_program_a_daemon_thread_gives_its_locks_back(children):
    text = """
import atexit
@atexit.register   # before the package's own, so called after it
def last():
    print(lock.acquire(timeout=60), flush=True)
import threading, prodcon

def wait():
    with lock:
        held.set()
        queue.get()

queue, lock, held = prodcon.ReadyQueue(4), threading.Lock(), threading.Event()
threading.Thread(target=wait, daemon=True).start()
held.wait()
"""
    assert children.run(sys.executable, "-c", text) == ("True\n", "")


def test_the_end_of_the_program_may_still_use_queues(children):
    text = """
import atexit
@atexit.register   # before the package's own, so called after it
def last():
    print(queue.get(), flush=True)
    try:
        queue.get(timeout=0.1)
    except prodcon.Empty:
        print("empty", flush=True)
    prodcon.unlink("last")
import prodcon
made = prodcon.ReadyQueue.create("last", 4, 100, objects=True)
queue = prodcon.ReadyQueue.attach("last", objects=True)
queue.put("to the last")
"""
    assert children.run(sys.executable, "-c", text) == ("to the last\nempty\n", "")


def test_a_program_that_just_ends_leaves_nothing(children, directory):
    text = "import prodcon\nqueue = prodcon.ReadyQueue(4)\nimport sys\nsys.keep = queue\nqueue.set_ready(); queue.put('x' * 1000000)"
    children.run(sys.executable, "-c", text)
    assert os.listdir(directory) == []


def test_what_a_killed_program_left_is_removed_by_the_next(children, directory):
    child = children.python(
        "import prodcon, time\nq = prodcon.ReadyQueue(4); q.set_ready(); q.put('x' * 1000000); print('there', flush=True); time.sleep(1000)",
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == "there\n"
    # Once in a process; the others' queues that are in use stay.
    alive = subprocess.run([sys.executable, "-c", "import prodcon; prodcon.ReadyQueue(1)"])
    assert alive.returncode == 0 and len(os.listdir(directory)) == 2
    child.kill()
    child.wait()
    assert len(os.listdir(directory)) == 2  # the queue and its long item
    children.run(sys.executable, "-c", "import prodcon; prodcon.ReadyQueue(1)")
    assert os.listdir(directory) == []


def test_the_module_can_be_imported_without_any_directory(children):
    children.run(sys.executable, "-c", "import prodcon", env={**os.environ, "PRODCON_DIR": "/nowhere"})
