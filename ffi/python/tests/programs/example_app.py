"""The workers of adv_prodcon's PyQt example, with a signal that is not Qt's: start, stop, start again, as its buttons do."""

import math
import random
import sys
import threading
import time

import prodcon as adv_prodcon


class DataProducer(adv_prodcon.Producer):
    @staticmethod
    def work(shared_var, state, message_pipe, *args):
        data = (math.sin(time.time() * 10) + 1) / 2 + random.random() / 10
        timestamp = time.time()
        return {"data": data, "timestamp": timestamp}


class Signal:
    def __init__(self):
        self.slots = []

    def connect(self, slot):
        self.slots.append(slot)

    def emit(self, value):
        for slot in self.slots:
            slot(value)


class Object:
    """Instead of QObject: a base with a constructor of its own."""

    def __init__(self):
        self.new_data = Signal()


# Data consumer acts as a buffer so we can pass new data to our UI process at our leisure
class DataConsumer(adv_prodcon.Consumer, Object):
    def __init__(self, *args, **kwargs):
        Object.__init__(self)
        adv_prodcon.Consumer.__init__(self, *args, **kwargs)

    @staticmethod
    def work(items, shared_var, state, message_pipe, *args):
        return items

    def on_result_ready(self, result):
        self.new_data.emit(result)


class MainWindow:
    def __init__(self):
        self.points = []
        self.enough = threading.Event()
        self.producer = DataProducer(work_timeout=0.00001)
        self.consumer = DataConsumer(work_timeout=0.01, max_buffer_size=1000, lossy_queue=True)
        self.producer.set_subscribers([self.consumer.get_work_queue()])
        self.consumer.new_data.connect(lambda result: self.update(result))

    def start(self):
        self.enough.clear()
        self.points.clear()
        self.producer.start_new()
        self.consumer.start_new()

    def stop(self):
        self.producer.set_stopped()
        self.consumer.set_stopped()

    def update(self, items):
        for item in items:
            assert 0 <= item["data"] <= 1.1
            self.points.append(item["timestamp"])
        if len(self.points) > 300:
            self.enough.set()


if __name__ == "__main__":
    if sys.argv[1:]:
        import multiprocessing

        multiprocessing.set_start_method(sys.argv[1])

    window = MainWindow()
    for _ in range(2):
        window.start()
        assert window.enough.wait(60), "no data"
        window.stop()
        points = list(window.points)
        assert points == sorted(points)
    print("done", flush=True)
