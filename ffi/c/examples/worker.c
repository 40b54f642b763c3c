/*
 * A worker in C: started and stopped by a controlling process in Rust (or Python), or by hand.
 *
 *     worker --attach NAME                     a consumer: adds up the numbers (8 bytes) in the queue NAME, and sends the sum after each as a result
 *     worker --attach NAME role=producer       a producer: counts, and puts each number into the queues that subscribe
 *
 * By hand: prodcon create sum --capacity 64 --item-size 8; worker --attach sum; in another terminal: PRODCON_SUBSCRIBERS=sum worker --attach ...
 * A message "step N" changes what the producer counts by; the worker confirms it.
 */
#include "prodcon.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Reads what came in since the last time; confirms what it understands. */
static prodcon_status obey(prodcon_worker *worker, uint64_t *step) {
    char message[64], answer[96];
    size_t len;
    prodcon_status status;
    while ((status = prodcon_worker_receive(worker, message, sizeof message - 1, &len, 0)) == PRODCON_OK) {
        message[len] = 0;
        const char *word = sscanf(message, "step %" SCNu64, step) == 1 ? "done" : "not understood";
        snprintf(answer, sizeof answer, "%s: %s", message, word);
        if ((status = prodcon_worker_send_message(worker, answer, strlen(answer))) != PRODCON_OK) return status;
    }
    return status == PRODCON_EMPTY ? PRODCON_OK : status;
}

static prodcon_status produce(prodcon_worker *worker) {
    uint64_t number = 0, step = 1;
    prodcon_status status;
    while ((status = prodcon_worker_next(worker)) == PRODCON_OK) { /* the beat that the controlling process chose */
        if ((status = obey(worker, &step)) != PRODCON_OK) break;
        number += step;
        if ((status = prodcon_worker_publish(worker, &number, sizeof number, NULL)) != PRODCON_OK) break;
    }
    return status;
}

static prodcon_status consume(prodcon_worker *worker) {
    uint64_t sum = 0, unused = 0, number;
    char text[64];
    const void *item;
    size_t len;
    prodcon_queue *queue;
    prodcon_status status = prodcon_queue_attach(prodcon_worker_name(worker), &queue);
    if (status != PRODCON_OK) return status;
    while ((status = prodcon_worker_take(worker, queue, &item, &len, -1)) == PRODCON_OK) {
        memcpy(&number, item, sizeof number);
        sum += number;
        snprintf(text, sizeof text, "the sum is %" PRIu64 " now", sum);
        if ((status = prodcon_worker_send_result(worker, text, strlen(text))) != PRODCON_OK) break;
        if ((status = prodcon_queue_ack(queue)) != PRODCON_OK) break; /* worked on: until here it would come again, should this process be killed (at-least-once) */
        if ((status = obey(worker, &unused)) != PRODCON_OK) break;
    }
    prodcon_queue_close(queue);
    return status;
}

int main(int argc, char **argv) {
    prodcon_worker *worker;
    if (prodcon_worker_from_arguments(argc, argv, &worker) != PRODCON_OK) {
        fprintf(stderr, "%s\n", prodcon_last_error());
        return 2;
    }
    const char *role = prodcon_worker_named(worker, "role");
    prodcon_status status = role && strcmp(role, "producer") == 0 ? produce(worker) : consume(worker);
    if (status == PRODCON_STOPPED) { /* stopped, or the end of the queue: the way a worker ends */
        prodcon_worker_end(worker, NULL);
        return 0;
    }
    fprintf(stderr, "worker: %s\n", prodcon_last_error());
    prodcon_worker_end(worker, prodcon_last_error()); /* the controlling process hears it */
    return 1;
}
