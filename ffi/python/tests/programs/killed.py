"""A program with three workers, to be killed: they note in a file that `on_stop` was called."""

import multiprocessing
import sys
import time

import prodcon


def note(directory, name):
    with open(f"{directory}/stopped", "a") as file:
        file.write(name + "\n")


class Producer(prodcon.Producer):
    @staticmethod
    def work(started, state, message_pipe, directory):
        return "x" * 100_000

    @staticmethod
    def on_stop(started, state, message_pipe, directory):
        note(directory, "producer")


class Consumer(prodcon.Consumer):
    @staticmethod
    def work(items, started, state, message_pipe, directory):
        return items

    @staticmethod
    def on_stop(started, state, message_pipe, directory):
        note(directory, "consumer")

    def on_result_ready(self, result):
        pass


class Stubborn(prodcon.Producer):
    @staticmethod
    def work(started, state, message_pipe, directory):
        time.sleep(10_000)

    @staticmethod
    def on_stop(started, state, message_pipe, directory):
        time.sleep(0.5)
        note(directory, "stubborn")


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    consumer = Consumer()
    producers = Producer([consumer.get_work_queue()]), Stubborn([consumer.get_work_queue()])
    workers = (consumer, *producers)
    for worker in workers:
        worker.start_new((sys.argv[2],))
    while consumer.get_work_queue().stats().gets < 10:
        time.sleep(0.01)
    # The stubborn one has no other sign of having got there.
    time.sleep(1)
    print("running", flush=True)
    print(*(worker.process.pid for worker in workers), flush=True)
    time.sleep(1000)
