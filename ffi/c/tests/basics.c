/* Creating, attaching, putting, getting, the gate, the state, the figures. */
#include "check.h"

static void an_item_put_is_got(void) {
    const char *name = name_of("basic");
    prodcon_queue *producer = make(name, 4, 16, 0), *consumer = join(name);
    char buffer[16];
    size_t len = 99;
    OK(prodcon_queue_put(producer, "hello", 5, 0));
    OK(prodcon_queue_put(producer, "12345678", 8, LONG));
    OK(prodcon_queue_put(producer, NULL, 0, -1));
    OK(prodcon_queue_get(consumer, buffer, sizeof buffer, &len, 0));
    CHECK(len == 5 && memcmp(buffer, "hello", 5) == 0);
    OK(prodcon_queue_get(consumer, buffer, sizeof buffer, &len, LONG));
    CHECK(len == 8 && memcmp(buffer, "12345678", 8) == 0);
    OK(prodcon_queue_get(consumer, NULL, 0, &len, -1));
    CHECK(len == 0);
    prodcon_stats stats = figures(consumer);
    CHECK(stats.puts == 3 && stats.gets == 3 && stats.len == 0 && stats.capacity == 4 && stats.item_size == 16 && stats.seats == 8 && stats.seats_live == 2);
    CHECK(stats.flags == 0 && stats.state == PRODCON_STARTED && stats.ready == 1 && stats.reserved == 0 && stats.held == 0 && stats.seats_dead == 0);
    prodcon_queue_close(producer);
    CHECK(figures(consumer).seats_live == 1);
    OK(prodcon_queue_unlink(name));
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_unlink(name));
    SAYS(name);
    prodcon_queue_close(consumer);
    prodcon_queue_close(NULL);
}

static void timeouts_are_full_empty_and_timed_out(void) {
    const char *name = name_of("timeouts");
    prodcon_queue *queue = make(name, 1, 8, 0);
    char buffer[8];
    size_t len = 99;
    ANSWERS(PRODCON_EMPTY, prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
    SAYS("is empty");
    SAYS(name);
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_get(queue, buffer, sizeof buffer, &len, SECOND / 100));
    SAYS("stayed empty");
    const void *data = &len;
    ANSWERS(PRODCON_EMPTY, prodcon_queue_take(queue, &data, &len, 0));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_take(queue, &data, &len, 1));
    CHECK(len == 99 && data == &len); /* outputs are written on success only */
    OK(prodcon_queue_put(queue, "a", 1, 0));
    ANSWERS(PRODCON_FULL, prodcon_queue_put(queue, "b", 1, 0));
    SAYS("is full");
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_put(queue, "b", 1, SECOND / 100));
    SAYS("stayed full");
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_put(queue, "123456789", 9, 0));
    SAYS("9 bytes");
    OK(prodcon_queue_get(queue, buffer, sizeof buffer, &len, SECOND));
    CHECK(len == 1 && buffer[0] == 'a');
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void a_lossy_queue_keeps_the_newest(void) {
    const char *name = name_of("lossy");
    prodcon_queue *queue = make(name, 3, 8, PRODCON_LOSSY);
    for (uint64_t item = 1; item <= 21; item++) OK(prodcon_queue_put(queue, &item, sizeof item, 0));
    for (uint64_t item = 19; item <= 21; item++) {
        uint64_t got = 0;
        size_t len = 0;
        OK(prodcon_queue_get(queue, &got, sizeof got, &len, 0));
        CHECK(got == item && len == sizeof got);
    }
    prodcon_stats stats = figures(queue);
    CHECK(stats.dropped == 18 && stats.flags == PRODCON_LOSSY);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void the_gate_keeps_producers_out_and_clears(void) {
    const char *name = name_of("gate");
    prodcon_queue *queue = make(name, 4, 8, PRODCON_CREATE_NOT_READY | PRODCON_AT_LEAST_ONCE);
    bool ready = true;
    size_t number = 99, len = 0;
    char buffer[8];
    OK(prodcon_queue_is_ready(queue, &ready));
    CHECK(!ready);
    ANSWERS(PRODCON_NOT_READY, prodcon_queue_put(queue, "x", 1, -1));
    SAYS("not ready");
    ANSWERS(PRODCON_NOT_READY, prodcon_queue_wait_ready(queue, 0));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_wait_ready(queue, SECOND / 100));
    OK(prodcon_queue_set_ready(queue));
    OK(prodcon_queue_wait_ready(queue, 0));
    OK(prodcon_queue_wait_ready(queue, -1));
    OK(prodcon_queue_put(queue, "x", 1, 0));
    OK(prodcon_queue_put(queue, "y", 1, 0));
    OK(prodcon_queue_len(queue, &number));
    CHECK(number == 2);
    OK(prodcon_queue_clear(queue));
    OK(prodcon_queue_is_ready(queue, &ready));
    CHECK(ready);
    OK(prodcon_queue_put(queue, "z", 1, 0));
    OK(prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
    CHECK(len == 1 && buffer[0] == 'z');
    OK(prodcon_queue_put(queue, "z", 1, 0));
    OK(prodcon_queue_set_not_ready(queue));
    ANSWERS(PRODCON_EMPTY, prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
    OK(prodcon_queue_capacity(queue, &number));
    CHECK(number == 4);
    prodcon_stats stats = figures(queue);
    CHECK(stats.cleared == 3 && stats.epoch == 2 && stats.ready == 0 && stats.flags == PRODCON_AT_LEAST_ONCE);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void the_state_ends_the_stream(void) {
    const char *name = name_of("state");
    prodcon_queue *queue = make(name, 4, 8, 0);
    int32_t state = 0;
    char buffer[8];
    size_t len = 0;
    OK(prodcon_queue_get_state(queue, &state));
    CHECK(state == PRODCON_STARTED);
    OK(prodcon_queue_put(queue, "x", 1, 0));
    OK(prodcon_queue_set_state(queue, PRODCON_STOP_AT_QUEUE_END));
    OK(prodcon_queue_wait_state(queue, PRODCON_STOP_AT_QUEUE_END, 0));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_wait_state(queue, PRODCON_STOPPED_STATE, SECOND / 100));
    ANSWERS(PRODCON_STOPPED, prodcon_queue_put(queue, "y", 1, -1));
    SAYS("by way of stopped");
    OK(prodcon_queue_get(queue, buffer, sizeof buffer, &len, -1));
    ANSWERS(PRODCON_STOPPED, prodcon_queue_get(queue, buffer, sizeof buffer, &len, -1));
    SAYS("end of stream");
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_state(queue, PRODCON_STARTED)); /* not allowed from here */
    SAYS("stop_at_queue_end");
    OK(prodcon_queue_set_state(queue, PRODCON_STOPPED_STATE));
    ANSWERS(PRODCON_STOPPED, prodcon_queue_get(queue, buffer, sizeof buffer, &len, -1));
    OK(prodcon_queue_set_state(queue, PRODCON_STARTED));
    OK(prodcon_queue_put(queue, "y", 1, 0));
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void many_items_go_at_once(void) {
    const char *name = name_of("many");
    prodcon_queue *queue = make(name, 4, 8, 0);
    uint64_t items[6] = {1, 2, 3, 4, 5, 6}, got[6] = {0};
    size_t put = 99, number = 99, lens[6] = {0};
    ANSWERS(PRODCON_FULL, prodcon_queue_put_many(queue, items, 8, 6, &put, 0));
    CHECK(put == 4);
    put = 99;
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_put_many(queue, items, 8, 6, &put, SECOND / 100));
    CHECK(put == 0);
    OK(prodcon_queue_get_many(queue, got, 8, 6, lens, &number, -1));
    CHECK(number == 4 && got[0] == 1 && got[3] == 4 && lens[0] == 8 && lens[3] == 8 && lens[4] == 0);
    ANSWERS(PRODCON_EMPTY, prodcon_queue_get_many(queue, got, 8, 6, lens, &number, 0));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_get_many(queue, got, 8, 6, NULL, &number, 1));
    CHECK(number == 4);
    OK(prodcon_queue_get_many(queue, got, 8, 0, lens, &number, -1));
    CHECK(number == 0);
    OK(prodcon_queue_put_many(queue, items, 8, 2, &put, LONG));
    CHECK(put == 2);
    OK(prodcon_queue_put_many(queue, items, 8, 0, &put, -1));
    CHECK(put == 0);
    OK(prodcon_queue_get_many(queue, got, 8, 1, NULL, &number, LONG));
    CHECK(number == 1 && got[0] == 1);
    OK(prodcon_queue_put(queue, "ab", 2, 0));
    /* 8 bytes do not fit into 4: the item comes later; nor does the length of a first one get lost */
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_get_many(queue, got, 4, 2, lens, &number, 0));
    CHECK(number == 0 && lens[0] == 8);
    OK(prodcon_queue_get_many(queue, got, 8, 6, lens, &number, 0));
    CHECK(number == 2 && got[0] == 2 && lens[0] == 8 && lens[1] == 2 && memcmp(&got[1], "ab", 2) == 0);
    OK(prodcon_queue_put(queue, "ab", 2, 0));
    OK(prodcon_queue_put(queue, items, 8, 0));
    OK(prodcon_queue_get_many(queue, got, 4, 2, lens, &number, 0));
    CHECK(number == 1 && lens[0] == 2);
    CHECK(figures(queue).held == 1);
    OK(prodcon_queue_get(queue, got, 8, &number, 0));
    CHECK(number == 8 && got[0] == 1);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void options_of_other_versions_are_understood(void) {
    const char *name = name_of("options");
    struct {
        prodcon_options options;
        uint32_t later[2];
    } newer = {.options = {.size = sizeof newer, .capacity = 2, .item_size = 8}};
    prodcon_queue *queue = NULL;
    OK(prodcon_queue_create(name, &newer.options, &queue));
    prodcon_stats stats = figures(queue);
    CHECK(stats.seats == 64); /* 0: the default */
    struct {
        prodcon_stats stats;
        uint64_t later;
    } longer;
    memset(&longer, 0xA5, sizeof longer);
    longer.stats.size = sizeof longer;
    OK(prodcon_queue_stats(queue, &longer.stats));
    CHECK(longer.later == 0 && longer.stats.seats == 64 && longer.stats.size == sizeof longer);
    memset(&longer, 0xA5, sizeof longer);
    longer.stats.size = offsetof(prodcon_stats, seats);
    OK(prodcon_queue_stats(queue, &longer.stats));
    CHECK(longer.stats.capacity == 2 && longer.stats.seats == 0xA5A5A5A5 && longer.later == UINT64_C(0xA5A5A5A5A5A5A5A5));
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
    newer.later[1] = 7; /* something this library does not know */
    queue = NULL;
    ANSWERS(PRODCON_INVALID, prodcon_queue_create(name, &newer.options, &queue));
    SAYS("newer library");
    CHECK(queue == NULL);
    prodcon_options older;
    memset(&older, 0xA5, sizeof older); /* what is beyond its size is not looked at */
    older.size = offsetof(prodcon_options, seats);
    older.capacity = 2;
    older.item_size = 8;
    OK(prodcon_queue_create(name, &older, &queue));
    CHECK(figures(queue).seats == 64);
    ANSWERS(PRODCON_EXISTS, prodcon_queue_create(name, &older, &queue));
    SAYS(name);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
    older.seats = older.flags = older.mode = older.batch = older.max_deliveries = 0;
    for (older.size = offsetof(prodcon_options, flags); older.size < sizeof older; older.size++) {
        if (older.size >= offsetof(prodcon_options, dead_letter) + sizeof(char *)) break;
        OK(prodcon_queue_create(name, &older, &queue)); /* half a pointer is none */
        prodcon_queue_close(queue);
        OK(prodcon_queue_unlink(name));
    }
}

static void texts_and_numbers_are_as_published(void) {
    CHECK(PRODCON_OK == 0 && PRODCON_FULL == 1 && PRODCON_EMPTY == 2 && PRODCON_TIMED_OUT == 3 && PRODCON_NOT_READY == 4 && PRODCON_STOPPED == 5);
    CHECK(PRODCON_TOO_LARGE == 6 && PRODCON_NOT_FOUND == 7 && PRODCON_EXISTS == 8 && PRODCON_INCOMPATIBLE == 9 && PRODCON_NO_SEAT == 10);
    CHECK(PRODCON_CORRUPT == 11 && PRODCON_FORKED == 12 && PRODCON_INVALID == 13 && PRODCON_OS == 14 && PRODCON_PANIC == 15 && PRODCON_EXHAUSTED == 16);
    CHECK(PRODCON_LOSSY == 1 && PRODCON_AT_LEAST_ONCE == 2 && PRODCON_CREATE_NOT_READY == 4 && PRODCON_NO_COPY_IN_SLOT == 8);
    CHECK(PRODCON_STOPPED_STATE == 1 && PRODCON_STARTED == 2 && PRODCON_STOP_AT_QUEUE_END == 3);
    CHECK(PRODCON_CANCELLED == 17 && PRODCON_DIFFERS == 18);
    CHECK(sizeof(prodcon_options) == 72 && sizeof(prodcon_attach_options) == 48 && sizeof(prodcon_item_id) == 32);
    CHECK(offsetof(prodcon_options, mode) == 20 && offsetof(prodcon_options, dead_letter) == 32 && sizeof(prodcon_stats) == 112 && offsetof(prodcon_stats, epoch) == 40);
    for (prodcon_status status = 0; status <= 18; status++) {
        CHECK(strlen(prodcon_status_text(status)) > 0);
        CHECK(strcmp(prodcon_status_text(status), prodcon_status_text(99)) != 0);
        for (prodcon_status other = 0; other < status; other++) CHECK(strcmp(prodcon_status_text(status), prodcon_status_text(other)) != 0);
    }
    CHECK(strcmp(prodcon_status_text(-1), prodcon_status_text(INT32_MAX)) == 0);
    CHECK(strchr(prodcon_version(), '.') != NULL);
}

int main(void) {
    CHECK(strcmp(prodcon_last_error(), "") == 0);
    an_item_put_is_got();
    timeouts_are_full_empty_and_timed_out();
    a_lossy_queue_keeps_the_newest();
    the_gate_keeps_producers_out_and_clears();
    the_state_ends_the_stream();
    many_items_go_at_once();
    options_of_other_versions_are_understood();
    texts_and_numbers_are_as_published();
    return 0;
}
