/* Waits that a token ends, waits for several queues, and for a queue that is not there yet. */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

static prodcon_token *token;

static void cancel_in_handler(int number) {
    (void)number;
    prodcon_token_cancel(token);
}

static void sleep_ms(long ms) {
    struct timespec time = {.tv_nsec = ms * 1000000};
    nanosleep(&time, NULL);
}

static prodcon_queue *with_token(const char *name) {
    prodcon_attach_options how = {.size = sizeof how, .cancel = token};
    prodcon_queue *queue = NULL;
    OK(prodcon_queue_attach_with(name, &how, &queue));
    return queue;
}

static void *waits_for_an_item(void *name) {
    prodcon_queue *queue = with_token(name);
    uint64_t item;
    size_t len;
    ANSWERS(PRODCON_CANCELLED, prodcon_queue_get(queue, &item, sizeof item, &len, -1));
    SAYS("cancelled");
    prodcon_queue_close(queue);
    return NULL;
}

static void a_token_ends_waits_in_a_thread_and_from_a_handler(void) {
    const char *name = name_of("token");
    prodcon_queue *queue = make(name, 1, 8, 0);
    token = prodcon_token_new();
    CHECK(token != NULL && !prodcon_token_is_cancelled(token));
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = cancel_in_handler;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, waits_for_an_item, (void *)(uintptr_t)name) == 0);
    sleep_ms(5);
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(prodcon_token_is_cancelled(token));

    /* every call that waits; what need not wait works, and the token may be freed */
    prodcon_queue *other = with_token(name);
    prodcon_token_free(token);
    const void *data = NULL;
    void *place = NULL;
    size_t len = 0, many = 0, which = 9;
    uint64_t item = 7;
    ANSWERS(PRODCON_CANCELLED, prodcon_queue_take(other, &data, &len, LONG));
    ANSWERS(PRODCON_CANCELLED, prodcon_queue_get_many(other, &item, 8, 1, NULL, &many, LONG));
    ANSWERS(PRODCON_CANCELLED, prodcon_queue_wait_state(other, PRODCON_STOPPED_STATE, LONG));
    prodcon_interest readable = {.queue = other, .what = PRODCON_READABLE};
    ANSWERS(PRODCON_CANCELLED, prodcon_select(&readable, 1, LONG, &which));
    ANSWERS(PRODCON_EMPTY, prodcon_queue_get(other, &item, sizeof item, &len, 0));
    OK(prodcon_queue_put(other, &item, sizeof item, LONG));
    ANSWERS(PRODCON_CANCELLED, prodcon_queue_put(other, &item, sizeof item, LONG));
    ANSWERS(PRODCON_CANCELLED, prodcon_queue_put_many(other, &item, 8, 1, &many, LONG));
    OK(prodcon_queue_reserve(other, 8, &place));
    ANSWERS(PRODCON_CANCELLED, prodcon_queue_commit(other, 8, LONG));
    OK(prodcon_queue_cancel(other));
    OK(prodcon_select(&readable, 1, LONG, &which));
    CHECK(which == 0);
    prodcon_queue_close(other);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
    prodcon_token_free(NULL);
    prodcon_token_cancel(NULL);
    CHECK(!prodcon_token_is_cancelled(NULL));
}

static void a_select_says_which_queue_is_ready(void) {
    const char *one = name_of("one"), *two = name_of("two");
    prodcon_queue *first = make(one, 1, 8, 0), *second = make(two, 1, 8, 0);
    prodcon_token *stop = prodcon_token_new();
    prodcon_interest all[] = {
        {.token = stop},
        {.queue = first, .what = PRODCON_READABLE},
        {.queue = second, .what = PRODCON_READABLE},
        {.queue = first, .what = PRODCON_READABLE},
    };
    size_t which = 9;
    ANSWERS(PRODCON_TIMED_OUT, prodcon_select(all, 4, 0, &which));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_select(all, 4, SECOND / 100, &which));
    CHECK(which == 9);
    OK(prodcon_queue_put(second, "seven", 5, 0));
    OK(prodcon_select(all, 4, LONG, &which));
    CHECK(which == 2);
    all[2].what = PRODCON_WRITABLE;
    ANSWERS(PRODCON_TIMED_OUT, prodcon_select(all, 4, 0, &which));
    prodcon_token_cancel(stop);
    OK(prodcon_select(all, 4, LONG, &which));
    CHECK(which == 0);

    /* what makes no sense */
    ANSWERS(PRODCON_INVALID, prodcon_select(all, 4, LONG, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_select(NULL, 4, LONG, &which));
    ANSWERS(PRODCON_INVALID, prodcon_select(NULL, 0, -1, &which));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_select(NULL, 0, 1, &which));
    ANSWERS(PRODCON_INVALID, prodcon_select(all, 128, LONG, &which));
    SAYS("127");
    const prodcon_interest bad[] = {
        {.queue = NULL},
        {.queue = first},
        {.queue = first, .what = 3},
        {.queue = first, .token = stop, .what = PRODCON_READABLE},
        {.token = stop, .what = PRODCON_READABLE},
        {.queue = first, .what = PRODCON_READABLE, .reserved = 1},
    };
    for (size_t each = 0; each < sizeof bad / sizeof bad[0]; each++) {
        ANSWERS(PRODCON_INVALID, prodcon_select(&bad[each], 1, LONG, &which));
        SAYS("interest 0");
    }
    prodcon_token_free(stop);
    prodcon_queue_close(first);
    ANSWERS(PRODCON_INVALID, prodcon_select(all + 1, 1, LONG, &which)); /* closed */
    prodcon_queue_close(second);
    OK(prodcon_queue_unlink(one));
    OK(prodcon_queue_unlink(two));
}

static void *creates(void *name) {
    sleep_ms(5);
    return make(name, 1, 8, 0);
}

static void an_attach_waits_for_the_queue(void) {
    const char *name = name_of("later");
    prodcon_attach_options how = {.size = sizeof how, .wait_for_queue_ns = SECOND / 100};
    prodcon_queue *queue = NULL;
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_attach_with(name, &how, &queue));
    SAYS(name);
    how.directory = "/nowhere/at/all";
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_attach_with(name, &how, &queue));
    how = (prodcon_attach_options){.size = sizeof how, .wait_for_queue_ns = -1};
    pthread_t thread;
    void *made = NULL;
    CHECK(pthread_create(&thread, NULL, creates, (void *)(uintptr_t)name) == 0);
    OK(prodcon_queue_attach_with(name, &how, &queue));
    CHECK(pthread_join(thread, &made) == 0);
    prodcon_queue_close(made);
    prodcon_queue_close(queue);
    how.cancel = prodcon_token_new();
    prodcon_token_cancel(how.cancel);
    OK(prodcon_queue_unlink(name));
    ANSWERS(PRODCON_CANCELLED, prodcon_queue_attach_with(name, &how, &queue));
    prodcon_token_free((prodcon_token *)(uintptr_t)how.cancel);
}

int main(void) {
    a_token_ends_waits_in_a_thread_and_from_a_handler();
    a_select_says_which_queue_is_ready();
    an_attach_waits_for_the_queue();
    return 0;
}
