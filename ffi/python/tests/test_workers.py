"""Producers and consumers: what adv_prodcon's documentation says, under fork and spawn."""

import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
import time

import prodcon
import pytest
from conftest import DEADLINE, until
from prodcon import Consumer, Producer, Worker, put_in_queue

pytestmark = pytest.mark.usefixtures("start_method")


class Noting:
    """Keeps what comes from the worker process."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.results, self.messages = [], []

    def on_result_ready(self, result):
        self.results.append(result)

    def on_message_ready(self, message):
        self.messages.append(message)


class Counting(Noting, Producer):
    """Counts to `last` and stops itself."""

    @staticmethod
    def on_start(state, message_pipe, last):
        return iter(range(last))

    @staticmethod
    def work(numbers, state, message_pipe, last):
        number = next(numbers, None)
        if number is None or number == last - 1:
            state.value = Worker.stopped
        return number


class Collecting(Noting, Consumer):
    """Sends each batch back."""

    @staticmethod
    def on_start(state, message_pipe, *args, **kwargs):
        message_pipe.send("started")

    @staticmethod
    def work(items, started, state, message_pipe, *args, **kwargs):
        return items

    @staticmethod
    def on_stop(started, state, message_pipe, *args, **kwargs):
        message_pipe.send("stopped")

    @property
    def items(self):
        return [item for batch in self.results for item in batch]


class Gated(Collecting):
    """Begins to work when it is told to."""

    @staticmethod
    def on_start(state, message_pipe, *args, **kwargs):
        assert message_pipe.recv() == "go"


def stopped(worker):
    return lambda: worker.get_state() == Worker.stopped and not worker.process.is_alive()


def test_what_a_producer_returns_reaches_each_subscriber_and_the_main_process():
    with Counting() as producer, Collecting() as one, Collecting(work_timeout=0, max_buffer_size=10) as two:
        producer.set_subscribers([one.get_work_queue(), two.get_work_queue()])
        for consumer in (one, two):
            consumer.start_new()
        producer.start_new(work_args=(100,))
        producer.process.join(DEADLINE)
        until(lambda: len(one.items) == len(two.items) == 100, "100 items at both")
        assert one.items == two.items == producer.results == list(range(100))
        assert all(len(batch) == 1 for batch in one.results) and all(1 <= len(batch) <= 10 for batch in two.results)


def test_arguments_reach_start_work_and_stop():
    with Arguments() as producer:
        producer.work_args, producer.work_kwargs = ("of the instance",), {"a": 1, "b": 1}
        producer.set_subscribers([])
        producer.start_new(("of the start",), {"b": 2})
        producer.process.join(DEADLINE)
        same = (("of the instance", "of the start"), {"a": 1, "b": 2})
        assert producer.messages == [("start", *same), ("work", *same), ("stop", *same)]
        assert producer.results == ["result"]


class Arguments(Noting, Producer):
    @staticmethod
    def on_start(state, message_pipe, *args, **kwargs):
        message_pipe.send(("start", args, kwargs))

    @staticmethod
    def work(started, state, message_pipe, *args, **kwargs):
        message_pipe.send(("work", args, kwargs))
        state.value = Producer.stopped
        return "result"

    @staticmethod
    def on_stop(started, state, message_pipe, *args, **kwargs):
        message_pipe.send(("stop", args, kwargs))


def test_a_lossy_queue_keeps_the_newest():
    # adv_prodcon keeps the oldest: 0, 1, 2.
    with Counting() as producer, Gated(lossy_queue=True, maxsize=3) as consumer:
        producer.set_subscribers([consumer.get_work_queue()])
        consumer.start_new()
        producer.start_new(work_args=(21,))
        producer.process.join(DEADLINE)
        consumer.message_pipe_parent.send("go")
        until(lambda: len(consumer.items) == 3, "three items")
        assert consumer.items == [18, 19, 20] and consumer.get_work_queue().stats().dropped == 18


def test_a_full_queue_makes_its_producer_wait_and_nothing_is_lost():
    # adv_prodcon drops what finds the queue full.
    with Counting() as producer, Gated(maxsize=2) as consumer:
        producer.set_subscribers([consumer.get_work_queue()])
        consumer.start_new()
        producer.start_new(work_args=(100,))
        until(consumer.get_work_queue().full, "a full queue")
        consumer.message_pipe_parent.send("go")
        until(lambda: len(consumer.items) == 100, "100 items")
        assert consumer.items == list(range(100))


def test_a_producer_that_waits_for_space_can_be_stopped():
    with Counting() as producer, Gated(maxsize=1) as consumer:
        producer.set_subscribers([consumer.get_work_queue()])
        consumer.start_new()
        producer.start_new(work_args=(100,))
        until(consumer.get_work_queue().full, "a full queue")
        time.sleep(0.1)
        producer.set_stopped()
        producer.process.join(DEADLINE)
        assert not producer.process.is_alive()
        consumer.message_pipe_parent.send("go")


def test_a_producer_can_skip_full_queues_and_counts():
    with Skipping() as producer, Gated(maxsize=4) as consumer:
        producer.set_subscribers([consumer.get_work_queue()])
        consumer.start_new()
        producer.start_new(work_args=(10,))
        producer.process.join(DEADLINE)
        assert producer.get_skipped() == 6 and producer.results == list(range(10))
        consumer.message_pipe_parent.send("go")
        until(lambda: consumer.items == [0, 1, 2, 3], "four items")


class Skipping(Counting):
    on_full = "skip"


def test_stop_at_queue_end_works_on_all_that_was_put():
    # adv_prodcon works on one and discards nine.
    with Gated(max_buffer_size=4, work_timeout=DEADLINE) as consumer:
        consumer.start_new()
        for number in range(10):
            put_in_queue(consumer.get_work_queue(), number)
        consumer.set_stop_at_queue_end()
        assert consumer.get_state() == Worker.stop_at_queue_end
        with pytest.raises(prodcon.Stopped):
            put_in_queue(consumer.get_work_queue(), 10)
        consumer.message_pipe_parent.send("go")
        consumer.process.join(DEADLINE)
        assert consumer.results == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert consumer.get_state() == Worker.stopped and consumer.messages == ["stopped"]
        assert not consumer.get_work_queue().is_ready()


def test_stop_at_queue_end_stops_at_once_if_the_queue_is_empty():
    # adv_prodcon never stops.
    with Collecting() as consumer:
        consumer.start_new()
        until(lambda: consumer.messages == ["started"], "the start")
        consumer.set_stop_at_queue_end()
        consumer.process.join(DEADLINE)
        assert not consumer.process.is_alive() and consumer.messages == ["started", "stopped"]


def test_a_partly_filled_buffer_is_handed_over_when_the_time_is_over():
    # adv_prodcon hands it over when another item comes.
    with Collecting(work_timeout=0.3, max_buffer_size=1000) as consumer:
        consumer.start_new()
        put_in_queue(consumer.get_work_queue(), "the only one")
        until(lambda: consumer.items == ["the only one"], "the only item")


@pytest.mark.parametrize("size", [0, 1])
def test_a_buffer_of_one_or_less_means_each_item(size):
    with Collecting(1, size) as consumer:
        consumer.start_new()
        for number in range(5):
            put_in_queue(consumer.get_work_queue(), number)
        until(lambda: consumer.results == [[0], [1], [2], [3], [4]], "five batches of one")


def test_nobody_can_put_after_the_stop():
    with Collecting() as consumer:
        consumer.start_new()
        put_in_queue(consumer.get_work_queue(), 2)
        until(lambda: consumer.items == [2], "the item")
        consumer.set_stopped()
        with pytest.raises(prodcon.Stopped):
            put_in_queue(consumer.get_work_queue(), 3)
        consumer.process.join(DEADLINE)
        consumer.set_stopped()  # as often as one likes
        consumer.set_stop_at_queue_end()
        assert consumer.get_state() == Worker.stopped


def test_a_worker_can_be_started_again_and_the_one_before_is_stopped_first():
    with Collecting() as consumer:
        for number in range(3):
            consumer.start_new()
            put_in_queue(consumer.get_work_queue(), number)
            until(lambda: number in consumer.items, "the item")
        first = consumer.process
        consumer.start_new()
        assert not first.is_alive() and first.exitcode == 0
        assert consumer.items == [0, 1, 2] and consumer.messages.count("stopped") == 3


def test_a_worker_can_be_started_again_by_its_own_callback():
    with Restarting() as producer:
        producer.set_subscribers([])
        producer.start_new()
        until(lambda: producer.starts == 3 and not producer.process.is_alive(), "three starts")
        assert len(producer.results) == 3


def test_a_restart_waits_for_the_end_of_the_one_before(monkeypatch):
    # Who asks for a process's end while another thread does may be told for a moment that it lives, although join() has returned.
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "is_alive", lambda process: True)
    with Restarting() as producer:
        ends, end = [], producer._after_end
        producer._after_end = lambda: (time.sleep(0.3), end(), ends.append(producer.process))
        producer.set_subscribers([])
        producer.start_new()
        until(lambda: len(ends) == 3, "three ends")
        assert producer.starts == 3 and len(set(ends)) == 3


def test_join_with_a_timeout_waits_for_the_callbacks_whoever_asked_for_the_end_first():
    with Talkative() as producer:
        producer.set_subscribers([])
        producer.start_new(work_args=(500,))
        process, asked = producer.process, []
        until(lambda: process._popen.poll() is not None, "the end of the process")
        alive = process.is_alive
        process.is_alive = lambda: asked.append(1) or len(asked) < 10 or alive()
        process.join(DEADLINE)
        assert producer.results == list(range(500)) and len(asked) == 10
        producer.close()
        with pytest.raises(prodcon.Closed, match="make a new one"):
            producer.start_new()


@pytest.mark.parametrize("end", ["", "producer.close()"])
def test_a_worker_that_its_callback_starts_again_and_again_ends_with_the_program(children, start_method, tmp_path, end):
    program = tmp_path / "program.py"
    program.write_text(f"""
import multiprocessing, time, prodcon

class Again(prodcon.Producer):
    @staticmethod
    def work(started, state, message_pipe):
        time.sleep(0.01)

    def on_result_ready(self, result):
        try:
            self.start_new()
        except prodcon.Closed:
            pass

if __name__ == "__main__":
    multiprocessing.set_start_method("{start_method}")
    producer = Again([])
    producer.start_new()
    first = producer.process
    while producer.process is first:
        time.sleep(0.01)
    {end}
""")
    for _ in range(3):
        assert children.run(sys.executable, str(program)) == ("", "")


class Restarting(Noting, Producer):
    starts = 0

    @staticmethod
    def work(started, state, message_pipe):
        state.value = Worker.stopped
        return os.getpid()

    def on_result_ready(self, result):
        super().on_result_ready(result)
        self.starts += 1
        if self.starts < 3:
            self.start_new()


@pytest.mark.parametrize("way", ["set_stopped", "work fails", "terminate", "interrupt", "by itself"])
def test_on_stop_runs_once_whatever_the_end(way, capfd):
    with Collecting() if way != "work fails" else Failing() as consumer:
        consumer.start_new(work_args=(way,))
        until(lambda: consumer.messages == ["started"], "the start")
        if way == "set_stopped":
            consumer.set_stopped()
        elif way == "work fails":
            put_in_queue(consumer.get_work_queue(), 1)
        elif way == "terminate":
            consumer.process.terminate()
        elif way == "interrupt":
            os.kill(consumer.process.pid, signal.SIGINT)
        else:
            consumer.set_stop_at_queue_end()
        consumer.process.join(DEADLINE)
        assert consumer.messages == ["started", "stopped"]
        until(stopped(consumer), "the state")
        assert not consumer.get_work_queue().is_ready()
        error = capfd.readouterr().err
        if way == "work fails":
            assert consumer.process.exitcode == 1 and "ZeroDivisionError" in error
        else:
            assert "Traceback" not in error


class Failing(Collecting):
    @staticmethod
    def work(items, started, state, message_pipe, *args):
        return 1 / 0


def test_all_results_and_messages_are_there_when_the_process_was_joined():
    with Talkative() as producer:
        producer.set_subscribers([])
        producer.start_new(work_args=(2000,))
        producer.process.join(DEADLINE)
        assert producer.results == list(range(2000))
        assert producer.messages == list(range(2000)) + ["bye"]


class Talkative(Counting):
    @staticmethod
    def work(numbers, state, message_pipe, last):
        number = Counting.work(numbers, state, message_pipe, last)
        message_pipe.send(number)
        return number

    @staticmethod
    def on_stop(numbers, state, message_pipe, last):
        message_pipe.send("bye")


def test_a_callback_that_fails_is_told_and_the_next_is_called(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    with Grumpy() as producer:
        producer.set_subscribers([])
        producer.start_new(work_args=(3,))
        producer.process.join(DEADLINE)
        assert producer.results == [0, 1, 2] and told == [KeyError] * 3


class Grumpy(Counting):
    def on_result_ready(self, result):
        super().on_result_ready(result)
        raise KeyError(result)


def test_a_callback_can_be_set_after_the_start():
    got = []
    with Plain(work_timeout=0.01) as producer:
        producer.set_subscribers([])
        producer.start_new()
        time.sleep(0.2)
        producer.on_result_ready = got.append
        until(lambda: len(got) > 3, "results")


class Plain(Producer):
    @staticmethod
    def work(started, state, message_pipe):
        return 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_ends_its_thread_does_not_hold_up_the_worker():
    with Leaving() as producer:
        producer.set_subscribers([])
        producer.start_new()
        producer.process.join(DEADLINE)
        assert not producer.process.is_alive() and producer.process.exitcode == 0


class Leaving(Plain):
    """Sends more than fits into its pipes, to callbacks of which none is called twice."""

    results_size = 2

    @staticmethod
    def work(started, state, pipe):
        for number in range(400):
            pipe.send(number)
        state.value = prodcon.Worker.stopped if started.append(1) or len(started) == 9 else state.value
        return len(started)

    @staticmethod
    def on_start(state, pipe):
        return []

    def on_result_ready(self, result):
        sys.exit()

    def on_message_ready(self, message):
        sys.exit()


def test_messages_go_both_ways_and_end():
    with Echoing() as producer:
        producer.set_subscribers([])
        producer.start_new()
        for message in ("one", {"two": 2}, None, b"x" * 100_000):
            producer.message_pipe_parent.send(message)
        until(lambda: len(producer.messages) == 4, "four answers")
        assert producer.messages == ["one", {"two": 2}, None, b"x" * 100_000]
        producer.set_stopped()
        producer.process.join(DEADLINE)
        assert producer.messages[4:] == ["the end"]
        with pytest.raises(BrokenPipeError):
            for _ in range(1000):
                producer.message_pipe_parent.send("nobody is there")


class Echoing(Noting, Producer):
    @staticmethod
    def work(started, state, message_pipe):
        if message_pipe.poll(0.01):
            message_pipe.send(message_pipe.recv())

    @staticmethod
    def on_stop(started, state, message_pipe):
        assert not message_pipe.poll()
        try:
            message_pipe.recv()
        except EOFError:
            message_pipe.send("the end")


def test_a_large_array_goes_through_a_program_that_knows_nothing_of_sizes(directory):
    numpy = pytest.importorskip("numpy")
    with Arrays() as producer, Collecting(work_timeout=0.2, max_buffer_size=3) as consumer:
        producer.set_subscribers([consumer.get_work_queue()])
        consumer.start_new()
        producer.start_new()
        producer.process.join(DEADLINE)
        until(lambda: len(consumer.items) == 20, "20 arrays")
        for number, item in enumerate(consumer.items):
            assert item["frame"].shape == (512, 512) and (item["frame"] == number).all() and item["number"] == number
            item["frame"][0] = numpy.inf
    assert os.listdir(directory) == []


class Arrays(Producer):
    @staticmethod
    def on_start(state, message_pipe):
        return iter(range(20))

    @staticmethod
    def work(numbers, state, message_pipe):
        import numpy

        number = next(numbers)
        if number == 19:
            state.value = Worker.stopped
        return {"frame": numpy.full((512, 512), number, dtype="f4"), "number": number}


def test_several_processes_share_the_work_and_stop_together():
    with Pids(work_timeout=0, max_buffer_size=3) as consumer:
        consumer.start_new(workers=3)
        assert len(consumer.processes) == 3 and consumer.process is consumer.processes[0]
        for number in range(300):
            put_in_queue(consumer.get_work_queue(), number)
        consumer.set_stop_at_queue_end()
        for process in consumer.processes:
            process.join(DEADLINE)
            assert process.exitcode == 0
        assert sorted(number for _, items in consumer.results for number in items) == list(range(300))
        assert {pid for pid, _ in consumer.results} <= {process.pid for process in consumer.processes}
        assert consumer.get_state() == Worker.stopped and not consumer.get_work_queue().is_ready()


class Pids(Collecting):
    @staticmethod
    def work(items, started, state, message_pipe):
        time.sleep(0.005)
        return os.getpid(), items


def test_a_worker_that_is_killed_is_noticed_and_can_be_started_again():
    with Collecting(maxsize=10) as consumer:
        consumer.start_new()
        put_in_queue(consumer.get_work_queue(), 1)
        until(lambda: consumer.items == [1], "the item")
        consumer.process.kill()
        consumer.process.join(DEADLINE)
        assert consumer.get_state() == Worker.stopped and not consumer.get_work_queue().is_ready()
        assert consumer.messages == ["started"]
        consumer.start_new()
        put_in_queue(consumer.get_work_queue(), 2)
        until(lambda: consumer.items == [1, 2], "the item after the kill")


def test_a_batch_in_the_hands_of_a_killed_worker_is_worked_on_by_the_next():
    numpy = pytest.importorskip("numpy")
    with Dying(max_buffer_size=3, work_timeout=DEADLINE, at_least_once=True) as consumer:
        consumer.start_new(work_args=("die",))
        for number in range(3):
            # One in the block, one in a file of its own.
            put_in_queue(consumer.get_work_queue(), (number, numpy.full(200_000, number)))
        consumer.process.join(DEADLINE)
        assert consumer.process.exitcode == -signal.SIGKILL and consumer.items == []
        consumer.start_new(work_args=("live",))
        until(lambda: len(consumer.items) == 3, "the batch")
        assert [(number, int(array[0])) for number, array in consumer.items] == [(0, 0), (1, 1), (2, 2)]
        stats = consumer.get_work_queue().stats()
        assert stats.redelivered == 3 and stats.lost == 0


class Dying(Collecting):
    @staticmethod
    def work(items, started, state, message_pipe, what):
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return items


def test_a_batch_whose_work_failed_is_worked_on_by_the_next(capfd):
    with Sometimes(max_buffer_size=3, work_timeout=DEADLINE, at_least_once=True) as consumer:
        consumer.start_new(work_args=("fail",))
        for number in range(3):
            put_in_queue(consumer.get_work_queue(), number)
        consumer.process.join(DEADLINE)
        assert consumer.process.exitcode == 1 and "ZeroDivisionError" in capfd.readouterr().err
        consumer.start_new(work_args=("work",))
        until(lambda: consumer.items == [0, 1, 2], "the batch")


class Sometimes(Collecting):
    @staticmethod
    def work(items, started, state, message_pipe, what):
        if what == "fail":
            1 / 0
        return items


def test_a_buffer_larger_than_the_seats_is_worked_on_in_parts():
    with Collecting(max_buffer_size=100, work_timeout=DEADLINE, at_least_once=True, seats=-90) as consumer:
        assert consumer.get_work_queue().stats().seats == 10
        consumer.start_new()
        for number in range(100):
            put_in_queue(consumer.get_work_queue(), number)
        consumer.set_stop_at_queue_end()
        consumer.process.join(DEADLINE)
        assert consumer.items == list(range(100)) and max(map(len, consumer.results)) < 10


def test_a_producer_keeps_its_period():
    with Counting(work_timeout=0.05) as producer:
        producer.set_subscribers([])
        begin = time.monotonic()
        producer.start_new(work_args=(5,))
        producer.process.join(DEADLINE)
        # Never faster than that; how much slower is the machine's affair.
        assert time.monotonic() - begin >= 5 * 0.05 and producer.results == [0, 1, 2, 3, 4]


def test_a_long_period_is_interrupted_by_the_stop():
    with Counting(work_timeout=3600) as producer:
        producer.set_subscribers([])
        producer.start_new(work_args=(5,))
        producer.set_stopped()
        producer.process.join(DEADLINE)
        assert not producer.process.is_alive() and producer.results == []


def test_subscribers_have_to_be_set_before_the_start():
    with Plain(work_timeout=0.01) as producer:
        with pytest.raises(prodcon.Invalid, match="set_subscribers"):
            producer.start_new()
        producer.set_subscribers([])
        producer.start_new()
        with pytest.raises(prodcon.Invalid, match="before start_new"):
            producer.set_subscribers([])


def test_a_producer_without_its_consumer_goes_on():
    with Counting() as producer:
        with Collecting() as consumer:
            producer.set_subscribers([consumer.get_work_queue()])
            producer.start_new(work_args=(10,))
            producer.process.join(DEADLINE)
        assert producer.results == list(range(10))


def test_what_cannot_be_sent_to_the_process_fails_at_the_start(start_method):
    if start_method == "fork":
        return  # nothing is pickled
    with Plain() as producer:
        producer.set_subscribers([])
        with pytest.raises(Exception, match="(?i)pickle"):
            producer.start_new(work_args=(lambda: 0,))
        assert producer.get_state() == Worker.stopped
        producer.start_new()
        assert producer.process.is_alive()


def test_a_worker_without_work_says_so(capfd):
    with Producer() as producer:
        producer.set_subscribers([])
        producer.start_new()
        producer.process.join(DEADLINE)
        assert "NotImplementedError" in capfd.readouterr().err


def test_workers_can_have_names(directory):
    with Collecting(queue_name="frames") as consumer:
        consumer.start_new()
        assert sorted(os.listdir(directory)) == ["prodcon.frames", "prodcon.frames.in", "prodcon.frames.out", "prodcon.frames.results"]
        # Anybody who knows the name can put, and can stop it.
        other = prodcon.ReadyQueue.attach("frames", objects=True)
        other.put("by name")
        until(lambda: consumer.items == ["by name"], "the item")
        other.state = Worker.stopped
        consumer.process.join(DEADLINE)
        assert not consumer.process.is_alive()
