"""adv_prodcon's example of the message pipe, faster."""

import os
import sys
import time
from itertools import count

import prodcon as adv_prodcon


class ExampleProducer(adv_prodcon.Producer):
    exit = False

    @staticmethod
    def on_start(state, message_pipe, *args, **kwargs):
        return {"count": count()}

    @staticmethod
    def work(on_start_result, state, message_pipe, *args):
        # Receive a message from main process
        if message_pipe.poll():
            if message_pipe.recv() == "reset":
                on_start_result["count"] = count()

        number = next(on_start_result["count"])

        # Send a message to main process
        if number > 5:
            message_pipe.send("reached 5")

        return number

    def on_message_ready(self, message):
        if message == "reached 5":
            self.exit = True


class ExampleConsumer(adv_prodcon.Consumer):
    @staticmethod
    def work(items, on_start_result, state, message_pipe, *args):
        for item in items:
            print(item, flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        import multiprocessing

        multiprocessing.set_start_method(sys.argv[1])

    example_producer = ExampleProducer(work_timeout=0.3)
    example_consumer = ExampleConsumer(work_timeout=0.5, max_buffer_size=1000)

    example_producer.set_subscribers([example_consumer.get_work_queue()])
    example_producer.start_new()
    example_consumer.start_new()

    time.sleep(float(os.environ.get("SECONDS", "2.5")) / 2)

    print("Resetting...", flush=True)
    example_producer.message_pipe_parent.send("reset")

    while True:
        if example_producer.exit:
            print("Exiting.", flush=True)
            sys.exit(0)
