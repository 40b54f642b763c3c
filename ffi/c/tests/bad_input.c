/* Whatever can be detected is answered, and nothing crashes: NULL, closed handles, names, sizes, files that are no queues, used-up descriptors. */
#include "check.h"

#include <fcntl.h>
#include <sys/resource.h>

static prodcon_queue *nothing(void) { return NULL; }

/* Every function on a handle that is not open. */
static void refused(prodcon_queue *queue, const char *why) {
    char buffer[8];
    size_t len = 7;
    bool flag = true;
    int32_t state = 7;
    uint32_t a = 7, b = 7;
    void *block = buffer;
    const void *item = buffer;
    prodcon_stats stats;
    prodcon_item_id id;
    stats.size = sizeof stats;
    stats.capacity = 7;
    id.size = sizeof id;
    ANSWERS(PRODCON_INVALID, prodcon_queue_put(queue, "x", 1, -1));
    SAYS(why);
    ANSWERS(PRODCON_INVALID, prodcon_queue_put_many(queue, "x", 1, 1, &len, -1));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get(queue, buffer, sizeof buffer, &len, -1));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get_many(queue, buffer, 1, 1, NULL, &len, -1));
    ANSWERS(PRODCON_INVALID, prodcon_queue_reserve(queue, 1, &block));
    ANSWERS(PRODCON_INVALID, prodcon_queue_commit(queue, 1, -1));
    ANSWERS(PRODCON_INVALID, prodcon_queue_cancel(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take(queue, &item, &len, -1));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take_slice(queue, &item, &len, -1));
    ANSWERS(PRODCON_INVALID, prodcon_queue_ack(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_drop(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_id(queue, 0, &id));
    ANSWERS(PRODCON_INVALID, prodcon_queue_delivery_count(queue, &a));
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_size(queue, &len));
    ANSWERS(PRODCON_INVALID, prodcon_queue_nack(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_ready(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_not_ready(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_clear(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_is_ready(queue, &flag));
    ANSWERS(PRODCON_INVALID, prodcon_queue_wait_ready(queue, -1));
    ANSWERS(PRODCON_INVALID, prodcon_queue_len(queue, &len));
    ANSWERS(PRODCON_INVALID, prodcon_queue_capacity(queue, &len));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get_state(queue, &state));
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_state(queue, PRODCON_STARTED));
    ANSWERS(PRODCON_INVALID, prodcon_queue_wait_state(queue, PRODCON_STARTED, -1));
    ANSWERS(PRODCON_INVALID, prodcon_queue_stats(queue, &stats));
    ANSWERS(PRODCON_INVALID, prodcon_queue_recover(queue, &a, &b));
    SAYS(why);
    CHECK(len == 7 && flag && state == 7 && a == 7 && b == 7 && block == buffer && item == buffer && stats.capacity == 7);
}

static void null_is_answered_everywhere(void) {
    const char *name = name_of("null");
    prodcon_options options = {.size = sizeof options, .capacity = 2, .item_size = 8};
    prodcon_queue *queue = nothing();
    char buffer[8];
    size_t len = 7;
    const void *item = NULL;
    uint32_t a = 7;
    refused(nothing(), "NULL");
    ANSWERS(PRODCON_INVALID, prodcon_queue_create(NULL, &options, &queue));
    SAYS("name");
    ANSWERS(PRODCON_INVALID, prodcon_queue_create(name, NULL, &queue));
    SAYS("options");
    ANSWERS(PRODCON_INVALID, prodcon_queue_create(name, &options, NULL));
    SAYS("'out'");
    ANSWERS(PRODCON_INVALID, prodcon_queue_attach(NULL, &queue));
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_attach(name, &queue)); /* the create without a place for the handle made none */
    SAYS(name);
    CHECK(queue == NULL);
    ANSWERS(PRODCON_INVALID, prodcon_queue_unlink(NULL));
    queue = make(name, 2, 8, 0);
    ANSWERS(PRODCON_INVALID, prodcon_queue_attach(name, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_queue_attach_with(name, NULL, &queue));
    SAYS("attach_options");
    ANSWERS(PRODCON_INVALID, prodcon_queue_create_or_attach(name, NULL, &queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_unlink_in(NULL, name));
    SAYS("directory");
    CHECK(figures(queue).seats_live == 1);
    ANSWERS(PRODCON_INVALID, prodcon_queue_put(queue, NULL, 1, 0));
    SAYS("'data'");
    ANSWERS(PRODCON_INVALID, prodcon_queue_put_many(queue, NULL, 1, 1, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_put_many(queue, "x", 1, 1, NULL, 0));
    OK(prodcon_queue_put(queue, "x", 1, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get(queue, NULL, 1, &len, 0));
    SAYS("'buffer'");
    ANSWERS(PRODCON_INVALID, prodcon_queue_get(queue, buffer, 8, NULL, 0));
    SAYS("'len'");
    ANSWERS(PRODCON_INVALID, prodcon_queue_get_many(queue, NULL, 1, 1, NULL, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get_many(queue, buffer, 1, 1, NULL, NULL, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take(queue, NULL, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take(queue, &item, NULL, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take_slice(queue, NULL, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take_slice(queue, &item, NULL, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_reserve(queue, 1, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_size(queue, NULL));
    OK(prodcon_queue_put(queue, "y", 1, 0)); /* nothing was reserved by that */
    ANSWERS(PRODCON_INVALID, prodcon_queue_is_ready(queue, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_queue_len(queue, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_queue_capacity(queue, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get_state(queue, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_queue_stats(queue, NULL));
    ANSWERS(PRODCON_INVALID, prodcon_queue_recover(queue, NULL, &a));
    ANSWERS(PRODCON_INVALID, prodcon_queue_recover(queue, &a, NULL));
    prodcon_stats stats = figures(queue);
    CHECK(stats.len == 2 && stats.held == 0 && len == 7 && a == 7);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void closed_handles_and_strange_pointers_are_refused(void) {
    const char *name = name_of("closed");
    prodcon_queue *queue = make(name, 2, 8, 0), *stale[40];
    prodcon_queue_close(queue);
    refused(queue, "closed");
    prodcon_queue_close(queue);
    for (int round = 0; round < 40; round++) {
        stale[round] = join(name);
        prodcon_queue_close(stale[round]);
    }
    for (int round = 0; round < 40; round++) refused(stale[round], "closed"); /* 8 seats: each close gave its own back */
    for (int round = 0; round < 200; round++) prodcon_queue_close(join(name));
    static _Alignas(64) unsigned char memory[4096];
    refused((prodcon_queue *)(void *)memory, "no handle");
    refused((prodcon_queue *)(void *)(memory + 1), "no handle");
    memset(memory, 0xFF, sizeof memory);
    refused((prodcon_queue *)(void *)memory, "no handle");
    prodcon_queue_close((prodcon_queue *)(void *)memory);
    SAYS("no handle");
    OK(prodcon_queue_unlink(name));
}

static void bad_names_are_refused(void) {
    const char *names[] = {"", ".", "..", "-x", ".x", "a/b", "a b", "../x", "a\xFF\xFE", "\xC3\x28", "\xC3\xA9", "a\nb", "\x01"};
    prodcon_options options = {.size = sizeof options, .capacity = 2, .item_size = 8};
    char longest[201], longer[202];
    prodcon_queue *queue = NULL;
    for (size_t each = 0; each < sizeof names / sizeof names[0]; each++) {
        ANSWERS(PRODCON_INVALID, prodcon_queue_create(names[each], &options, &queue));
        SAYS("name");
        ANSWERS(PRODCON_INVALID, prodcon_queue_attach(names[each], &queue));
        ANSWERS(PRODCON_INVALID, prodcon_queue_unlink(names[each]));
    }
    ANSWERS(PRODCON_INVALID, prodcon_queue_attach("a\xFF", &queue));
    SAYS("UTF-8");
    memset(longer, 'n', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    ANSWERS(PRODCON_INVALID, prodcon_queue_create(longer, &options, &queue));
    CHECK(queue == NULL);
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    OK(prodcon_queue_create(longest, &options, &queue));
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(longest));
}

static void bad_numbers_are_refused(void) {
    const char *name = name_of("numbers");
    const prodcon_options bad[] = {
        {.size = 0, .capacity = 2, .item_size = 8},
        {.size = 3, .capacity = 2, .item_size = 8},
        {.size = UINT32_MAX, .capacity = 2, .item_size = 8},
        {.size = sizeof bad[0], .item_size = 8},
        {.size = 4, .capacity = 2, .item_size = 8}, /* no capacity told */
        {.size = sizeof bad[0], .capacity = 2},
        {.size = sizeof bad[0], .capacity = UINT32_MAX, .item_size = UINT32_MAX},
        {.size = sizeof bad[0], .capacity = 1 << 20, .item_size = 8},
        {.size = sizeof bad[0], .capacity = 2, .item_size = 8, .seats = 1024},
        {.size = sizeof bad[0], .capacity = 2, .item_size = 8, .seats = UINT32_MAX},
        {.size = sizeof bad[0], .capacity = 2, .item_size = 8, .flags = 16},
        {.size = sizeof bad[0], .capacity = 2, .item_size = 8, .flags = UINT32_MAX},
    };
    prodcon_queue *queue = NULL;
    for (size_t each = 0; each < sizeof bad / sizeof bad[0]; each++) {
        prodcon_status status = prodcon_queue_create(name, &bad[each], &queue);
        if (status != PRODCON_INVALID) fprintf(stderr, "options %zu: %s\n", each, prodcon_last_error());
        CHECK(status == PRODCON_INVALID && queue == NULL);
    }
    queue = make(name, 2, 8, 0);
    static char data[16];
    size_t len = 7;
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_put(queue, data, 9, 0));
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_put(queue, data, SIZE_MAX, 0));
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_put_many(queue, data, 9, 1, &len, 0));
    CHECK(len == 0);
    len = 7;
    ANSWERS(PRODCON_INVALID, prodcon_queue_put_many(queue, data, 8, SIZE_MAX / 8 + 2, &len, 0));
    SAYS("memory");
    ANSWERS(PRODCON_INVALID, prodcon_queue_get_many(queue, data, 8, SIZE_MAX / 8, NULL, &len, 0));
    CHECK(len == 7);
    void *block = NULL;
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_reserve(queue, SIZE_MAX, &block));
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_state(queue, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_state(queue, 4));
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_state(queue, INT32_MIN));
    SAYS("no state");
    ANSWERS(PRODCON_INVALID, prodcon_queue_wait_state(queue, 99, -1));
    prodcon_stats stats;
    memset(&stats, 0xA5, sizeof stats);
    const uint32_t sizes[] = {0, 1, 7, 65537, UINT32_MAX};
    for (int each = 0; each < 5; each++) {
        stats.size = sizes[each];
        ANSWERS(PRODCON_INVALID, prodcon_queue_stats(queue, &stats));
        SAYS("size");
        CHECK(stats.capacity == 0xA5A5A5A5);
    }
    ANSWERS(PRODCON_EMPTY, prodcon_queue_get(queue, data, sizeof data, &len, 0));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_wait_state(queue, PRODCON_STOPPED_STATE, 1));
    OK(prodcon_queue_wait_state(queue, PRODCON_STARTED, INT64_MAX)); /* further away than the clock reaches */
    OK(prodcon_queue_wait_ready(queue, INT64_MIN));
    OK(prodcon_queue_put(queue, data, 1, INT64_MAX));
    OK(prodcon_queue_get(queue, data, sizeof data, &len, INT64_MIN));
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void files_that_are_no_queues_are_refused(void) {
    const char *name = name_of("file");
    char path[4096];
    snprintf(path, sizeof path, "%s/prodcon.%s", getenv("PRODCON_DIR"), name);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(file >= 0);
    prodcon_queue *queue = NULL;
    ANSWERS(PRODCON_CORRUPT, prodcon_queue_attach(name, &queue)); /* empty */
    char junk[8192];
    memset(junk, 'j', sizeof junk);
    CHECK(write(file, junk, sizeof junk) == (ssize_t)sizeof junk);
    ANSWERS(PRODCON_CORRUPT, prodcon_queue_attach(name, &queue));
    SAYS(name);
    CHECK(queue == NULL && close(file) == 0 && unlink(path) == 0);
}

static void used_up_descriptors_are_an_error(void) {
    const char *name = name_of("descriptors");
    prodcon_queue *queue = make(name, 2, 8, 0), *other = NULL;
    struct rlimit old, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    none = old;
    none.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    prodcon_status status = prodcon_queue_attach(name, &other);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    ANSWERS(PRODCON_OS, status);
    SAYS(name);
    CHECK(other == NULL);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void a_removed_queue_is_noticed_by_its_sleepers(void) {
    const char *name = name_of("removed");
    prodcon_queue *queue = make(name, 2, 8, 0);
    char buffer[8];
    size_t len = 0;
    OK(prodcon_queue_unlink(name));
    OK(prodcon_queue_put(queue, "x", 1, 0)); /* the memory is still there */
    OK(prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_get(queue, buffer, sizeof buffer, &len, -1));
    SAYS("removed");
    prodcon_queue_close(queue);
}

int main(void) {
    null_is_answered_everywhere();
    closed_handles_and_strange_pointers_are_refused();
    bad_names_are_refused();
    bad_numbers_are_refused();
    files_that_are_no_queues_are_refused();
    used_up_descriptors_are_an_error();
    a_removed_queue_is_noticed_by_its_sleepers();
    return 0;
}
