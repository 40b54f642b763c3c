/* Waiting in descriptors, and looking at items that stay where they are. */
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

static bool readable(prodcon_fd *fd, int timeout_ms) {
    struct pollfd polled = {.events = POLLIN};
    OK(prodcon_fd_number(fd, &polled.fd));
    int count;
    do count = poll(&polled, 1, timeout_ms);
    while (count < 0 && errno == EINTR);
    CHECK(count >= 0);
    return count == 1;
}

static bool armed(prodcon_fd *fd) {
    bool ready = false;
    OK(prodcon_fd_arm(fd, &ready));
    return !ready;
}

static void a_descriptor_becomes_readable_once_it_is_armed(void) {
    const char *name = name_of("ready");
    prodcon_queue *queue = make(name, 1, 8, 0), *producer = join(name);
    prodcon_fd *items = NULL, *space = NULL;
    char buffer[8];
    size_t len = 0;
    OK(prodcon_queue_ready_fd(queue, PRODCON_READABLE, &items));
    OK(prodcon_queue_ready_fd(producer, PRODCON_WRITABLE, &space));
    CHECK(!armed(space) && armed(items));
    OK(prodcon_queue_put(producer, "a", 1, 0));
    CHECK(readable(items, 30000) && armed(space));
    OK(prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
    CHECK(readable(space, 30000) && armed(items) && !readable(items, 20));
    prodcon_queue_close(queue); /* the descriptor outlives it */
    OK(prodcon_queue_put(producer, "b", 1, 0));
    CHECK(readable(items, 30000) && !armed(items));
    prodcon_fd_close(items);
    OK(prodcon_queue_get(producer, buffer, sizeof buffer, &len, 0));
    OK(prodcon_queue_unlink(name));
    bool ready = true;
    OK(prodcon_queue_ready_fd(producer, PRODCON_READABLE, &items));
    ANSWERS(PRODCON_NOT_FOUND, prodcon_fd_arm(items, &ready));
    prodcon_fd_close(items);
    prodcon_fd_close(space);
    prodcon_fd_close(NULL);
    prodcon_queue_close(producer);
}

static void what_makes_no_sense_is_refused(void) {
    const char *name = name_of("refused");
    prodcon_queue *queue = make(name, 2, 8, 0);
    prodcon_fd *fd = NULL;
    bool ready = true;
    int number = 7;
    ANSWERS(PRODCON_INVALID, prodcon_queue_ready_fd(queue, 0, &fd));
    SAYS("PRODCON_READABLE");
    ANSWERS(PRODCON_INVALID, prodcon_queue_ready_fd(queue, PRODCON_READABLE, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_queue_ready_fd(NULL, PRODCON_READABLE, &fd));
    ANSWERS(PRODCON_INVALID, prodcon_fd_arm(NULL, &ready));
    ANSWERS(PRODCON_INVALID, prodcon_fd_number(NULL, &number));
    CHECK(fd == NULL && ready && number == 7);
    OK(prodcon_queue_ready_fd(queue, PRODCON_READABLE, &fd));
    ANSWERS(PRODCON_INVALID, prodcon_fd_arm(fd, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_fd_number(fd, NULL));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        ANSWERS(PRODCON_FORKED, prodcon_fd_arm(fd, &ready));
        prodcon_fd_close(fd);
        /* Not _exit: the parent's thread is not here, and valgrind would call what only it refers to lost. */
        execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(armed(fd));
    OK(prodcon_queue_put(queue, "a", 1, 0));
    CHECK(readable(fd, 30000));
    prodcon_fd_close(fd);
    ANSWERS(PRODCON_INVALID, prodcon_fd_arm(fd, &ready));
    SAYS("closed");
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void the_ends_of_a_queue_can_be_seen(void) {
    const char *name = name_of("latest");
    prodcon_queue *queue = make(name, 2, 8, PRODCON_LOSSY);
    prodcon_item_id id = {.size = sizeof id}, taken = {.size = sizeof taken};
    char buffer[8] = "-";
    const void *item = NULL;
    size_t len = 99;
    ANSWERS(PRODCON_EMPTY, prodcon_queue_latest(queue, buffer, sizeof buffer, &len, &id));
    ANSWERS(PRODCON_EMPTY, prodcon_queue_peek(queue, buffer, sizeof buffer, &len, NULL));
    CHECK(len == 99 && buffer[0] == '-');
    for (int number = 0; number < 5; number++) OK(prodcon_queue_put(queue, &"0123456"[number], 7 - (size_t)number, 0));
    OK(prodcon_queue_latest(queue, buffer, sizeof buffer, &len, NULL));
    CHECK(len == 3 && memcmp(buffer, "456", 3) == 0);
    prodcon_item_id wrong = {.size = 4};
    memset(buffer, '-', sizeof buffer);
    len = 77;
    ANSWERS(PRODCON_INVALID, prodcon_queue_latest(queue, buffer, sizeof buffer, &len, &wrong));
    CHECK(buffer[0] == '-' && len == 77); /* outputs are written on success only */
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_peek(queue, buffer, 3, &len, &id));
    CHECK(len == 4);
    OK(prodcon_queue_peek(queue, buffer, sizeof buffer, &len, &id));
    CHECK(len == 4 && memcmp(buffer, "3456", 4) == 0 && id.sequence == 3);
    OK(prodcon_queue_take(queue, &item, &len, 0));
    OK(prodcon_queue_item_id(queue, 0, &taken));
    CHECK(memcmp(&id, &taken, sizeof id) == 0);
    OK(prodcon_queue_peek(queue, buffer, sizeof buffer, &len, &id)); /* with an item in hand */
    CHECK(len == 3 && id.sequence == 4);
    OK(prodcon_queue_ack(queue));
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

int main(void) {
    a_descriptor_becomes_readable_once_it_is_armed();
    what_makes_no_sense_is_refused();
    the_ends_of_a_queue_can_be_seen();
    return 0;
}
