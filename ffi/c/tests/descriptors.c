/* A program that was started without standard streams does not print into its queues. */
#include "check.h"

#include <errno.h>
#include <sys/wait.h>

/* Runs in a child: 0 if nothing it printed came into a queue. */
static int chatters_without(int first, int last) {
    prodcon_queue *made = NULL, *second = NULL, *third = NULL;
    char buffer[16];
    size_t len = 0;
    prodcon_options options = {.size = sizeof options, .capacity = 16, .item_size = 16, .seats = 8};
    for (int number = first; number <= last; number++) close(number);
    if (prodcon_queue_create("chatter", &options, &made) || prodcon_queue_attach("chatter", &second) ||
        prodcon_queue_attach("there", &third))
        return 2;
    for (int item = 0; item < 5; item++)
        if (prodcon_queue_put(made, "precious", 8, 0)) return 3;
    for (int frame = 0; frame < 3; frame++) {
        printf("frame %d acquired by the instrument, temperature 293.1 K\n", frame);
        fflush(stdout);
        errno = EAGAIN;
        perror("camera: retry");
    }
    for (int number = first; number <= last; number++)
        if (write(number, "progress", 8) >= 0) return 4;
    for (int item = 0; item < 5; item++)
        if (prodcon_queue_get(second, buffer, sizeof buffer, &len, 0) || len != 8 || memcmp(buffer, "precious", 8)) return 5;
    prodcon_queue_close(made);
    if (prodcon_queue_attach("chatter", &made)) return 6; /* the header is whole */
    if (prodcon_queue_put(third, "x", 1, 0)) return 7;
    prodcon_queue_close(made);
    prodcon_queue_close(second);
    prodcon_queue_close(third);
    return prodcon_queue_unlink("chatter");
}

/* Not the caller's: its children have no use for it, but they know where it is. */
static prodcon_queue *there;

static void no_standard_stream_becomes_a_queue(void) {
    static const int closed[4][2] = {{0, 0}, {1, 1}, {2, 2}, {0, 2}};
    there = make("there", 16, 16, 0);
    for (int round = 0; round < 4; round++) {
        int status = 0;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) _exit(chatters_without(closed[round][0], closed[round][1]));
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        char buffer[16];
        size_t len = 0;
        OK(prodcon_queue_get(there, buffer, sizeof buffer, &len, 0));
        CHECK(len == 1 && buffer[0] == 'x');
    }
    prodcon_queue_close(there);
    OK(prodcon_queue_unlink("there"));
}

static void a_removed_queue_can_be_told(void) {
    const char *name = name_of("removed");
    prodcon_queue *queue = make(name, 2, 8, PRODCON_LOSSY);
    bool removed = true;
    OK(prodcon_queue_is_removed(queue, &removed));
    CHECK(!removed);
    OK(prodcon_queue_unlink(name));
    OK(prodcon_queue_is_removed(queue, &removed));
    CHECK(removed);
    ANSWERS(PRODCON_INVALID, prodcon_queue_is_removed(queue, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_queue_is_removed(NULL, &removed));
    /* A put that never waits hears of it too. */
    prodcon_status status = PRODCON_OK;
    for (int round = 0; round < 20000 && status == PRODCON_OK; round++) {
        status = prodcon_queue_put(queue, "x", 1, 0);
        if (round % 100 == 99) usleep(1000);
    }
    ANSWERS(PRODCON_NOT_FOUND, status);
    prodcon_queue_close(queue);
}

int main(void) {
    no_standard_stream_becomes_a_queue();
    a_removed_queue_can_be_told();
    return 0;
}
