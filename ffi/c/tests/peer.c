/*
 * A process among others, for tests/processes.rs.
 * peer NAME put FIRST COUNT: puts the numbers FIRST .. FIRST + COUNT - 1, 8 bytes each.
 * peer NAME get: writes the numbers it gets to stdout, 8 bytes each, until the end of the stream.
 * peer NAME hold: takes an item, writes it to stdout, and keeps it in hand until it is killed. hold-get: meets it with a buffer that is too small instead.
 */
#include "check.h"

#include <signal.h>
#include <sys/prctl.h>

static void say(const void *bytes, size_t len) {
    CHECK(fwrite(bytes, 1, len, stdout) == len && fflush(stdout) == 0);
}

int main(int count, char **arguments) {
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && count >= 3);
    prodcon_queue *queue = join(arguments[1]);
    const char *role = arguments[2];
    size_t len = 0;
    if (strcmp(role, "put") == 0) {
        uint64_t first = strtoull(arguments[3], NULL, 10), number = strtoull(arguments[4], NULL, 10);
        for (uint64_t item = first; item < first + number; item++) {
            if (item % 2) { /* every other one in place */
                void *block = NULL;
                OK(prodcon_queue_reserve(queue, sizeof item, &block));
                memcpy(block, &item, sizeof item);
                OK(prodcon_queue_commit(queue, sizeof item, LONG));
            } else {
                OK(prodcon_queue_put(queue, &item, sizeof item, -1));
            }
        }
    } else if (strcmp(role, "get") == 0) {
        prodcon_status status;
        uint64_t item = 0;
        while ((status = prodcon_queue_get(queue, &item, sizeof item, &len, -1)) == PRODCON_OK) say(&item, len);
        ANSWERS(PRODCON_STOPPED, status);
    } else {
        const void *item = NULL;
        if (strcmp(role, "hold") == 0) {
            OK(prodcon_queue_take(queue, &item, &len, -1));
            say(item, len);
        } else {
            ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_get(queue, NULL, 0, &len, -1));
            say(&len, sizeof len);
        }
        for (;;) pause();
    }
    prodcon_queue_close(queue);
    return 0;
}
