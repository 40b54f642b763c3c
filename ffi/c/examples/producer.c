/*
 * producer NAME COUNT: puts COUNT samples into the queue NAME, which consumer.c made, and ends the stream.
 */
#include "prodcon.h"
#include "sample.h"

#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: producer NAME COUNT\n");
        return 2;
    }
    const uint64_t samples = strtoull(arguments[2], NULL, 10);
    prodcon_queue *queue;
    if (prodcon_queue_attach(arguments[1], &queue) != PRODCON_OK || prodcon_queue_wait_ready(queue, -1) != PRODCON_OK) {
        fprintf(stderr, "producer: %s\n", prodcon_last_error());
        return 1;
    }
    for (uint64_t sequence = 0; sequence < samples; sequence++) {
        struct sample sample = {sequence, 20.0 + (double)(sequence % 10)};
        if (prodcon_queue_put(queue, &sample, sizeof sample, -1) != PRODCON_OK) { /* waits while the queue is full */
            fprintf(stderr, "producer: sample %llu: %s\n", (unsigned long long)sequence, prodcon_last_error());
            return 1;
        }
    }
    prodcon_status status = prodcon_queue_set_state(queue, PRODCON_STOP_AT_QUEUE_END); /* consumers end when they have got everything */
    if (status != PRODCON_OK) fprintf(stderr, "producer: %s\n", prodcon_last_error());
    prodcon_queue_close(queue);
    return status == PRODCON_OK ? 0 : 1;
}
