"""adv_prodcon's quick start, with one period a fifth as long."""

import os
import sys
import time
from itertools import count

import prodcon as adv_prodcon


class ExampleProducer(adv_prodcon.Producer):
    @staticmethod
    def on_start(state, message_pipe, *args, **kwargs):
        return {"count": count()}

    @staticmethod
    def work(on_start_result, state, message_pipe, *args):
        return next(on_start_result["count"])


class ExampleConsumer(adv_prodcon.Consumer):
    @staticmethod
    def work(items, on_start_result, state, message_pipe, *args):
        return f"Got :{items} from producer"

    def on_result_ready(self, result):
        print(result, flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        import multiprocessing

        multiprocessing.set_start_method(sys.argv[1])

    example_producer = ExampleProducer(work_timeout=0.2)
    example_consumer = ExampleConsumer(work_timeout=0.4, max_buffer_size=1000)

    example_producer.set_subscribers([example_consumer.get_work_queue()])
    example_producer.start_new()
    example_consumer.start_new()

    time.sleep(float(os.environ.get("SECONDS", "2.5")))
