/* The worker's calls: bad input, threads, forks, settings, messages. Started as `worker_calls --attach NAME text key=value last` with the settings of tests/worker_calls.rs in the environment. */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>

static prodcon_worker *shared;

static void refused(prodcon_worker *worker, const char *why) {
    char buffer[8];
    size_t len = 7;
    bool flag = true;
    int32_t state = 7;
    const void *item = buffer;
    prodcon_worker_settings settings;
    settings.size = sizeof settings;
    settings.flags = 7;
    prodcon_queue *queue = NULL;
    CHECK(prodcon_worker_name(worker) == NULL);
    SAYS(why);
    CHECK(prodcon_worker_argument(worker, 0) == NULL && prodcon_worker_named(worker, "key") == NULL && prodcon_worker_subscriber(worker, 0) == NULL);
    ANSWERS(PRODCON_INVALID, prodcon_worker_get_settings(worker, &settings));
    ANSWERS(PRODCON_INVALID, prodcon_worker_get_state(worker, &state));
    ANSWERS(PRODCON_INVALID, prodcon_worker_is_stopped(worker, &flag));
    ANSWERS(PRODCON_INVALID, prodcon_worker_stop(worker));
    ANSWERS(PRODCON_INVALID, prodcon_worker_sleep(worker, -1));
    ANSWERS(PRODCON_INVALID, prodcon_worker_next(worker));
    ANSWERS(PRODCON_INVALID, prodcon_worker_publish(worker, "x", 1, &len));
    ANSWERS(PRODCON_INVALID, prodcon_worker_take(worker, queue, &item, &len, -1));
    ANSWERS(PRODCON_INVALID, prodcon_worker_send_result(worker, "x", 1));
    ANSWERS(PRODCON_INVALID, prodcon_worker_send_message(worker, "x", 1));
    ANSWERS(PRODCON_INVALID, prodcon_worker_receive(worker, buffer, sizeof buffer, &len, -1));
    SAYS(why);
    CHECK(len == 7 && flag && state == 7 && item == buffer && settings.flags == 7);
}

static void *waits(void *unused) {
    ANSWERS(PRODCON_TIMED_OUT, prodcon_worker_receive(shared, NULL, 0, &(size_t){0}, 2 * SECOND));
    return unused;
}

static void one_thread_at_a_time(prodcon_worker *worker) {
    pthread_t thread;
    bool stopped = false;
    shared = worker;
    CHECK(pthread_create(&thread, NULL, waits, NULL) == 0);
    prodcon_status status = PRODCON_OK;
    for (int round = 0; round < 6000 && status == PRODCON_OK; round++, usleep(1000)) status = prodcon_worker_is_stopped(worker, &stopped);
    ANSWERS(PRODCON_INVALID, status);
    SAYS("another thread");
    prodcon_worker_end(worker, NULL); /* does nothing but say so */
    CHECK(pthread_join(thread, NULL) == 0);
    OK(prodcon_worker_is_stopped(worker, &stopped));
    CHECK(!stopped);
}

static void a_forked_child_is_told_so(prodcon_worker *worker, prodcon_queue *queue) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bool stopped = false;
        const void *item = NULL;
        size_t len = 0;
        ANSWERS(PRODCON_FORKED, prodcon_worker_is_stopped(worker, &stopped));
        ANSWERS(PRODCON_FORKED, prodcon_worker_send_result(worker, "x", 1));
        ANSWERS(PRODCON_FORKED, prodcon_worker_sleep(worker, -1));
        ANSWERS(PRODCON_FORKED, prodcon_worker_take(worker, queue, &item, &len, -1));
        SAYS("worker");
        prodcon_worker_end(worker, "a failure that nobody hears of");
        prodcon_queue_close(queue);
        /* Not _exit: the parent's thread is not here, and valgrind would call what only it refers to lost. */
        execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
    prodcon_worker *worker = NULL;
    prodcon_queue *queue = NULL;
    refused(NULL, "NULL");
    prodcon_worker_end(NULL, NULL);
    ANSWERS(PRODCON_INVALID, prodcon_worker_from_arguments(argc, argv, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_worker_from_arguments(argc, NULL, &worker));
    ANSWERS(PRODCON_INVALID, prodcon_worker_from_arguments(-1, argv, &worker));
    ANSWERS(PRODCON_INVALID, prodcon_worker_from_arguments(1, argv, &worker));
    ANSWERS(PRODCON_INVALID, prodcon_worker_from_arguments(2, argv, &worker));
    SAYS("usage");
    const char *none[] = {NULL}, *bytes[] = {"a\xFF"};
    ANSWERS(PRODCON_INVALID, prodcon_worker_attach(NULL, 0, NULL, &worker));
    ANSWERS(PRODCON_INVALID, prodcon_worker_attach(argv[2], 1, NULL, &worker));
    ANSWERS(PRODCON_INVALID, prodcon_worker_attach(argv[2], -1, none, &worker));
    ANSWERS(PRODCON_INVALID, prodcon_worker_attach(argv[2], 1, none, &worker));
    ANSWERS(PRODCON_INVALID, prodcon_worker_attach(argv[2], 1, bytes, &worker));
    SAYS("UTF-8");
    ANSWERS(PRODCON_INVALID, prodcon_worker_attach(argv[2], 0, NULL, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_worker_attach("a/b", 0, NULL, &worker));
    ANSWERS(PRODCON_NOT_FOUND, prodcon_worker_attach("nobody-made-it", 0, NULL, &worker));
    CHECK(worker == NULL);

    OK(prodcon_worker_from_arguments(argc, argv, &worker));
    CHECK(strcmp(prodcon_worker_name(worker), argv[2]) == 0);
    CHECK(strcmp(prodcon_worker_argument(worker, 0), "text") == 0 && strcmp(prodcon_worker_argument(worker, 2), "last") == 0);
    CHECK(prodcon_worker_argument(worker, 3) == NULL && prodcon_worker_argument(worker, SIZE_MAX) == NULL);
    CHECK(strcmp(prodcon_worker_named(worker, "key"), "value") == 0 && prodcon_worker_named(worker, "ke") == NULL && prodcon_worker_named(worker, "text") == NULL);
    CHECK(prodcon_worker_named(worker, NULL) == NULL && prodcon_worker_named(worker, "\xFF") == NULL);
    CHECK(strcmp(prodcon_worker_subscriber(worker, 0), argv[2]) == 0 && prodcon_worker_subscriber(worker, 1) == NULL);
    prodcon_worker_settings settings;
    settings.size = 0;
    ANSWERS(PRODCON_INVALID, prodcon_worker_get_settings(worker, &settings));
    ANSWERS(PRODCON_INVALID, prodcon_worker_get_settings(worker, NULL));
    settings.size = sizeof settings;
    OK(prodcon_worker_get_settings(worker, &settings));
    CHECK(settings.size == sizeof settings && settings.flags == PRODCON_WORKER_SKIP_FULL);
    CHECK(settings.work_timeout_ns == 250000000 && settings.max_buffer_size == 7 && settings.subscribers == 1);
    int32_t state = 0;
    OK(prodcon_worker_get_state(worker, &state));
    CHECK(state == PRODCON_STARTED);
    ANSWERS(PRODCON_INVALID, prodcon_worker_get_state(worker, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_worker_is_stopped(worker, NULL));
    OK(prodcon_worker_sleep(worker, SECOND / 100));
    OK(prodcon_worker_sleep(worker, 0));
    OK(prodcon_worker_next(worker));

    /* what it publishes comes back through its own queue, which it subscribed for this test */
    size_t reached = 0, len = 0;
    const void *item = NULL;
    OK(prodcon_queue_attach(prodcon_worker_name(worker), &queue));
    OK(prodcon_worker_publish(worker, "item", 4, &reached));
    CHECK(reached == 1);
    OK(prodcon_worker_publish(worker, "", 0, NULL));
    OK(prodcon_worker_publish(worker, NULL, 0, &reached));
    CHECK(reached == 0); /* full, and left out */
    ANSWERS(PRODCON_INVALID, prodcon_worker_publish(worker, NULL, 1, &reached));
    ANSWERS(PRODCON_TOO_LARGE, prodcon_worker_publish(worker, "123456789", 9, &reached));
    ANSWERS(PRODCON_INVALID, prodcon_worker_take(worker, queue, NULL, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_worker_take(worker, queue, &item, NULL, 0));
    ANSWERS(PRODCON_INVALID, prodcon_worker_take(worker, NULL, &item, &len, 0));
    SAYS("queue");
    OK(prodcon_worker_take(worker, queue, &item, &len, LONG));
    CHECK(len == 4 && memcmp(item, "item", 4) == 0);
    ANSWERS(PRODCON_INVALID, prodcon_worker_take(worker, queue, &item, &len, 0));
    OK(prodcon_queue_ack(queue));
    OK(prodcon_worker_take(worker, queue, &item, &len, 0));
    CHECK(len == 0);
    OK(prodcon_queue_ack(queue));
    ANSWERS(PRODCON_EMPTY, prodcon_worker_take(worker, queue, &item, &len, 0));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_worker_take(worker, queue, &item, &len, SECOND / 5));
    SAYS("time");

    /* nobody controls it: there are rings for messages only because the test made them */
    char buffer[16];
    ANSWERS(PRODCON_EMPTY, prodcon_worker_receive(worker, buffer, sizeof buffer, &len, 0));
    SAYS(argv[2]);
    ANSWERS(PRODCON_TIMED_OUT, prodcon_worker_receive(worker, buffer, sizeof buffer, &len, SECOND / 100));
    ANSWERS(PRODCON_INVALID, prodcon_worker_receive(worker, NULL, 1, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_worker_receive(worker, buffer, 1, NULL, 0));
    char name[256];
    prodcon_queue *in = NULL, *out = NULL, *results = NULL;
    snprintf(name, sizeof name, "%s.in", argv[2]);
    in = make(name, 4, 16, 0);
    snprintf(name, sizeof name, "%s.out", argv[2]);
    out = make(name, 2, 16, 0);
    snprintf(name, sizeof name, "%s.results", argv[2]);
    results = make(name, 2, 16, 0);
    OK(prodcon_queue_put(in, "a message", 9, 0));
    OK(prodcon_queue_put(in, "", 0, 0));
    ANSWERS(PRODCON_TOO_LARGE, prodcon_worker_receive(worker, buffer, 4, &len, LONG));
    CHECK(len == 9);
    OK(prodcon_worker_receive(worker, buffer, sizeof buffer, &len, 0));
    CHECK(len == 9 && memcmp(buffer, "a message", 9) == 0);
    OK(prodcon_worker_receive(worker, NULL, 0, &len, -1));
    CHECK(len == 0);
    OK(prodcon_worker_send_message(worker, "an answer", 9));
    OK(prodcon_queue_get(out, buffer, sizeof buffer, &len, 0));
    CHECK(len == 9 && memcmp(buffer, "an answer", 9) == 0);
    ANSWERS(PRODCON_INVALID, prodcon_worker_send_message(worker, NULL, 1));
    ANSWERS(PRODCON_TOO_LARGE, prodcon_worker_send_result(worker, name, 17));
    ANSWERS(PRODCON_TOO_LARGE, prodcon_worker_send_result(worker, name, SIZE_MAX));
    for (char result = 'a'; result < 'e'; result++) OK(prodcon_worker_send_result(worker, &result, 1)); /* nobody reads: the oldest are dropped */
    OK(prodcon_queue_get(results, buffer, sizeof buffer, &len, 0));
    CHECK(len == 1 && buffer[0] == 'c');

    one_thread_at_a_time(worker);
    a_forked_child_is_told_so(worker, queue);

    OK(prodcon_worker_stop(worker));
    OK(prodcon_worker_stop(worker));
    bool stopped = false;
    OK(prodcon_worker_is_stopped(worker, &stopped));
    CHECK(stopped);
    ANSWERS(PRODCON_STOPPED, prodcon_worker_next(worker));
    ANSWERS(PRODCON_STOPPED, prodcon_worker_sleep(worker, -1));
    ANSWERS(PRODCON_STOPPED, prodcon_worker_take(worker, queue, &item, &len, -1));
    ANSWERS(PRODCON_STOPPED, prodcon_worker_receive(worker, buffer, sizeof buffer, &len, -1));
    SAYS("stopped");
    prodcon_worker_end(worker, NULL);
    refused(worker, "closed");
    prodcon_worker_end(worker, NULL);
    SAYS("closed");
    ANSWERS(PRODCON_INVALID, prodcon_queue_put((prodcon_queue *)(void *)worker, "x", 1, 0)); /* one kind of handle is not the other */
    refused((prodcon_worker *)(void *)queue, "no handle of a worker");
    worker = NULL;
    ANSWERS(PRODCON_STOPPED, prodcon_worker_from_arguments(argc, argv, &worker)); /* stopped workers are not worked for */
    CHECK(worker == NULL);
    prodcon_queue_close(in);
    prodcon_queue_close(out);
    prodcon_queue_close(results);
    prodcon_queue_close(queue);
    return 0;
}
