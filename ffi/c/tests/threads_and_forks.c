/* A handle is for one thread at a time and for the process that made it; errors are the thread's own. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static prodcon_queue *shared;
static volatile int stop;

static void *waits_in_get(void *unused) {
    char buffer[8];
    size_t len = 0;
    OK(prodcon_queue_get(shared, buffer, sizeof buffer, &len, LONG));
    CHECK(len == 1);
    return unused;
}

static void a_second_thread_is_refused_while_the_first_is_inside(void) {
    const char *name = name_of("inside");
    prodcon_queue *other = make(name, 2, 8, 0);
    char buffer[8];
    size_t len = 0;
    pthread_t thread;
    shared = join(name);
    for (int used = 0; used < 2; used++) {
        if (used) { /* this thread has used the handle before the other one does */
            prodcon_queue_close(shared);
            shared = join(name);
            ANSWERS(PRODCON_EMPTY, prodcon_queue_get(shared, buffer, sizeof buffer, &len, 0));
        }
        CHECK(pthread_create(&thread, NULL, waits_in_get, NULL) == 0);
        prodcon_status status = PRODCON_EMPTY;
        for (int round = 0; round < 6000 && status == PRODCON_EMPTY; round++) {
            if (round) usleep(10000); /* until the thread is inside */
            status = prodcon_queue_is_ready(shared, &(bool){false}) == PRODCON_INVALID ? PRODCON_INVALID : PRODCON_EMPTY;
        }
        ANSWERS(PRODCON_INVALID, status);
        ANSWERS(PRODCON_INVALID, prodcon_queue_get(shared, buffer, sizeof buffer, &len, 0));
        SAYS("another thread");
        prodcon_queue_close(shared); /* does nothing but say so */
        SAYS("another thread");
        OK(prodcon_queue_put(other, "x", 1, 0));
        CHECK(pthread_join(thread, NULL) == 0);
        ANSWERS(PRODCON_EMPTY, prodcon_queue_get(shared, buffer, sizeof buffer, &len, 0)); /* still open, and free again */
    }
    prodcon_queue_close(shared);
    prodcon_queue_close(other);
    OK(prodcon_queue_unlink(name));
}

static void *hammers(void *count) {
    uint64_t *done = count;
    while (!stop) {
        uint64_t item = ++*done, got = 0;
        size_t len = 0;
        prodcon_status status = prodcon_queue_put(shared, &item, sizeof item, 0);
        if (status != PRODCON_OK) {
            --*done;
            CHECK(status == PRODCON_INVALID || status == PRODCON_FULL);
        }
        status = prodcon_queue_get(shared, &got, sizeof got, &len, 0);
        CHECK(status == PRODCON_OK || status == PRODCON_INVALID || status == PRODCON_EMPTY);
    }
    return NULL;
}

static void two_threads_on_one_handle_break_nothing(void) {
    const char *name = name_of("hammer");
    prodcon_queue *other = make(name, 4, 8, 0);
    uint64_t total = 0;
    for (int round = 0; round < 20; round++) {
        pthread_t threads[3];
        uint64_t done[3] = {0};
        shared = join(name);
        stop = 0;
        for (int each = 0; each < 3; each++) CHECK(pthread_create(&threads[each], NULL, hammers, &done[each]) == 0);
        usleep(10000);
        stop = 1;
        for (int each = 0; each < 3; each++) {
            CHECK(pthread_join(threads[each], NULL) == 0);
            total += done[each];
        }
        prodcon_queue_close(shared);
    }
    CHECK(total > 0 && figures(other).puts == total); /* and the accounts add up */
    prodcon_queue_close(other);
    OK(prodcon_queue_unlink(name));
}

static void *uses_in_turn(void *handle) {
    char buffer[8];
    size_t len = 0;
    for (int round = 0; round < 100; round++) {
        OK(prodcon_queue_put(handle, "turn", 4, 0));
        OK(prodcon_queue_get(handle, buffer, sizeof buffer, &len, 0));
    }
    return NULL;
}

static void a_handle_may_be_handed_over(void) {
    const char *name = name_of("turns");
    prodcon_queue *queue = make(name, 2, 8, 0);
    for (int round = 0; round < 5; round++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, uses_in_turn, queue) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        uses_in_turn(queue);
    }
    CHECK(figures(queue).gets == 1000);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static volatile sig_atomic_t interrupted;

static void handler(int signal) {
    (void)signal;
    size_t len = 0;
    interrupted = prodcon_queue_len(shared, &len);
}

static void a_signal_handler_on_the_same_handle_is_refused(void) {
    const char *name = name_of("signal");
    shared = make(name, 2, 8, 0);
    struct sigaction action = {.sa_handler = handler}, old;
    char buffer[8];
    size_t len = 0;
    ANSWERS(PRODCON_EMPTY, prodcon_queue_get(shared, buffer, sizeof buffer, &len, 0));
    CHECK(sigaction(SIGALRM, &action, &old) == 0);
    alarm(1);
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_get(shared, buffer, sizeof buffer, &len, 2 * SECOND)); /* a signal does not end the wait */
    CHECK(interrupted == PRODCON_INVALID);
    CHECK(sigaction(SIGALRM, &old, NULL) == 0);
    prodcon_queue_close(shared);
    OK(prodcon_queue_unlink(name));
}

static pthread_barrier_t together;

static void *closes(void *unused) {
    prodcon_queue *queues[20];
    for (int round = 0; round < 10; round++) {
        for (int each = 0; each < 20; each++) queues[each] = join(unused);
        pthread_barrier_wait(&together);
        for (int each = 0; each < 20; each++) prodcon_queue_close(queues[each]);
    }
    return NULL;
}

/* LeakSanitizer looks whether their memory is known to somebody. */
static void handles_that_are_closed_at_once_are_not_lost(void) {
    char name[64];
    prodcon_options options = {.size = sizeof options, .capacity = 2, .item_size = 8, .seats = 100};
    prodcon_queue *queue = NULL;
    pthread_t threads[4];
    snprintf(name, sizeof name, "%s", name_of("closes"));
    OK(prodcon_queue_create(name, &options, &queue));
    CHECK(pthread_barrier_init(&together, NULL, 4) == 0);
    for (int each = 0; each < 4; each++) CHECK(pthread_create(&threads[each], NULL, closes, name) == 0);
    for (int each = 0; each < 4; each++) CHECK(pthread_join(threads[each], NULL) == 0);
    CHECK(pthread_barrier_destroy(&together) == 0);
    CHECK(figures(queue).seats_live == 1);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void *fails(void *unused) {
    prodcon_queue *queue = NULL;
    CHECK(strcmp(prodcon_last_error(), "") == 0);
    ANSWERS(PRODCON_INVALID, prodcon_queue_attach("not/a/name", &queue));
    SAYS("not/a/name");
    return unused;
}

static void the_error_text_is_the_threads_own(void) {
    prodcon_queue *queue = NULL;
    pthread_t thread;
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_attach("nobody-made-it", &queue));
    CHECK(pthread_create(&thread, NULL, fails, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    SAYS("nobody-made-it");
    CHECK(prodcon_queue_unlink("nobody-made-it") == PRODCON_NOT_FOUND);
}

static void in_child(prodcon_queue *queue, const char *name) {
    char buffer[8];
    size_t len = 7;
    bool flag = true;
    int32_t state = 7;
    uint32_t a = 7, b = 7;
    void *block = buffer;
    const void *item = buffer;
    prodcon_stats stats;
    prodcon_item_id id = {.size = sizeof id};
    stats.size = sizeof stats;
    ANSWERS(PRODCON_FORKED, prodcon_queue_put(queue, "x", 1, -1));
    SAYS("attach again");
    ANSWERS(PRODCON_FORKED, prodcon_queue_put_many(queue, "x", 1, 1, &(size_t){0}, -1));
    ANSWERS(PRODCON_FORKED, prodcon_queue_get(queue, buffer, sizeof buffer, &len, -1));
    ANSWERS(PRODCON_FORKED, prodcon_queue_get_many(queue, buffer, 1, 1, NULL, &len, -1));
    ANSWERS(PRODCON_FORKED, prodcon_queue_reserve(queue, 1, &block));
    ANSWERS(PRODCON_FORKED, prodcon_queue_commit(queue, 1, -1));
    ANSWERS(PRODCON_FORKED, prodcon_queue_cancel(queue));
    ANSWERS(PRODCON_FORKED, prodcon_queue_take(queue, &item, &len, -1));
    ANSWERS(PRODCON_FORKED, prodcon_queue_take_slice(queue, &item, &len, -1));
    ANSWERS(PRODCON_FORKED, prodcon_queue_ack(queue));
    ANSWERS(PRODCON_FORKED, prodcon_queue_drop(queue));
    ANSWERS(PRODCON_FORKED, prodcon_queue_item_id(queue, 0, &id));
    ANSWERS(PRODCON_FORKED, prodcon_queue_delivery_count(queue, &a));
    ANSWERS(PRODCON_FORKED, prodcon_queue_latest(queue, buffer, sizeof buffer, &len, &id));
    ANSWERS(PRODCON_FORKED, prodcon_queue_peek(queue, buffer, sizeof buffer, &len, &id));
    ANSWERS(PRODCON_FORKED, prodcon_queue_ready_fd(queue, PRODCON_READABLE, &(prodcon_fd *){NULL}));
    ANSWERS(PRODCON_FORKED, prodcon_queue_item_size(queue, &len));
    ANSWERS(PRODCON_FORKED, prodcon_queue_nack(queue));
    ANSWERS(PRODCON_FORKED, prodcon_queue_set_ready(queue));
    ANSWERS(PRODCON_FORKED, prodcon_queue_set_not_ready(queue));
    ANSWERS(PRODCON_FORKED, prodcon_queue_clear(queue));
    ANSWERS(PRODCON_FORKED, prodcon_queue_is_ready(queue, &flag));
    ANSWERS(PRODCON_FORKED, prodcon_queue_wait_ready(queue, -1));
    ANSWERS(PRODCON_FORKED, prodcon_queue_len(queue, &len));
    ANSWERS(PRODCON_FORKED, prodcon_queue_capacity(queue, &len));
    ANSWERS(PRODCON_FORKED, prodcon_queue_get_state(queue, &state));
    ANSWERS(PRODCON_FORKED, prodcon_queue_set_state(queue, PRODCON_STOPPED_STATE));
    ANSWERS(PRODCON_FORKED, prodcon_queue_wait_state(queue, PRODCON_STARTED, -1));
    ANSWERS(PRODCON_FORKED, prodcon_queue_stats(queue, &stats));
    ANSWERS(PRODCON_FORKED, prodcon_queue_recover(queue, &a, &b));
    CHECK(len == 7 && flag && state == 7 && a == 7 && b == 7 && block == buffer && item == buffer);
    prodcon_queue_close(queue);
    ANSWERS(PRODCON_INVALID, prodcon_queue_put(queue, "x", 1, -1));
    queue = join(name);
    OK(prodcon_queue_put(queue, "child", 5, LONG));
    prodcon_queue_close(queue);
}

static void a_forked_child_is_told_so_and_harms_nobody(void) {
    const char *name = name_of("fork");
    for (int state = 0; state < 3; state++) { /* at rest, with a block reserved, with an item in hand */
        prodcon_queue *queue = make(name, 4, 8, PRODCON_AT_LEAST_ONCE);
        void *block = NULL;
        const void *item = NULL;
        char buffer[8];
        size_t len = 0;
        if (state == 1) OK(prodcon_queue_reserve(queue, 8, &block));
        if (state == 2) OK(prodcon_queue_put(queue, "parent", 6, 0));
        if (state == 2) OK(prodcon_queue_take(queue, &item, &len, 0));
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            in_child(queue, name);
            _exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (state == 1) {
            memcpy(block, "parent", 6);
            OK(prodcon_queue_commit(queue, 6, 0));
        }
        if (state == 2) {
            CHECK(memcmp(item, "parent", 6) == 0 && figures(queue).held == 1);
            OK(prodcon_queue_ack(queue));
        }
        OK(prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
        CHECK(len == 5 && memcmp(buffer, "child", 5) == 0);
        if (state == 1) OK(prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
        prodcon_stats stats = figures(queue);
        CHECK(stats.seats_live == 1 && stats.len == 0 && stats.redelivered == 0 && stats.lost == 0);
        prodcon_queue_close(queue);
        OK(prodcon_queue_unlink(name));
    }
}

static void *waits_for_ready(void *unused) {
    OK(prodcon_queue_wait_ready(shared, LONG));
    return unused;
}

static void a_child_forked_while_another_thread_was_inside_is_told_so_too(void) {
    const char *name = name_of("fork-inside");
    shared = make(name, 2, 8, PRODCON_CREATE_NOT_READY);
    prodcon_queue *other = join(name);
    pthread_t thread;
    bool ready = false;
    CHECK(pthread_create(&thread, NULL, waits_for_ready, NULL) == 0);
    prodcon_status status = PRODCON_OK;
    for (int round = 0; round < 6000 && status == PRODCON_OK; round++, usleep(10000)) status = prodcon_queue_is_ready(shared, &ready);
    ANSWERS(PRODCON_INVALID, status);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        ANSWERS(PRODCON_FORKED, prodcon_queue_is_ready(shared, &ready));
        ANSWERS(PRODCON_FORKED, prodcon_queue_put(shared, "x", 1, 0));
        prodcon_queue_close(shared); /* stays open, because that thread seems to be inside for ever */
        SAYS("attach again");
        prodcon_queue_close(other);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(prodcon_queue_set_ready(other));
    CHECK(pthread_join(thread, NULL) == 0);
    prodcon_queue_close(other);
    prodcon_queue_close(shared);
    OK(prodcon_queue_unlink(name));
}

int main(void) {
    a_second_thread_is_refused_while_the_first_is_inside();
    two_threads_on_one_handle_break_nothing();
    a_handle_may_be_handed_over();
    a_signal_handler_on_the_same_handle_is_refused();
    handles_that_are_closed_at_once_are_not_lost();
    the_error_text_is_the_threads_own();
    a_forked_child_is_told_so_and_harms_nobody();
    a_child_forked_while_another_thread_was_inside_is_told_so_too();
    return 0;
}
