"""Programs for adv_prodcon, multiprocessing or queue run after changing the import: the shape of calls, and what they do."""

import multiprocessing
import os
import pickle
import queue as queues
import signal
import sys
import threading
import time

import prodcon
import pytest
from conftest import until


@pytest.fixture
def queue():
    made = prodcon.ReadyQueue(maxsize=3)
    yield made
    made.close()


def test_put_has_the_names_of_multiprocessing(queue):
    queue.put(obj=1)
    queue.put(obj=2, block=True, timeout=None)
    queue.put_nowait(obj=3)
    assert queue.get(block=True, timeout=1) == 1 and queue.get_many(max=5) == [2, 3]


@pytest.mark.parametrize("no", [0, "", None, [], False])
@pytest.mark.parametrize("yes", [1, "x", [0], 2.5, True])
def test_block_is_a_truth_value(queue, no, yes):
    with pytest.raises(queues.Empty):
        queue.get(no)
    with pytest.raises(queues.Empty):
        queue.get_many(5, no)
    for _ in range(3):
        queue.put(1, yes)
    with pytest.raises(queues.Full):
        queue.put(1, no)
    with pytest.raises(prodcon.PutTimedOut):
        queue.put(1, yes, 0.01)
    assert queue.get(yes) == 1 and queue.get(block=yes, timeout=5) == 1


@pytest.mark.parametrize("timeout", [-1, -0.001, -1e300, float("-inf")])
def test_a_negative_timeout_is_over(queue, timeout):
    with pytest.raises(queues.Empty):
        queue.get(True, timeout)
    queue.put(1, True, timeout)
    assert queue.get(True, timeout) == 1
    for _ in range(3):
        queue.put(1, timeout=timeout)
    with pytest.raises(queues.Full):
        queue.put(1, timeout=timeout)
    assert queue.wait_state(1, timeout) is False


def test_a_closed_queue_says_so_as_multiprocessing_does(queue):
    queue.close()
    for act in (lambda: queue.put(1), lambda: queue.get(), lambda: queue.qsize(), lambda: queue.get_many(2)):
        with pytest.raises(ValueError, match="is closed"):
            act()
    queue.join_thread()
    queue.cancel_join_thread()
    queue.close()


def test_maxsize_and_lossy_can_be_read_and_lossy_set(queue):
    assert queue.maxsize == 3 and not queue.lossy
    queue.lossy = 1
    assert queue.lossy is True
    for number in range(5):
        queue.put(number)
    assert pickle.loads(pickle.dumps(queue)).lossy
    queue.lossy = False
    with pytest.raises(queues.Full):
        queue.put(5, False)
    assert queue.get_many(5) == [2, 3, 4]


def test_a_lossy_queue_can_be_told_to_wait():
    queue = prodcon.ReadyQueue(2, lossy=1)
    queue.lossy = False
    queue.put(1)
    queue.put(2)
    with pytest.raises(prodcon.PutTimedOut):
        queue.put(3, timeout=0.05)
    with pytest.raises(prodcon.Full):
        queue.put_nowait(3)
    assert queue.get() == 1
    queue.put(3)
    queue.lossy = True
    queue.put(4)
    assert queue.get_many(5) == [3, 4]


class Named(prodcon.ReadyQueue):
    """With an initialiser of its own, as subclasses have them."""

    def __new__(cls, label, *args, **kwargs):
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, label, *args, **kwargs):
        self.label = label

    def greet(self):
        return f"{self.label}: {self.get()}"


class Slotted(prodcon.ReadyQueue):
    __slots__ = ("mark",)


def greet(queue, results):
    results.put((type(queue).__name__, queue.greet()))


def test_a_subclass_stays_one_when_it_is_pickled(start_method):
    queue, results = Named("label", 5), prodcon.ReadyQueue()
    queue.put("hello")
    other = pickle.loads(pickle.dumps(queue))
    assert type(other) is Named and other.label == "label"
    process = multiprocessing.Process(target=greet, args=(queue, results))
    process.start()
    assert results.get(timeout=120) == ("Named", "label: hello")
    process.join()
    slotted = Slotted(5)
    slotted.mark = [1]
    assert pickle.loads(pickle.dumps(slotted)).mark == [1]


def test_what_is_put_before_anybody_is_ready_stays(queue):
    assert not queue.is_ready()
    queue.put("early")
    queue.put_many([b"x" * 200_000])
    queue.set_ready()
    assert queue.get() == "early" and queue.get() == b"x" * 200_000


def test_nothing_is_taken_after_set_not_ready(queue):
    queue.set_not_ready()
    for item in (1, b"x" * 200_000):
        with pytest.raises(prodcon.NotReady):
            queue.put(item)
    queue.set_ready()
    queue.put(1)
    queue.set_not_ready()
    with pytest.raises(prodcon.NotReady):
        queue.put(2)
    assert queue.empty()


def test_clearing_keeps_nobody_out(queue):
    queue.clear()
    queue.put(1)
    queue.clear()
    queue.put(2)
    assert queue.get() == 2


def test_a_lasting_queue_keeps_its_gate():
    with prodcon.ReadyQueue.create("q", 3, 100, ready=False) as queue:
        with pytest.raises(prodcon.NotReady):
            queue.put(b"1")
        queue.unlink()


class Collect(prodcon.Consumer):
    @staticmethod
    def work(items, started, state, pipe, *args):
        return list(items)

    def on_result_ready(self, result):
        self.__dict__.setdefault("got", []).extend(result)


def put_some(queue):
    prodcon.put_in_queue(queue, "from a child")


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_put_before_the_first_start_is_worked_on(start_method, workers):
    consumer = Collect(0.05, 4)
    assert consumer.get_state() == 1
    consumer.set_stopped()
    consumer.get_work_queue().put(0)
    prodcon.put_in_queue(consumer.get_work_queue(), 1)
    child = multiprocessing.Process(target=put_some, args=(consumer.get_work_queue(),))
    child.start()
    child.join()
    assert consumer.get_state() == 1
    consumer.start_new(workers=workers)
    assert consumer.get_state() == 2
    prodcon.put_in_queue(consumer.get_work_queue(), 2)
    until(lambda: len(getattr(consumer, "got", [])) == 4, "all are worked on")
    consumer.set_stop_at_queue_end()
    consumer.process.join()
    assert sorted(consumer.got, key=str) == [0, 1, 2, "from a child"]
    with pytest.raises((prodcon.Stopped, prodcon.NotReady)):
        prodcon.put_in_queue(consumer.get_work_queue(), 3)
    consumer.close()
    consumer.set_stopped()  # quietly


def test_the_loop_of_a_producer_takes_buffer_size():
    import inspect

    assert list(inspect.signature(prodcon.Producer.work_loop).parameters)[-1] == "buffer_size"


# ------------------------------------------------------------ get_many


class Bad:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return (fail, (self.error,))


def fail(error):
    raise error


@pytest.mark.parametrize("error", [ValueError("bad"), queues.Empty("bad"), prodcon.Stopped("bad"), OSError("bad")])
@pytest.mark.parametrize("place", range(4))
def test_get_many_tells_what_does_not_unpickle_and_loses_nothing_else(error, place):
    queue = prodcon.ReadyQueue()
    items = [1, 2, 3]
    queue.put_many([*items[:place], Bad(error), *items[place:]])
    got, told = [], []
    while len(got) < 3 or not told:
        try:
            got += queue.get_many(10, False)
        except type(error) as raised:
            told.append(str(raised))
    assert got == items and told == ["bad"]
    with pytest.raises(prodcon.Empty):
        queue.get_many(10, False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_get_many_raises_at_once_what_ends_a_program(error):
    queue = prodcon.ReadyQueue()
    queue.put_many([1, 2, Bad(error()), 3])
    with pytest.raises(error):
        queue.get_many(10)
    assert queue.qsize() == 3 and not queue.empty()
    if os.fork() == 0:
        os._exit(queue.get_many(10) != [3])
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0, "what was in hand is the parent's"
    queue.put(4)
    assert queue.get() == 1 and queue.get_many(10) == [2, 4]


def test_sigterm_ends_a_loop_of_get_many(children):
    text = """
import prodcon, signal, sys, threading, time
queue = prodcon.ReadyQueue(100000)
def end(*_):
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
class Slow:
    def __reduce__(self):
        return (time.sleep, (0.01,))
def fill():
    while True:
        try:
            queue.put(Slow(), False)
        except prodcon.Full:
            time.sleep(0.01)
threading.Thread(target=fill, daemon=True).start()
print("ready", flush=True)
while True:
    queue.get_many(1000)
"""
    child = children.python(text, stdout=-1)
    child.stdout.readline()
    time.sleep(0.3)
    child.send_signal(signal.SIGTERM)
    assert child.wait(120) == 7


# ------------------------------------------------------------ re-entrance


FINALIZERS = """
import copyreg, faulthandler, gc, sys
import prodcon
faulthandler.dump_traceback_later(60, exit=True)
queue = prodcon.ReadyQueue(maxsize=10000)

class Thing:
    pass

class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        queue.put(Thing())

class Reduced:
    pass

def warm():
    for _ in range(3):
        queue.put(Thing())

if sys.argv[1] == "table":
    warm()
gc.disable()
gc.collect()
copyreg.pickle(Reduced, lambda reduced: (int, ()))
if sys.argv[1] == "memo":
    warm()
cycles = [Cycle() for _ in range(5)]
del cycles
gc.set_threshold(1)
gc.enable()
for item in (Thing(), [Cycle()], {"a": (1, Thing())}):
    queue.put(item)
queue.put_many([Thing(), Cycle()])
got = queue.get_many(1000)
gc.set_threshold(700)
print("ends", len(got) >= 10)
"""


@pytest.mark.parametrize("mode", ["first", "table", "memo"])
def test_a_finalizer_may_put_whenever_it_runs(mode, children):
    assert children.run(sys.executable, "-c", FINALIZERS, mode)[0] == "ends True\n"


class Closing(prodcon.Producer):
    @staticmethod
    def work(started, state, pipe):
        pipe.send("message")
        return 1

    def on_result_ready(self, result):
        self.close()

    def on_message_ready(self, message):
        self.close()


def test_a_callback_may_close_its_worker(start_method):
    producer = Closing([], 0.01)
    producer.start_new()
    until(lambda: not producer.result_thread.is_alive() and not producer.message_thread.is_alive(), "the threads end")
    producer.close()
    producer.set_stopped()


class Many(prodcon.Producer):
    @staticmethod
    def work(started, state, pipe):
        state.value = prodcon.Worker.stopped if pipe.poll() else state.value
        return 1

    def on_result_ready(self, result):
        self.got += 1
        time.sleep(0.05)


def test_join_hands_over_all_results(monkeypatch):
    monkeypatch.setattr("prodcon._worker.CALLBACK_TIMEOUT", 0.2)
    producer = Many([], 0.001)
    producer.got = 0
    producer.start_new()
    until(lambda: producer.result_pipe_parent._queue.qsize() > 20, "results pile up")
    producer.set_stopped()
    producer.process.join()
    assert not producer.result_thread.is_alive() and producer.result_pipe_parent._queue.empty() and producer.got > 20


def test_join_returns_where_ends_cannot_be_seen(children):
    """With SIGCHLD ignored, as an inherited disposition may be, the kernel keeps no exit status."""
    out, _ = children.run(sys.executable, "-c", UNSEEN)
    assert out.split() == ["got", "joined"]


UNSEEN = """
import signal, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
import multiprocessing, prodcon
multiprocessing.set_start_method("fork")

class Echo(prodcon.Consumer):
    @staticmethod
    def work(items, *_):
        return items

    def on_result_ready(self, items):
        print("got", flush=True)

consumer = Echo(0.01)
consumer.start_new()
prodcon.put_in_queue(consumer.get_work_queue(), 1)
consumer.set_stop_at_queue_end()
began = time.monotonic()
consumer.process.join(10_000)
print("joined", flush=True)
"""


# ------------------------------------------------------------ seats


def test_a_hundred_threads_wait_at_a_default_queue():
    queue = prodcon.ReadyQueue()
    got = []
    threads = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(100)]
    for thread in threads:
        thread.start()
    until(lambda: queue.stats().seats_live >= 100, "all wait")
    queue.put_many(range(100))
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(100))


@pytest.mark.parametrize(
    "options, seats",
    [({}, 1023), ({"maxsize": 10}, 118), ({"maxsize": 1000}, 64), ({"item_size": 1024}, 1023), ({"maxsize": 4, "item_size": 1 << 20}, 64), ({"seats": 3}, 3)],
)
def test_seats_are_as_documented(options, seats):
    assert prodcon.ReadyQueue(**options).stats().seats == seats


def test_the_last_seat_is_told_with_what_to_do(queue):
    small = prodcon.ReadyQueue.create("small", 4, 64, seats=1)
    with small.take(False) if not small.empty() else small.reserve(3) as block:
        block.cancel()
    held = small.reserve(3)
    with pytest.raises(prodcon.NoSeat, match="more seats"):
        small.put(b"x")
    held.cancel()
    small.unlink()


# ------------------------------------------------------------ signals of workers


class Working(prodcon.Consumer):
    @staticmethod
    def on_start(state, pipe, mark):
        return mark

    @staticmethod
    def work(items, mark, state, pipe, _):
        with open(mark + "-begun", "a") as file:
            print(*items, file=file)
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            time.sleep(0.05)
        return items

    @staticmethod
    def on_stop(mark, state, pipe, _):
        with open(mark + "-stopped", "a") as file:
            print(state.value, file=file)

    def on_result_ready(self, result):
        self.__dict__.setdefault("got", []).extend(result)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_worker_as_set_stopped_does(number, start_method, tmp_path):
    consumer = Working(0.05, 1)
    mark = str(tmp_path / "mark")
    consumer.start_new((mark,))
    consumer.get_work_queue().put("in work")
    until(lambda: os.path.exists(mark + "-begun"), "it works")
    os.kill(consumer.process.pid, number)
    consumer.process.join()
    assert consumer.process.exitcode == 0 and consumer.got == ["in work"]
    assert open(mark + "-stopped").read() == "1\n" and consumer.get_state() == 1
    consumer.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_one_of_several_processes_and_the_others_go_on(number, tmp_path):
    consumer = Working(0.05, 1)
    mark = str(tmp_path / "mark")
    consumer.start_new((mark,), workers=2)
    first, second = consumer.processes
    time.sleep(0.3)
    os.kill(first.pid, number)
    until(lambda: first.exitcode is not None, "it ends")
    assert first.exitcode == 0 and consumer.get_state() == 2 and second.is_alive()
    consumer.get_work_queue().put_many(["a", "b"])
    until(lambda: sorted(getattr(consumer, "got", [])) == ["a", "b"], "the other one works")
    consumer.close()


def test_a_second_signal_kills(tmp_path):
    consumer = Working(0.05, 1)
    mark = str(tmp_path / "mark")
    consumer.start_new((mark,))
    consumer.get_work_queue().put("in work")
    until(lambda: os.path.exists(mark + "-begun"), "it works")
    os.kill(consumer.process.pid, signal.SIGTERM)
    time.sleep(0.1)
    os.kill(consumer.process.pid, signal.SIGTERM)
    consumer.process.join()
    assert consumer.process.exitcode == -signal.SIGTERM
    consumer.close()


class Rare(prodcon.Producer):
    @staticmethod
    def work(started, state, pipe):
        return 1


def test_a_producer_that_sleeps_hears_the_signal():
    producer = Rare([], 600)
    producer.start_new(workers=2)
    time.sleep(0.3)
    for process in producer.processes:
        os.kill(process.pid, signal.SIGTERM)
    until(lambda: [process.exitcode for process in producer.processes] == [0, 0], "both end")
    producer.close()


@pytest.mark.parametrize("end", ["stopped", "stream", "removed"])
def test_a_put_that_waits_for_a_lossy_queue_hears_its_end(end):
    with prodcon.ReadyQueue.create("lasting", 1, 100, objects=True, lossy=True) as queue:
        queue.lossy = False
        queue.put(1)
        act = {
            "stopped": lambda: setattr(queue, "state", 1),
            "stream": lambda: setattr(queue, "state", 3),
            "removed": queue.unlink,
        }[end]
        timer = threading.Timer(0.05, act)
        timer.start()
        with pytest.raises(prodcon.Removed if end == "removed" else prodcon.Stopped):
            queue.put(2, timeout=5)
        timer.join()
        assert queue.stats().dropped == 0
        if end != "removed":
            queue.unlink()
