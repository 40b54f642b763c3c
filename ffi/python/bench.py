#!/usr/bin/env python3
"""prodcon, adv_prodcon, faster-fifo and multiprocessing.Queue side by side: items per second and round trips, as Markdown.

    python bench.py [--rounds N] [--seconds S] [--no-pin] [--check]

Two processes on two processors, the systems in turn in each round, the median of all rounds. What is got is compared with what was put; a run in
which it differs is an error. Small items are ints; large ones numpy arrays of 1 MiB. `prodcon` is used as a program written for adv_prodcon uses it
(default sizes: arrays go through files of their own); "item_size" is a queue whose blocks are large enough; "bytes" are the queues without pickling,
"in place" those without copies. Last, a whole program for adv_prodcon: a producer and a consumer, each in its process.
"""

import argparse
import itertools
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import prodcon

try:
    import adv_prodcon
except ImportError:
    adv_prodcon = None

try:
    import faster_fifo
except ImportError:
    faster_fifo = None

MIB = 1 << 20
# Queues hold so many items: enough for small ones never to be full because of a scheduler's whim, and for large ones not to fill the memory.
SMALL, LARGE = 1024, 8


class Ints:
    name = "int"
    capacity = SMALL
    size = 64

    @staticmethod
    def make(count):
        return range(count)

    @staticmethod
    def check(item, number):
        return item == number


class Arrays:
    name = "1 MiB array"
    capacity = LARGE
    size = MIB + 4096

    @staticmethod
    def make(count):
        pool = [numpy.full(MIB // 8, number, dtype="i8") for number in range(16)]
        return (pool[number % 16] for number in range(count))

    @staticmethod
    def check(item, number):
        # Every page is looked at, as a program would.
        return item.nbytes == MIB and item[0] == item[-1] == number % 16 and int(item[::512].sum()) == number % 16 * 256


def queue_of_multiprocessing(kind):
    return multiprocessing.Queue(kind.capacity)


def queue_of_faster_fifo(kind):
    # Its size is in bytes, and each item has a header and a pickle's beginning and end.
    return faster_fifo.Queue(max_size_bytes=kind.capacity * kind.size)


def queue_of_adv_prodcon(kind):
    queue = adv_prodcon.ReadyQueue(maxsize=kind.capacity)
    queue.set_ready()
    return queue


def queue_of_prodcon(kind):
    queue = prodcon.ReadyQueue(maxsize=kind.capacity)
    queue.set_ready()
    return queue


def queue_with_item_size(kind):
    queue = prodcon.ReadyQueue(maxsize=kind.capacity, item_size=kind.size, seats=8)
    queue.set_ready()
    return queue


class Bytes:
    """A queue of bytes, of which it makes the items of `kind`."""

    def __init__(self, kind, in_place=False):
        self.queue = prodcon.ReadyQueue(maxsize=kind.capacity, item_size=kind.size, seats=8)
        self.queue.set_ready()
        self.octets = prodcon.ReadyQueue.attach(self.queue.name)
        self.large = kind is Arrays
        self.in_place = in_place

    def put(self, item):
        if not self.large:
            self.octets.put(item.to_bytes(8, "little"))
        elif self.in_place:
            with self.octets.reserve(item.nbytes) as block:
                numpy.frombuffer(block, dtype="i8")[:] = item
        else:
            self.octets.put(item)

    def get(self):
        if not self.large:
            return int.from_bytes(self.octets.get(), "little")
        if not self.in_place:
            return numpy.frombuffer(self.octets.get(), dtype="i8")
        with self.octets.take() as item:
            return numpy.frombuffer(item, dtype="i8")


def systems(kind):
    made = {"multiprocessing.Queue": queue_of_multiprocessing}
    if faster_fifo:
        made["faster-fifo"] = queue_of_faster_fifo
    if adv_prodcon:
        made["adv_prodcon"] = queue_of_adv_prodcon
    made["prodcon"] = queue_of_prodcon
    if kind is Arrays:
        made["prodcon, item_size"] = queue_with_item_size
        made["prodcon, bytes"] = Bytes
        made["prodcon, in place"] = lambda kind: Bytes(kind, True)
    else:
        made["prodcon, bytes"] = Bytes
    return made


# As they were before anybody was pinned.
CPUS = sorted(os.sched_getaffinity(0))


def pin(number, wanted):
    if wanted and len(CPUS) > 1:
        os.sched_setaffinity(0, {CPUS[number]})


def produce(queue, kind, count, begin, wanted):
    pin(1, wanted)
    items = kind.make(count)
    begin.wait()
    put = queue.put
    for item in items:
        put(item)


def echo(there, back, count, wanted):
    pin(1, wanted)
    for _ in range(count):
        back.put(there.get())


def throughput(make, kind, count, wanted):
    """Items per second from the first get to the last."""
    queue = make(kind)
    begin = multiprocessing.Event()
    producer = multiprocessing.Process(target=produce, args=(queue, kind, count, begin, wanted))
    producer.start()
    get, check = queue.get, kind.check
    begin.set()
    wrong = 0 if check(get(), 0) else 1
    start = time.perf_counter()
    for number in range(1, count):
        if not check(get(), number):
            wrong += 1
    rate = (count - 1) / (time.perf_counter() - start)
    producer.join()
    if wrong or producer.exitcode:
        sys.exit(f"{wrong} of {count} items were wrong; the producer ended with {producer.exitcode}")
    return rate


def round_trip(make, kind, count, wanted):
    """Microseconds for an item there and back: median."""
    there, back = make(kind), make(kind)
    other = multiprocessing.Process(target=echo, args=(there, back, count, wanted))
    other.start()
    times = []
    for number, item in enumerate(kind.make(count)):
        start = time.perf_counter()
        there.put(item)
        got = back.get()
        times.append(time.perf_counter() - start)
        if not kind.check(got, number):
            sys.exit(f"item {number} came back wrong")
    other.join()
    return statistics.median(times[len(times) // 10 :]) * 1e6


def program(package):
    """A producer of ints and a consumer of batches, as a program for adv_prodcon has them."""

    class Producer(package.Producer):
        @staticmethod
        def on_start(state, message_pipe):
            return itertools.count()

        @staticmethod
        def work(numbers, state, message_pipe):
            return next(numbers)

    class Consumer(package.Consumer):
        got, wrong = 0, 0

        @staticmethod
        def work(items, started, state, message_pipe):
            return items[0], items[-1], len(items)

        def on_result_ready(self, result):
            first, last, count = result
            # Whole, and in order; adv_prodcon may leave out what found the queue full.
            self.wrong += not (first >= self.got if package is adv_prodcon else first == self.got and last == first + count - 1)
            self.got += count

    return Producer, Consumer


def pipeline(package, seconds):
    """Items per second that went through a program's consumer."""
    Producer, Consumer = program(package)
    consumer = Consumer(work_timeout=0.1, max_buffer_size=1000, maxsize=SMALL)
    producer = Producer([consumer.get_work_queue()])
    consumer.start_new()
    producer.start_new()
    while not consumer.got:
        time.sleep(0.001)
    start, before = time.perf_counter(), consumer.got
    time.sleep(seconds)
    rate = (consumer.got - before) / (time.perf_counter() - start)
    producer.set_stopped()
    producer.process.join()
    consumer.set_stopped()
    consumer.process.join()
    if consumer.wrong:
        sys.exit(f"{consumer.wrong} batches were wrong")
    return rate


def measure_pipeline(seconds, rounds):
    packages = {"adv_prodcon": adv_prodcon, "prodcon": prodcon}
    found = {name: [] for name, package in packages.items() if package}
    for _ in range(rounds):
        for name in found:
            found[name].append(pipeline(packages[name], seconds))
    return found


def measure(what, kind, budget, rounds, wanted):
    """All systems in turn, `rounds` times: {name: [figure, ...]}."""
    made = systems(kind)
    counts, found = {}, {name: [] for name in made}
    for name, make in made.items():
        # As many items as fit in the time, by a first short run.
        probe = 200 if kind is Ints else 30
        rate = what(make, kind, probe, wanted)
        if what is round_trip:
            rate = 1e6 / rate
        counts[name] = max(probe, int(rate * budget))
    for _ in range(rounds):
        for name, make in made.items():
            found[name].append(what(make, kind, counts[name], wanted))
    return found


def table(title, unit, found, better):
    print(f"\n### {title}\n")
    print(f"| system | {unit}, median | least to most | against adv_prodcon |\n| --- | --- | --- | --- |")
    base = statistics.median(found["adv_prodcon"]) if "adv_prodcon" in found else None
    ratios = {}
    for name, figures in found.items():
        median = statistics.median(figures)
        ratio = None if base is None else (median / base if better == "more" else base / median)
        ratios[name] = ratio
        told = "-" if ratio is None else f"{ratio:.1f}x"
        digits = 1 if median < 100 else 0
        print(f"| {name} | {median:,.{digits}f} | {min(figures):,.{digits}f} to {max(figures):,.{digits}f} | {told} |")
    sys.stdout.flush()
    return ratios


# Says that this is the process that measures.
INSIDE = "PRODCON_BENCH_INSIDE"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="do not pin the two processes to two processors")
    parser.add_argument("--check", action="store_true", help="fail unless it is 10 times (ints) and 3 times (arrays) as fast as adv_prodcon")
    options = parser.parse_args()
    multiprocessing.set_start_method("fork")
    pin(0, options.pin)
    if adv_prodcon is None:
        print("SKIPPED: adv_prodcon is not installed (pip install adv_prodcon==0.1.14); the others are measured")
    if faster_fifo is None:
        print("SKIPPED: faster-fifo is not installed (pip install faster-fifo); the others are measured")
    print(
        f"Python {sys.version.split()[0]}, numpy {numpy.__version__}, prodcon {prodcon.__version__}, {os.cpu_count()} processors"
        f"{', pinned' if options.pin else ''}; two processes, {options.rounds} rounds in turn, medians, every item checked."
    )
    passed = True
    for kind, bar in ((Ints, 10), (Arrays, 3)):
        for what, title, unit, better in (
            (throughput, f"put and get of {kind.name}s", "items/s", "more"),
            (round_trip, f"round trip of one {kind.name}", "us", "less"),
        ):
            ratios = table(title, unit, measure(what, kind, options.seconds, options.rounds, options.pin), better)
            if adv_prodcon and ratios["prodcon"] < bar:
                passed = False
                print(f"\nprodcon is {ratios['prodcon']:.1f} times as fast as adv_prodcon, expected {bar}")
    os.sched_setaffinity(0, CPUS)  # three processes
    table("a program's producer and consumer, ints", "items/s", measure_pipeline(options.seconds, options.rounds), "more")
    sys.exit(0 if passed or not options.check else 1)


def run():
    """Measures in a process of its own, in a directory in memory that is gone afterwards, and looks what that process has left."""
    directory = tempfile.mkdtemp(prefix="prodcon-bench-", dir="/dev/shm")
    try:
        ended = subprocess.run([sys.executable, *sys.argv], env={**os.environ, "PRODCON_DIR": directory, INSIDE: "1"})
        if os.listdir(directory):
            sys.exit(f"left behind: {os.listdir(directory)}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(ended.returncode)


if __name__ == "__main__":
    main() if INSIDE in os.environ else run()
