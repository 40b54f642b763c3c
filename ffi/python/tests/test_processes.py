"""Several processes: fork and spawn, kill -9, Ctrl-C."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import prodcon
import pytest
from conftest import DEADLINE, HERE, until


@pytest.fixture
def objects():
    with prodcon.ReadyQueue(100, name="objects") as made:
        made.set_ready()
        yield made


def forward(source, target):
    while (item := source.get()) is not None:
        target.put(("seen", item))


def test_a_handle_reaches_a_process_of_multiprocessing(objects, start_method):
    with prodcon.ReadyQueue(100) as back:
        back.set_ready()
        objects.put("before the start")
        process = multiprocessing.Process(target=forward, args=(objects, back))
        process.start()
        assert back.get(timeout=DEADLINE) == ("seen", "before the start")
        for number in range(200):
            objects.put(number)
            assert back.get(timeout=DEADLINE) == ("seen", number)
        objects.put(None)
        process.join(DEADLINE)
        assert process.exitcode == 0


def test_a_forked_child_attaches_by_itself_and_takes_nothing_from_its_parent(objects):
    octets = prodcon.ReadyQueue.create("octets", 10, 10)
    octets.put(b"1")
    before = objects.stats().seats_live
    child = os.fork()
    if child == 0:
        try:
            good = octets.get() == b"1" and octets.is_ready() and octets.qsize() == 0 and octets.state == 2
            octets.put(b"2")
            objects.put({"from": "the child"})
            objects.close()
            os._exit(0 if good else 1)
        except BaseException:
            os._exit(2)
    assert objects.get(timeout=DEADLINE) == {"from": "the child"}
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # The names are the parent's, and so are its seats.
    assert octets.get() == b"2" and objects.stats().seats_live == before
    octets.unlink()


def test_a_grandchild_attaches_too(objects):
    child = os.fork()
    if child == 0:
        objects.put("child")
        grandchild = os.fork()
        if grandchild == 0:
            objects.put("grandchild")
            os._exit(0)
        os.waitpid(grandchild, 0)
        objects.put("child again")
        os._exit(0)
    os.waitpid(child, 0)
    assert [objects.get_nowait() for _ in range(3)] == ["child", "grandchild", "child again"]


def test_a_forked_child_that_ends_normally_removes_nothing(children, directory):
    text = """
import os, prodcon, sys
queue = prodcon.ReadyQueue(4); queue.set_ready()
child = os.fork()
if child == 0:
    sys.exit(0)   # atexit and all
os.waitpid(child, 0)
queue.put(1)
assert os.path.exists(os.path.join(os.environ["PRODCON_DIR"], "prodcon." + queue.name)) and queue.get() == 1
"""
    children.run(sys.executable, "-c", text)
    assert os.listdir(directory) == []


def test_a_fork_while_other_threads_wait(children, directory):
    text = """
import os, prodcon, sys, threading, time
queue = prodcon.ReadyQueue(4); queue.set_ready()
for _ in range(4):
    threading.Thread(target=queue.get, daemon=True).start()
time.sleep(0.2)
for _ in range(10):
    child = os.fork()
    if child == 0:
        mine = prodcon.ReadyQueue(4); mine.set_ready(); mine.put(1); assert mine.get() == 1
        queue.is_ready()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    children.run(sys.executable, "-c", text)
    assert os.listdir(directory) == []


WAITING = """
import sys, prodcon
octets, objects = prodcon.ReadyQueue.attach("octets"), prodcon.ReadyQueue.attach("objects", objects=True)
full = prodcon.ReadyQueue.create("full", 1, 10, exist_ok=True)
full.put(b"1")
block = full.reserve(3)
waits = {
    "get": octets.get, "take": octets.take, "get_many": lambda: octets.get_many(5), "get an object": objects.get,
    "get in time": lambda: octets.get(timeout=1000),
    "put": lambda: full.put(b"2"), "commit": block.commit, "batch": lambda: objects._batch(3).take(3, None),
    "state": lambda: octets.wait_state(1), "ready": lambda: (octets.set_not_ready(), octets.wait_ready()),
}
print("waiting", flush=True)
try:
    waits[sys.argv[1]]()
except KeyboardInterrupt:
    print("interrupted", flush=True)
block.cancel()
full.unlink()
"""


@pytest.mark.parametrize("what", ["get", "take", "get_many", "get an object", "get in time", "put", "commit", "batch", "state", "ready"])
def test_ctrl_c_ends_a_wait(what, objects, children):
    with prodcon.ReadyQueue.create("octets", 10, 10) as octets:
        child = children.python(WAITING, what, stdout=subprocess.PIPE)
        assert child.stdout.readline() == "waiting\n"
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=DEADLINE)
        assert out == "interrupted\n" and child.returncode == 0
        # It left its seats, and nothing of its own behind.
        assert octets.stats().seats_live == 1 and octets.stats().puts == 0
        octets.unlink()


def wait_for_one(queue, there, got):
    there.set()
    got.put(queue.get(timeout=DEADLINE))


def starved(queue, patience):
    """Kills an idle consumer of the queue, then puts an item: whether another consumer goes without it."""
    context = multiprocessing.get_context("fork")
    got = context.SimpleQueue()
    victim_there, other_there = context.Event(), context.Event()
    victim = context.Process(target=wait_for_one, args=(queue, victim_there, got))
    victim.start()
    assert victim_there.wait(DEADLINE)
    time.sleep(0.5)  # until it waits
    other = context.Process(target=wait_for_one, args=(queue, other_there, got))
    other.start()
    assert other_there.wait(DEADLINE)
    time.sleep(0.2)
    victim.kill()
    victim.join()
    queue.put("for the other one")
    end = time.monotonic() + patience
    while got.empty() and time.monotonic() < end:
        time.sleep(0.01)
    missed = got.empty()
    other.kill()
    other.join()
    return missed


def test_a_killed_consumer_starves_nobody_here(objects):
    assert not starved(objects, DEADLINE)


def test_a_killed_consumer_starves_the_others_of_multiprocessing_queue():
    # Why this package exists: an idle consumer waits with the queue's lock in its hands.
    assert starved(multiprocessing.get_context("fork").Queue(), 3)


def hammer(queue, seed, puts):
    source = random.Random(seed)
    number = 0
    while True:
        if puts:
            queue.put((seed, number, b"x" * source.randrange(3000)))
            number += 1
        else:
            queue.get()


@pytest.mark.parametrize("at_least_once", [False, True])
def test_random_kills_stop_nobody_and_the_accounts_add_up(at_least_once):
    context = multiprocessing.get_context("fork")
    with prodcon.ReadyQueue(20, at_least_once=at_least_once) as queue:
        queue.set_ready()
        source = random.Random(at_least_once)

        def start(puts):
            process = context.Process(target=hammer, args=(queue, source.random(), puts), daemon=True)
            process.start()
            return process

        workers = [(start(index % 2 == 0), index % 2 == 0) for index in range(6)]
        for _ in range(40):
            index = source.randrange(len(workers))
            process, puts = workers[index]
            before = queue.stats()
            process.kill()
            process.join()
            workers[index] = (start(puts), puts)
            until(lambda: queue.stats().puts > before.puts and queue.stats().gets > before.gets, "progress after a kill")
        for process, _ in workers:
            process.kill()
        for process, _ in workers:
            process.join()
        queue.recover()
        stats = queue.stats()
        assert stats.seats_dead == 0
        assert stats.puts == sum((stats.gets, stats.dropped, stats.cleared, stats.lost, stats.unacked, stats.len))
        assert stats.dropped == stats.cleared == 0 and (stats.lost == 0 or not at_least_once)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_killed_program_stop_and_leave_nothing(method, children, directory, tmp_path):
    program = HERE / "programs" / "killed.py"
    child = children.start(sys.executable, program, method, str(tmp_path), stdout=subprocess.PIPE)
    assert child.stdout.readline() == "running\n"
    pids = [int(pid) for pid in child.stdout.readline().split()]
    child.kill()
    child.wait()

    def gone(pid):
        try:
            return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    until(lambda: all(map(gone, pids)), "the workers' end")
    until(lambda: os.listdir(directory) == [], "the removal of the queues")
    # on_stop ran in each, once; also in the one that does not look at its state.
    assert sorted((tmp_path / "stopped").read_text().split()) == ["consumer", "producer", "stubborn"]
