/* pthread_cancel: no call is a cancellation point. A cancelled thread ends at its own next one, with every call done and answered. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static prodcon_queue *shared;
static const char *name;

/* Waits for the end of a thread, but not for ever. */
static void *end_of(pthread_t thread) {
    struct timespec until;
    void *answer = NULL;
    CHECK(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_sec += 60;
    CHECK(pthread_timedjoin_np(thread, &answer, &until) == 0);
    return answer;
}

static void *run(void *(*work)(void *), void *with) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, with) == 0);
    return end_of(thread);
}

static void cancel_this_thread(void) { CHECK(pthread_cancel(pthread_self()) == 0); }

static bool can_be_cancelled(void) {
    int was = 0, mine = 0;
    CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was) == 0 && pthread_setcancelstate(was, &mine) == 0);
    return was == PTHREAD_CANCEL_ENABLE;
}

/* With a cancellation pending the first point would be taken: so none of these calls has one. */
static void *calls_everything(void *done) {
    char buffer[8];
    const void *item = NULL;
    void *block = NULL;
    size_t len = 0;
    int32_t state = 0;
    uint32_t recovered = 0, undecided = 0;
    bool ready = false;
    size_t *reached = done;
    prodcon_item_id id = {.size = sizeof id};
    prodcon_options options = {.size = sizeof options, .capacity = 2, .item_size = 8, .type_name = "u64", .batch = 2};
    prodcon_attach_options attach = {.size = sizeof attach, .role = PRODCON_CONSUMER};
    uint64_t numbers[4] = {1, 2, 3, 4};
    cancel_this_thread();
    prodcon_queue *queue = make(name, 2, 8, PRODCON_AT_LEAST_ONCE), *other = join(name);
    prodcon_fd *fd = NULL;
    int number = 0;
    for (int round = 0; round < 3; round++) {
        OK(prodcon_queue_put(queue, "1", 1, 0));
        OK(prodcon_queue_put_many(queue, "2", 1, 1, &len, SECOND));
        ANSWERS(PRODCON_FULL, prodcon_queue_put(queue, "3", 1, 0));
        ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_put(queue, "3", 1, SECOND / 100));
        OK(prodcon_queue_latest(other, buffer, sizeof buffer, &len, &id));
        OK(prodcon_queue_peek(other, buffer, sizeof buffer, &len, NULL));
        OK(prodcon_queue_ready_fd(queue, PRODCON_WRITABLE, &fd));
        OK(prodcon_fd_number(fd, &number));
        OK(prodcon_fd_arm(fd, &ready));
        CHECK(!ready);
        prodcon_fd_close(fd);
        OK(prodcon_queue_get(other, buffer, sizeof buffer, &len, -1));
        OK(prodcon_queue_take(other, &item, &len, SECOND));
        OK(prodcon_queue_nack(other));
        OK(prodcon_queue_take(queue, &item, &len, SECOND));
        OK(prodcon_queue_item_id(queue, 0, &id));
        OK(prodcon_queue_delivery_count(queue, &recovered));
        OK(prodcon_queue_drop(queue));
        OK(prodcon_queue_take(other, &item, &len, SECOND));
        OK(prodcon_queue_ack(other));
        ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_get(other, buffer, sizeof buffer, &len, SECOND / 100));
        OK(prodcon_queue_reserve(queue, 8, &block));
        OK(prodcon_queue_cancel(queue));
        for (int each = 0; each < 3; each++) {
            OK(prodcon_queue_reserve(queue, 8, &block));
            if (each < 2) OK(prodcon_queue_commit(queue, 8, -1));
        }
        ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_commit(queue, 8, SECOND / 100));
        OK(prodcon_queue_cancel(queue));
        OK(prodcon_queue_get_many(other, buffer, 1, 0, NULL, &len, 0));
        ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_get_many(other, buffer, 1, 2, NULL, &len, 0));
        OK(prodcon_queue_ack(other));
        OK(prodcon_queue_clear(queue));
        OK(prodcon_queue_set_not_ready(queue));
        ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_wait_ready(queue, SECOND / 100));
        OK(prodcon_queue_set_ready(queue));
        OK(prodcon_queue_is_ready(queue, &ready));
        OK(prodcon_queue_set_state(queue, PRODCON_STOPPED_STATE));
        OK(prodcon_queue_set_state(queue, PRODCON_STARTED));
        OK(prodcon_queue_get_state(queue, &state));
        ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_wait_state(queue, PRODCON_STOPPED_STATE, SECOND / 100));
        OK(prodcon_queue_len(queue, &len));
        OK(prodcon_queue_capacity(queue, &len));
        OK(prodcon_queue_recover(queue, &recovered, &undecided));
        (void)figures(queue);
        prodcon_queue_close(other);
        OK(prodcon_queue_attach(name, &other));
        ++*reached;
    }
    prodcon_queue_close(other);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
    OK(prodcon_queue_create_or_attach(name, &options, &queue));
    OK(prodcon_queue_create_or_attach(name, &options, &other));
    prodcon_queue_close(other);
    OK(prodcon_queue_attach_with(name, &attach, &other));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_take_slice(other, &item, &len, SECOND / 100));
    OK(prodcon_queue_put_many(queue, numbers, 8, 4, &len, SECOND));
    OK(prodcon_queue_take_slice(other, &item, &len, SECOND));
    OK(prodcon_queue_item_size(other, &len));
    prodcon_queue_close(other);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_attach(name, &other));
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_unlink(name));
    prodcon_token *token = prodcon_token_new();
    attach.wait_for_queue_ns = SECOND / 100;
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_attach_with(name, &attach, &other));
    queue = make(name, 1, 8, 0);
    const prodcon_interest both[] = {{.queue = queue, .what = PRODCON_READABLE}, {.token = token}};
    ANSWERS(PRODCON_TIMED_OUT, prodcon_select(both, 2, SECOND / 100, &len));
    prodcon_token_cancel(token);
    CHECK(prodcon_token_is_cancelled(token));
    OK(prodcon_select(both, 2, SECOND, &len));
    prodcon_token_free(token);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
    CHECK(prodcon_worker_attach(name, 0, NULL, &(prodcon_worker *){NULL}) != PRODCON_OK);
    CHECK(can_be_cancelled());
    ++*reached;
    pthread_testcancel();
    CHECK(!"the cancellation was lost");
    return NULL;
}

static void no_call_is_a_cancellation_point(void) {
    size_t reached = 0;
    name = name_of("every");
    CHECK(run(calls_everything, &reached) == PTHREAD_CANCELED);
    CHECK(reached == 4);
}

/* A killed consumer's item is found and taken over by a thread that is to end. */
static void *adopts(void *done) {
    char buffer[8];
    size_t len = 0;
    cancel_this_thread();
    OK(prodcon_queue_get(shared, buffer, sizeof buffer, &len, 20 * SECOND));
    CHECK(len == 4 && memcmp(buffer, "left", 4) == 0);
    *(size_t *)done = 1;
    pthread_testcancel();
    return NULL;
}

static void a_dead_consumers_item_is_taken_over_by_a_cancelled_thread(void) {
    int ready[2];
    char byte = 0;
    size_t done = 0;
    name = name_of("adopted");
    shared = make(name, 2, 8, PRODCON_AT_LEAST_ONCE);
    OK(prodcon_queue_put(shared, "left", 4, 0));
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        const void *item = NULL;
        size_t len = 0;
        OK(prodcon_queue_take(join(name), &item, &len, 0));
        CHECK(write(ready[1], "x", 1) == 1);
        alarm(60);
        for (;;) pause();
    }
    close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    CHECK(run(adopts, &done) == PTHREAD_CANCELED);
    CHECK(done == 1);
    prodcon_queue_close(shared);
    OK(prodcon_queue_unlink(name));
}

static void *waits(void *got) {
    char buffer[8];
    size_t len = 0;
    OK(prodcon_queue_get(shared, buffer, sizeof buffer, &len, -1));
    *(size_t *)got = len;
    pthread_testcancel();
    CHECK(!"the cancellation was lost");
    return NULL;
}

static void until_a_thread_is_inside(void) {
    size_t len = 0;
    for (int round = 0; round < 6000; round++) {
        if (prodcon_queue_len(shared, &len) == PRODCON_INVALID) return;
        usleep(10000);
    }
    CHECK(!"no thread came");
}

static void a_thread_that_waits_is_cancelled_when_its_item_has_come(void) {
    size_t got = 0;
    pthread_t thread;
    name = name_of("waits");
    prodcon_queue *other = make(name, 2, 8, 0);
    shared = join(name);
    CHECK(pthread_create(&thread, NULL, waits, &got) == 0);
    until_a_thread_is_inside();
    CHECK(pthread_cancel(thread) == 0);
    OK(prodcon_queue_put(other, "item", 4, 0));
    CHECK(end_of(thread) == PTHREAD_CANCELED);
    CHECK(got == 4);
    prodcon_queue_close(shared); /* it can be closed: nobody is inside */
    ANSWERS(PRODCON_INVALID, prodcon_queue_put(shared, "x", 1, 0));
    CHECK(figures(other).gets == 1 && figures(other).seats_live == 1);
    prodcon_queue_close(other);
    OK(prodcon_queue_unlink(name));
}

static void *waits_for_the_end(void *unused) {
    char buffer[8];
    size_t len = 0;
    ANSWERS(PRODCON_STOPPED, prodcon_queue_get(shared, buffer, sizeof buffer, &len, -1));
    return unused;
}

static void a_thread_that_waits_is_ended_by_the_state(void) {
    pthread_t thread;
    name = name_of("stops");
    prodcon_queue *other = make(name, 2, 8, 0);
    shared = join(name);
    CHECK(pthread_create(&thread, NULL, waits_for_the_end, NULL) == 0);
    until_a_thread_is_inside();
    OK(prodcon_queue_set_state(other, PRODCON_STOPPED_STATE));
    CHECK(end_of(thread) == NULL);
    prodcon_queue_close(shared);
    prodcon_queue_close(other);
    OK(prodcon_queue_unlink(name));
}

/* What a caller has set stays set, whether the call succeeds or fails. */
static void *sets_its_state(void *unused) {
    prodcon_queue *queue = NULL;
    for (int disabled = 0; disabled < 2; disabled++) {
        CHECK(pthread_setcancelstate(disabled ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE, NULL) == 0);
        ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_attach(name, &queue));
        CHECK(can_be_cancelled() == !disabled);
        queue = make(name, 2, 8, 0);
        CHECK(can_be_cancelled() == !disabled);
        char buffer[8];
        size_t len = 0;
        ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_get(queue, buffer, sizeof buffer, &len, SECOND / 100));
        CHECK(can_be_cancelled() == !disabled);
        prodcon_queue_close(queue);
        OK(prodcon_queue_unlink(name));
        CHECK(can_be_cancelled() == !disabled);
    }
    return unused;
}

static void the_cancellation_state_is_the_callers(void) {
    name = name_of("state");
    CHECK(run(sets_its_state, NULL) == NULL);
}

int main(void) {
    no_call_is_a_cancellation_point();
    a_dead_consumers_item_is_taken_over_by_a_cancelled_thread();
    a_thread_that_waits_is_cancelled_when_its_item_has_come();
    a_thread_that_waits_is_ended_by_the_state();
    the_cancellation_state_is_the_callers();
    return 0;
}
