/*
 * consumer NAME: makes the queue NAME, works on samples until the end of the stream, says what it got, and removes the queue.
 *
 * Kill it (kill -9), start another one: with PRODCON_AT_LEAST_ONCE nothing that was put is lost. That is why it attaches if the queue exists already.
 */
#include "prodcon.h"
#include "sample.h"

#include <inttypes.h>
#include <stdio.h>

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: consumer NAME\n");
        return 2;
    }
    const char *name = arguments[1];
    prodcon_options options = {
        .size = sizeof options,
        .capacity = 1024,
        .item_size = sizeof(struct sample),
        .flags = PRODCON_AT_LEAST_ONCE,
    };
    prodcon_queue *queue;
    prodcon_status status = prodcon_queue_create_or_attach(name, &options, &queue);
    if (status != PRODCON_OK) {
        fprintf(stderr, "consumer: %s\n", prodcon_last_error());
        return 1;
    }

    uint64_t samples = 0;
    double sum = 0;
    const void *item;
    size_t len;
    while ((status = prodcon_queue_take(queue, &item, &len, -1)) == PRODCON_OK) {
        const struct sample *sample = item; /* in place, in shared memory: nothing is copied */
        samples++;
        sum += sample->celsius;
        prodcon_queue_ack(queue); /* until here another consumer would get it, should this one be killed */
    }
    if (status != PRODCON_STOPPED) fprintf(stderr, "consumer: %s\n", prodcon_last_error());
    printf("%" PRIu64 " samples, mean %.3f degrees\n", samples, samples ? sum / (double)samples : 0.0);
    prodcon_queue_close(queue);
    prodcon_queue_unlink(name);
    return status == PRODCON_STOPPED ? 0 : 1;
}
