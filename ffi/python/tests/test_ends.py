"""Ends: of programs, of processes, of those who made a queue or use it. Nothing is lost, and nothing of others is removed."""

import gc
import os
import signal
import sys
import time

import prodcon
import pytest
from conftest import until

IMPORTS = """
import sys
for module in sys.argv[1:]:
    __import__(module)
import multiprocessing as mp, time
import prodcon

def producer(queue):
    for i in range(3):
        queue.put(i)
        time.sleep(0.2)
    queue.put(None)

def consumer(queue):
    print(list(iter(queue.get, None)), flush=True)

queue = prodcon.ReadyQueue()
queue.set_ready()
for target in (consumer, producer):
    mp.get_context("fork").Process(target=target, args=(queue,)).start()
time.sleep(0.1)
"""


@pytest.mark.parametrize("first", [(), ("multiprocessing.util",), ("multiprocessing.pool", "logging", "concurrent.futures")])
def test_nothing_is_lost_at_the_end_whatever_was_imported_first(first, children, directory):
    out, err = children.run(sys.executable, "-c", IMPORTS, *first)
    assert out == "[0, 1, 2]\n", err
    assert os.listdir(directory) == []


LATE = """
import prodcon, sys
queue = prodcon.ReadyQueue()
octets = prodcon.ReadyQueue.create("octets", 2, 100)
worker = prodcon.Consumer()

class Late:
    def __init__(self):
        self.me, self.queue, self.octets, self.prodcon, self.worker = self, queue, octets, prodcon, worker
    def __del__(self):
        for act in (
            lambda: self.queue.put("bye"),
            lambda: self.queue.get_nowait(),
            lambda: self.octets.put("no bytes"),
            lambda: self.octets.get(False),
            lambda: self.octets.take(False),
            lambda: self.octets.reserve(1000),
            lambda: self.octets.unlink(),
            lambda: self.prodcon.ReadyQueue.attach("none"),
            lambda: self.prodcon.ReadyQueue.attach("/"),
            lambda: self.queue.put(Late),
            lambda: self.worker.set_stopped(),
        ):
            try:
                act()
            except BaseException as error:
                sys.stdout.write(type(error).__name__ + " ")
        sys.stdout.write("end\\n")
late = Late()
"""


def test_an_exception_at_the_very_end_is_an_exception(children, directory):
    out, _ = children.run(sys.executable, "-c", LATE)
    assert out.endswith("end\n") and "Closed" in out, out
    assert os.listdir(directory) == []


START = """
import gc, multiprocessing as mp, sys, time
import prodcon

def producer(queue):
    time.sleep(0.5)
    for i in range(5):
        queue.put(i)

def consumer(queue, results):
    try:
        results.put([queue.get(timeout=60) for _ in range(5)])
    except BaseException as error:
        results.put(repr(error))

def start(context, results, close):
    queue = prodcon.ReadyQueue()
    queue.set_ready()
    children = [context.Process(target=producer, args=(queue,)), context.Process(target=consumer, args=(queue, results))]
    for child in children:
        child.start()
    if close:
        queue.close()
    return children

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    results = context.SimpleQueue()
    children = start(context, results, sys.argv[2] == "close")
    gc.collect()
    prodcon.ReadyQueue()  # which looks whether something can go
    for child in children:
        child.join()
    print(results.get())
"""


@pytest.mark.parametrize("how", ["drop", "close"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_go_on_with_a_queue_that_their_parent_has_dropped(method, how, children, directory, tmp_path):
    (tmp_path / "program.py").write_text(START)
    out, err = children.run(sys.executable, tmp_path / "program.py", method, how)
    assert out == "[0, 1, 2, 3, 4]\n", err
    assert os.listdir(directory) == []


ORPHANS = """
import os, sys, time
import prodcon

queue = prodcon.ReadyQueue()
for number in range(2):
    if os.fork() == 0:
        queue.qsize()
        say = lambda text: os.write(1, text.encode() + bytes([10]))
        if number:
            say(queue.get())
        say("waiting")
        while not os.path.exists(sys.argv[1]):
            time.sleep(0.02)
        if number:
            say(queue.get())
        sys.exit()
queue.put("first")
time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_the_last_one_to_leave_removes_the_queue(end, children, directory, tmp_path):
    parent = children.python(ORPHANS, tmp_path / "go", stdout=-1)
    lines = sorted(parent.stdout.readline() for _ in range(3))
    assert lines == ["first\n", "waiting\n", "waiting\n"]
    parent.send_signal(end)
    parent.wait(60)
    (name,) = os.listdir(directory)
    with prodcon.ReadyQueue.attach(name.removeprefix("prodcon."), objects=True) as queue:
        queue.put("second")
        (tmp_path / "go").touch()
        assert parent.stdout.readline() == "second\n"
        assert os.listdir(directory) == [name], "this one is still attached"
    until(lambda: os.listdir(directory) == [], "the last one removes it")


def test_an_unnamed_queue_that_was_given_to_nobody_goes_with_its_object(directory):
    for _ in range(20):
        prodcon.ReadyQueue().put(1)
        assert len(os.listdir(directory)) <= 1
    gc.collect()
    assert os.listdir(directory) == []


def test_a_queue_whose_name_was_told_stays_until_the_end(children, directory):
    text = """
import prodcon, os
queue = prodcon.ReadyQueue()
name = queue.name
queue.put(5)
del queue
print(prodcon.ReadyQueue.attach(name, objects=True).get())
"""
    assert children.run(sys.executable, "-c", text)[0] == "5\n"
    assert os.listdir(directory) == []


def test_queues_given_to_children_that_have_ended_do_not_pile_up(children):
    text = """
import multiprocessing as mp, os, prodcon
for _ in range(5):
    queue = prodcon.ReadyQueue()
    child = mp.get_context("fork").Process(target=queue.put, args=(1,))
    child.start()
    child.join()
    assert queue.get() == 1
    del queue
print(len(os.listdir(os.environ["PRODCON_DIR"])))
"""
    assert int(children.run(sys.executable, "-c", text)[0]) <= 1


def test_an_old_handle_does_not_remove_the_queue_that_has_its_name_now(directory):
    old = prodcon.ReadyQueue(name="same", directory=directory)
    prodcon.unlink("same")
    new = prodcon.ReadyQueue.create("same", 2, 100)
    with pytest.raises(prodcon.Removed, match="another one has its name"):
        old.unlink()
    old.close()
    assert prodcon.ReadyQueue.attach("same").capacity == 2
    new.unlink()


def test_a_pickled_handle_is_not_taken_for_a_new_queue_of_its_name():
    import pickle

    queue = prodcon.ReadyQueue.create("same", 2, 100)
    pickled = pickle.dumps(queue)
    queue.unlink()
    other = prodcon.ReadyQueue.create("same", 2, 100)
    with pytest.raises(prodcon.Removed):
        pickle.loads(pickled)
    other.unlink()


def test_the_files_of_a_new_queue_outlive_the_old_one_of_its_name(directory):
    old = prodcon.ReadyQueue(5, name="same", item_size=64)
    os.rename(directory / "prodcon.same", directory / "hidden")
    new = prodcon.ReadyQueue(5, name="same", item_size=64)
    new.put(b"x" * 1000)
    old.close()
    assert new.get() == b"x" * 1000
    new.close()
    (directory / "hidden").unlink()


LASTING = """
import sys, time
import prodcon

class Count(prodcon.Producer):
    @staticmethod
    def work(started, state, pipe, *arguments):
        return 1

if __name__ == "__main__":
    lasting = prodcon.ReadyQueue.attach("lasting", objects=True)
    producer = Count([lasting], work_timeout=0.02)
    producer.start_new()
    print(producer.process.pid, flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_lasting_queue_outlives_its_producers(end, children, directory, tmp_path):
    lasting = prodcon.ReadyQueue.create("lasting", 1000, 64, objects=True, lossy=True)
    (tmp_path / "program.py").write_text(LASTING)
    program = children.start(sys.executable, tmp_path / "program.py", stdout=-1, stderr=-1)
    worker = int(program.stdout.readline())
    assert lasting.get(timeout=60) == 1
    program.send_signal(end)
    program.wait(60)
    until(lambda: not os.path.exists(f"/proc/{worker}"), "the worker ends")
    assert os.listdir(directory) == ["prodcon.lasting"]
    lasting.unlink()


def test_a_program_that_ends_twice_interrupted_leaves_nothing(children, directory, tmp_path):
    text = """
import time
import prodcon

class Slow(prodcon.Consumer):
    @staticmethod
    def work(items, started, state, pipe):
        time.sleep(2)

if __name__ == "__main__":
    consumer = Slow(0.05)
    consumer.start_new()
    consumer.get_work_queue().put(1)
    print("ready", flush=True)
    time.sleep(100)
"""
    (tmp_path / "program.py").write_text(text)
    program = children.start(sys.executable, tmp_path / "program.py", stdout=-1, stderr=-1)
    program.stdout.readline()
    time.sleep(0.3)
    program.send_signal(signal.SIGINT)
    time.sleep(0.3)
    program.send_signal(signal.SIGINT)
    program.wait(60)
    until(lambda: os.listdir(directory) == [], "the last one removes them")


@pytest.mark.parametrize("callback", ["on_result_ready", "on_message_ready"])
def test_a_callback_that_never_returns_does_not_hold_up_the_end_of_the_program(callback, children, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(STUCK)
    out, _ = children.run(sys.executable, str(program), callback)
    assert out.split() == ["full", "stopped"]


STUCK = """
import prodcon, sys, time
from prodcon import _worker

class Sending(prodcon.Producer):
    results_size = 2

    @staticmethod
    def work(started, state, pipe):
        if sys.argv[1] == "on_message_ready":
            pipe.send(1)
        return 1

    @staticmethod
    def on_stop(*_):
        print("stopped", flush=True)

if __name__ == "__main__":
    _worker.CALLBACK_TIMEOUT = 0.5
    setattr(Sending, sys.argv[1], lambda self, item: time.sleep(1000))
    producer = Sending([])
    producer.start_new()
    while not producer._pipes[0 if sys.argv[1] == "on_result_ready" else 2].full():
        time.sleep(0.01)
    print("full", flush=True)
"""


def test_the_module_refuses_subinterpreters(children):
    text = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
program = '''
try:
    import prodcon
except ImportError as error:
    print(error, flush=True)
'''
interpreter = interpreters.create("legacy") if hasattr(interpreters, "new_config") else interpreters.create()
import sys
run = getattr(interpreters, "run_string")
run(interpreter, "import sys; sys.path[:] = " + repr(sys.path))
run(interpreter, program)
import prodcon
prodcon.ReadyQueue().put(1)
print("works")
"""
    out, err = children.run(sys.executable, "-c", text)
    assert "subinterpreters" in out and out.endswith("works\n"), (out, err)


def test_files_of_long_items_are_not_mistaken_for_standard_output(children, directory):
    text = """
import os, sys, threading
import prodcon
queue = prodcon.ReadyQueue(5, item_size=64)
report = os.dup(2)
opened = []
def look(event, arguments):
    pass
for number in (0, 1, 2):
    os.close(number)
item = b"x" * 3_000_000
stop = False
def spoil():
    while not stop:
        for number in (0, 1, 2):
            try:
                os.write(number, b"spoiled")
            except OSError:
                pass
thread = threading.Thread(target=spoil)
thread.start()
good = True
for _ in range(30):
    queue.put(item)
    good = good and queue.get() == item
stop = True
thread.join()
os.write(report, b"good" if good else b"spoiled")
"""
    child = children.python(text, stderr=-1)
    _, err = child.communicate(timeout=180)
    assert err == "good"


def test_not_even_for_a_moment_is_a_queue_or_its_directory_a_standard_stream(children, directory):
    text = """
import os
import prodcon
for number in (0, 1, 2):
    os.close(number)
for _ in range(150):
    prodcon.ReadyQueue(5).close()
"""
    child = children.python(text)
    found = set()
    while child.poll() is None:
        for number in (0, 1, 2):
            try:
                found.add(os.readlink(f"/proc/{child.pid}/fd/{number}"))
            except OSError:
                pass
    assert child.returncode == 0
    assert [place for place in found if place.startswith(str(directory))] == []
