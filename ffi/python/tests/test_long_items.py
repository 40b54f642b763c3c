"""Items longer than a block: files of their own, and that none is left."""

import os
import signal
import subprocess
import sys
import threading

import prodcon
import pytest
from conftest import until

LONG = "x" * 300_000


@pytest.fixture
def queue():
    with prodcon.ReadyQueue(4) as made:
        made.set_ready()
        yield made


def files(directory):
    """The files of items, without those that are kept for the next ones."""
    return [name for name in os.listdir(directory) if "+" in name and "+free-" not in name]


def test_a_long_item_has_a_file_until_it_is_got(queue, directory):
    queue.put(LONG)
    queue.put("short")
    assert len(files(directory)) == 1
    assert oct(os.stat(directory / files(directory)[0]).st_mode & 0o777) == "0o600"
    assert [entry["name"] for entry in prodcon.list_queues()] == [queue.name]  # it is no queue
    assert queue.get() == LONG and files(directory) == [] and queue.get() == "short"


def test_its_file_is_readable_by_whom_the_queue_is(directory):
    with prodcon.ReadyQueue.create("shared", 4, 100, objects=True, mode=0o660) as queue:
        queue.put(LONG)
        assert oct(os.stat(directory / files(directory)[0]).st_mode & 0o777) == "0o660"
        prodcon.unlink("shared")
    assert files(directory) == []


def test_a_put_that_fails_leaves_no_file(queue, directory):
    for _ in range(4):
        queue.put(LONG)
    for wait in (dict(block=False), dict(timeout=0.05)):
        with pytest.raises(prodcon.Full):
            queue.put(LONG, **wait)
        assert len(files(directory)) == 4
    queue.set_not_ready()
    assert files(directory) == []
    with pytest.raises(prodcon.NotReady):
        queue.put(LONG)
    queue.state = 1
    with pytest.raises(prodcon.Stopped):
        queue.put(LONG)
    assert files(directory) == []


def test_a_few_files_are_kept_for_the_next_items_and_no_more(queue, directory):
    for _ in range(3):
        for _ in range(4):
            queue.put(LONG)
        for _ in range(4):
            assert queue.get() == LONG
    kept = {name: os.stat(directory / name).st_ino for name in os.listdir(directory) if "+free-" in name}
    assert 1 <= len(kept) <= 4 and files(directory) == []
    queue.put(["shorter", "y" * 70_000])
    assert os.stat(directory / files(directory)[0]).st_ino in kept.values()
    assert queue.get() == ["shorter", "y" * 70_000]
    huge = b"z" * (17 << 20)
    queue.put(huge)
    assert queue.get() == huge
    assert all(os.stat(directory / name).st_size < len(huge) for name in os.listdir(directory) if "+free-" in name)
    queue.clear()
    assert os.listdir(directory) == [f"prodcon.{queue.name}"]


def test_clearing_removes_the_files(queue, directory):
    for _ in range(3):
        queue.put(LONG)
    queue.clear()
    assert files(directory) == []
    queue.put(LONG)
    assert queue.get() == LONG


def test_an_item_whose_file_is_gone_was_cleared(queue, directory):
    queue.put(LONG)
    queue.put("next")
    os.unlink(directory / files(directory)[0])
    assert queue.get() == "next"
    queue.put(LONG)
    os.unlink(directory / files(directory)[0])
    with pytest.raises(prodcon.GetTimedOut):
        queue.get(timeout=0.1)


def test_a_file_of_the_wrong_length_is_told(queue, directory):
    queue.put(LONG)
    os.truncate(directory / files(directory)[0], 10)
    with pytest.raises(prodcon.Corrupt, match="10 bytes"):
        queue.get()
    queue.clear()
    # The block still names the file; whoever fills the block removes it.
    for number in range(100):
        queue.put(number)
        queue.get()
    assert files(directory) == []


def test_a_lossy_queue_leaves_no_more_files_than_blocks(directory):
    with prodcon.ReadyQueue(3, lossy=True, seats=4) as queue:
        queue.set_ready()
        for number in range(50):
            queue.put((number, LONG))
            assert len(files(directory)) <= 3 + 4
        assert [queue.get()[0] for _ in range(3)] == [47, 48, 49]
        for number in range(10):
            queue.put(number)
        assert files(directory) == []


def test_removing_a_queue_removes_its_files(directory):
    queue = prodcon.ReadyQueue.create("named", 4, 100, objects=True)
    queue.put(LONG)
    other = prodcon.ReadyQueue.create("named2", 4, 100, objects=True)
    other.put(LONG)
    prodcon.unlink("named")
    assert len(files(directory)) == 1  # the other's
    with pytest.raises(prodcon.Removed):
        queue.put(LONG)
    assert len(files(directory)) == 1
    assert other.get() == LONG
    other.unlink()


def test_an_interrupted_put_leaves_no_file(children, directory):
    child = children.python(
        "import prodcon\nq = prodcon.ReadyQueue(1, name='full'); q.set_ready(); q.put(1)\nprint('full', flush=True)\ntry:\n  q.put('x' * 300000)\n"
        "except KeyboardInterrupt:\n  import os; print(sorted(os.listdir(os.environ['PRODCON_DIR'])))",
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == "full\n"
    until(lambda: len(files(directory)) == 1, "the file")
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "['prodcon.full']\n"
    assert child.wait(60) == 0  # it removes its queue at the end


def test_what_killed_producers_and_consumers_leave_is_removed_when_their_blocks_are_used_again(children, directory):
    with prodcon.ReadyQueue(4, seats=8, name="killed") as queue:
        queue.set_ready()
        program = """
import os, signal, sys, threading, prodcon
queue = prodcon.ReadyQueue.attach("killed", objects=True)
if sys.argv[1] == "put":
    threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
    while True:
        queue.put("x" * 300000)
else:
    threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
    while True:
        queue.get()
"""
        for round in range(5):
            both = [children.python(program, what, str(0.1 + round * 0.037)) for what in ("put", "get")]
            for child in both:
                assert child.wait(60) == -signal.SIGKILL
        # Bounded by the number of blocks, and gone when all of them were filled anew: by four endpoints at a time.
        assert len(files(directory)) <= 4 + 8
        queue.recover()
        queue.clear()
        assert files(directory) == []


def test_items_of_any_length_arrive_in_order(queue):
    sizes = [0, 1, 30, 31, 32, 33, 1000, queue.item_size - 2, queue.item_size - 1, queue.item_size, queue.item_size + 1, 100_000]
    got = []
    thread = threading.Thread(target=lambda: got.extend(queue.get() for _ in range(2 * len(sizes))))
    thread.start()
    for size in sizes:
        queue.put(bytes([size % 251]) * size)
        queue.put([b"y" * size])
    thread.join(60)
    assert [len(item) if isinstance(item, bytes) else len(item[0]) for item in got] == [size for size in sizes for _ in range(2)]
    assert all(set(item) <= {len(item) % 251} for item in got[::2])


def test_two_processes_exchange_arrays(children):
    numpy = pytest.importorskip("numpy")
    with prodcon.ReadyQueue(4, name="there") as there, prodcon.ReadyQueue(4, name="back") as back:
        there.set_ready()
        back.set_ready()
        children.python(
            "import prodcon\nthere, back = (prodcon.ReadyQueue.attach(n, objects=True) for n in ('there', 'back'))\n"
            "for _ in range(20):\n  a = there.get()\n  a += 1\n  back.put(a)"
        )
        for number in range(20):
            there.put(numpy.full(100_000 * (1 + number % 2), number))
            got = back.get(timeout=60)
            assert (got == number + 1).all()


def test_a_limit_on_files_is_named_before_it_kills(children, directory):
    children.run(sys.executable, "-c", LIMITED)
    assert os.listdir(directory) == []


LIMITED = """
import os, prodcon, resource, signal
queue = prodcon.ReadyQueue(4, item_size=64)
queue.set_ready()
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    queue.put(b"x" * 200_000)
    raise SystemExit("it was put")
except prodcon.OsFault as error:
    assert "100000" in str(error) and "ulimit -f" in str(error), error
assert queue.empty() and len(os.listdir(os.environ["PRODCON_DIR"])) == 1
queue.put(b"x" * 50_000)
assert len(queue.get()) == 50_000
"""


@pytest.mark.parametrize("kind", ["bytes", "object in a block", "object in a file", "to be pickled"])
def test_an_item_for_which_there_is_no_memory_is_a_memory_error_and_stays(kind, children, directory):
    children.run(sys.executable, "-c", SMALL, kind, env={**os.environ, "RUST_BACKTRACE": "0"})


SMALL = """
import prodcon, resource, sys
kind = sys.argv[1]
most = 24 << 20
if kind == "bytes":
    queue = prodcon.ReadyQueue.create("small", 1, most, at_least_once=True)
else:
    queue = prodcon.ReadyQueue(1, item_size=most if kind == "object in a block" else 64, at_least_once=True, name="small")
    queue.set_ready()

def limit(more):
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (more and pages * resource.getpagesize() + more, -1) if more else (-1, -1))

def refused(act):
    try:
        act()
    except MemoryError:
        return
    raise SystemExit("there was memory")

item = b"x" * (most - 100)
if kind == "to be pickled":
    item = ["x" * 1000 + str(number) for number in range(most // 1100)]
    limit(8 << 20)
    refused(lambda: queue.put(item))
    limit(0)
    assert queue.empty()
queue.put(item)
if kind != "to be pickled":
    limit(8 << 20)
    refused(queue.get)
    limit(0)
assert queue.get(timeout=60) == item
queue.unlink()
"""
