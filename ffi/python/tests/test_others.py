"""The tests of others: CPython's own of `multiprocessing.Queue`, and faster-fifo's, run against prodcon where they are installed.

Each legitimate difference is named below, with why. What cannot run is SKIPPED and says so.
"""

import importlib
import importlib.util
import multiprocessing
import os
import pathlib
import queue as queues
import sys
import types
import unittest

import prodcon
import pytest

METHODS = ("fork", "spawn", "forkserver")

#: Tests of CPython's `_TestQueue` that do not apply, and why.
DIFFERENCES = {
    "test_task_done": "there is no JoinableQueue: whoever needs acknowledgements uses at_least_once=True",
    "test_queue_feeder_donot_stop_onexc": "there is no feeder thread: put itself raises what pickling raises",
    "test_queue_feeder_on_queue_feeder_error": "there is no feeder thread, and so no hook for its errors",
    "test_closed_queue_empty_exceptions": "asks multiprocessing.Queue itself; that a closed queue says so is in test_porting.py",
}
#: As multiprocessing.Queue has them, except for those of JoinableQueue.
WITHOUT_JOINABLE = ("test_closed_queue_put_get_exceptions",)


def cpython(method):
    """The test case, with prodcon's queue in it."""
    module = importlib.import_module("test._test_multiprocessing")
    context = multiprocessing.get_context(method)

    class Case(module._TestQueue, unittest.TestCase):
        TYPE = "processes"
        Process = context.Process
        Event = staticmethod(context.Event)

        @staticmethod
        def Queue(maxsize=0):
            return prodcon.ReadyQueue(maxsize)

    # Children find the class by its name, so it must be where they look: they are handed functions of the class.
    Case._test_put = staticmethod(put_side)
    Case._test_get = staticmethod(get_side)
    Case._test_fork = staticmethod(fork_side)
    return Case


# What `_TestQueue` runs in children, as functions that can be pickled: its own are methods of a class that is made by a call.
def put_side(*arguments):
    from test._test_multiprocessing import _TestQueue

    _TestQueue._test_put.__func__(None, *arguments)


def get_side(*arguments):
    from test._test_multiprocessing import _TestQueue

    _TestQueue._test_get.__func__(None, *arguments)


def fork_side(*arguments):
    from test._test_multiprocessing import _TestQueue

    _TestQueue._test_fork.__func__(None, *arguments)


def names():
    try:
        from test._test_multiprocessing import _TestQueue
    except ImportError:
        return ["absent"]
    return unittest.TestLoader().getTestCaseNames(_TestQueue)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", names())
def test_cpythons_own_tests_of_queues_pass(name, method, monkeypatch):
    if name == "absent":
        pytest.skip("SKIPPED: this Python was installed without its own tests (package `test`)")
    if name in DIFFERENCES:
        pytest.skip(f"differs: {DIFFERENCES[name]}")
    case = cpython(method)
    # Some make their queue themselves.
    monkeypatch.setattr(multiprocessing, "Queue", lambda maxsize=0: prodcon.ReadyQueue(maxsize))
    if name in WITHOUT_JOINABLE:
        monkeypatch.setattr(multiprocessing, "JoinableQueue", lambda maxsize=0: prodcon.ReadyQueue(maxsize))
    result = unittest.TestResult()
    case(name).run(result)
    problems = [text for _, text in result.errors + result.failures]
    assert result.wasSuccessful(), "\n".join(problems)
    assert result.testsRun == 1
    for _, reason in result.skipped:
        pytest.skip(f"CPython skips it: {reason}")


# ------------------------------------------------------------ faster-fifo

#: Differences of faster_fifo.Queue, by the name of its test.
FASTER_FIFO_DIFFERENCES = {
    "test_queue_full": "its bound is the bytes of a ring; prodcon's is a number of items (test_max_size, test_queue_full_msgs)",
    "test_queue_data_size": "there is no data_size(): nobody has to size a ring",
    "test_custom_loads_dumps": "items are pickled with the reducers of multiprocessing, and nothing else",
}


class FasterFifo(prodcon.ReadyQueue):
    """With the names of faster_fifo.Queue, whose close() tells everybody: here that is a state."""

    last_error = None

    def __new__(cls, max_size_bytes=200000, maxsize=0, **_):
        return super().__new__(cls, maxsize)

    def put_many(self, xs, block=True, timeout=None):
        super().put_many(xs, block, timeout)

    def put_many_nowait(self, xs):
        self.put_many(xs, False)

    def get_many(self, block=True, timeout=None, max_messages_to_get=1_000_000_000):
        try:
            return super().get_many(max_messages_to_get, block, timeout)
        except prodcon.Stopped:
            raise queues.Empty from None

    def get(self, block=True, timeout=None):
        try:
            return super().get(block, timeout)
        except prodcon.Stopped:
            raise queues.Empty from None

    def close(self):
        self.state = 3

    def is_closed(self):
        return self.state != 2

    def get_many_nowait(self, max_messages_to_get=1_000_000_000):
        return self.get_many(False, None, max_messages_to_get)


def find_faster_fifo_tests():
    """Where its tests are: as told, or beside the installed module. Its wheels and its sdist of 1.5.2 have none."""
    told = os.environ.get("FASTER_FIFO_TESTS")
    if told:
        return pathlib.Path(told)
    spec = importlib.util.find_spec("faster_fifo")
    if spec is None or not spec.origin:
        return None
    for place in (pathlib.Path(spec.origin).parent, pathlib.Path(spec.origin).parent.parent):
        for candidate in ("cpp_faster_fifo/tests", "faster_fifo_tests", "tests"):
            if (place / candidate / "test_ff.py").exists() or (place / candidate / "tests.py").exists():
                return place / candidate
    return None


def test_faster_fifos_own_tests_pass(monkeypatch):
    place = find_faster_fifo_tests()
    if place is None:
        pytest.skip("SKIPPED: faster-fifo's tests are not installed (its package has none): FASTER_FIFO_TESTS=the directory `tests` of a checkout runs them")
    stand_in = types.ModuleType("faster_fifo")
    stand_in.Queue, stand_in.Empty, stand_in.Full = FasterFifo, queues.Empty, queues.Full
    monkeypatch.setitem(sys.modules, "faster_fifo", stand_in)
    monkeypatch.setitem(sys.modules, "faster_fifo_reduction", types.ModuleType("faster_fifo_reduction"))
    problems, ran = [], 0
    for path in sorted([*place.glob("test*.py"), *place.glob("tests.py")]):
        spec = importlib.util.spec_from_file_location(f"faster_fifo_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        try:
            spec.loader.exec_module(module)
        except ImportError as error:
            print(f"SKIPPED: {path.name}: {error}")
            continue
        for suite in unittest.TestLoader().loadTestsFromModule(module):
            for case in suite:
                if case._testMethodName in FASTER_FIFO_DIFFERENCES:
                    continue
                result = unittest.TestResult()
                case.run(result)
                ran += result.testsRun
                problems += [f"{case.id()}: {text}" for _, text in result.errors + result.failures]
    assert not problems, "\n".join(problems)
    assert ran, f"{place} has no tests"


@pytest.mark.parametrize("method", METHODS)
def test_programs_for_faster_fifo_have_their_calls(method):
    """The calls that its README shows, whether or not it is installed."""
    context = multiprocessing.get_context(method)
    queue = FasterFifo(1000 * 1000)
    process = context.Process(target=fill, args=(queue,))
    process.start()
    got = []
    while len(got) < 100:
        got += queue.get_many(timeout=60, max_messages_to_get=30)
    process.join()
    assert got == list(range(100))
    with pytest.raises(queues.Empty):
        queue.get_many_nowait()
    with pytest.raises(queues.Empty):
        queue.get(timeout=0.01)
    assert queue.empty() and not queue.full() and queue.qsize() == 0


def fill(queue):
    for number in range(0, 100, 10):
        queue.put_many(range(number, number + 10))
