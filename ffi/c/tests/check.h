/* What the tests share: a check that says where it failed, and names of queues that are this process's own (in PRODCON_DIR, which the caller of the test makes and removes). */
#ifndef CHECK_H
#define CHECK_H

#include "prodcon.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\nlast error: %s\n", __FILE__, __LINE__, #condition, prodcon_last_error()); \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* The call answers this status. */
#define ANSWERS(status, call)                                                                                               \
    do {                                                                                                                    \
        prodcon_status answered_ = (call);                                                                                  \
        if (answered_ != (status)) {                                                                                        \
            fprintf(stderr, "%s:%d: %s answered %d, expected %s\nlast error: %s\n", __FILE__, __LINE__, #call, (int)answered_, #status, \
                    prodcon_last_error());                                                                                  \
            exit(1);                                                                                                        \
        }                                                                                                                   \
    } while (0)

#define OK(call) ANSWERS(PRODCON_OK, call)

/* The last error contains this text. */
#define SAYS(text) CHECK(strstr(prodcon_last_error(), (text)) != NULL)

#define SECOND INT64_C(1000000000)
#define LONG (60 * SECOND)

static inline const char *name_of(const char *what) {
    static char names[8][64];
    static int next;
    char *name = names[next++ % 8];
    snprintf(name, sizeof names[0], "%s-%ld", what, (long)getpid());
    return name;
}

/* A queue with the flags given. */
static inline prodcon_queue *make(const char *name, uint32_t capacity, uint32_t item_size, uint32_t flags) {
    prodcon_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.capacity = capacity;
    options.item_size = item_size;
    options.seats = 8;
    options.flags = flags;
    prodcon_queue *queue = NULL;
    OK(prodcon_queue_create(name, &options, &queue));
    CHECK(queue != NULL);
    return queue;
}

static inline prodcon_queue *join(const char *name) {
    prodcon_queue *queue = NULL;
    OK(prodcon_queue_attach(name, &queue));
    return queue;
}

static inline prodcon_stats figures(prodcon_queue *queue) {
    prodcon_stats stats;
    memset(&stats, 0xA5, sizeof stats);
    stats.size = sizeof stats;
    OK(prodcon_queue_stats(queue, &stats));
    CHECK(stats.puts == stats.gets + stats.dropped + stats.cleared + stats.lost + stats.held + stats.len);
    return stats;
}

#endif
