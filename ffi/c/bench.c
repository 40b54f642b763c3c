/*
 * One half of a comparison (the other is examples/bench.rs, which starts this): put and get of 8 bytes through the C library.
 * bench QUEUE: for each line with a number of pairs on stdin, does so many puts and gets on that queue, checks every item, and prints the nanoseconds of CPU time they took.
 */
#include "prodcon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, prodcon_last_error());
    exit(1);
}

int main(int count, char **arguments) {
    prodcon_queue *queue;
    if (count != 2) return 2;
    if (prodcon_queue_attach(arguments[1], &queue) != PRODCON_OK) fail("attach");
    uint64_t pairs, next = 0;
    while (scanf("%" SCNu64, &pairs) == 1) {
        uint64_t began = now();
        for (uint64_t pair = 0; pair < pairs; pair++) {
            uint64_t item = next++, got = 0;
            size_t len = 0;
            if (prodcon_queue_put(queue, &item, sizeof item, -1) != PRODCON_OK) fail("put");
            if (prodcon_queue_get(queue, &got, sizeof got, &len, -1) != PRODCON_OK) fail("get");
            if (got != item || len != sizeof got) fail("another item came out than went in");
        }
        printf("%" PRIu64 "\n", now() - began);
        fflush(stdout);
    }
    prodcon_queue_close(queue);
    return 0;
}
