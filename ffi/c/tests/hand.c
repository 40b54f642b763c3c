/* Zero copy: what is reserved or in hand, and what is refused meanwhile. */
#include "check.h"
#include <pthread.h>

static void a_reserved_block_is_put_by_commit(void) {
    const char *name = name_of("reserve");
    prodcon_queue *queue = make(name, 1, 64, 0), *other = join(name);
    void *block = NULL, *second = NULL;
    char buffer[64];
    const void *item = NULL;
    size_t len = 0, number = 0;
    bool ready = false;
    int32_t state = 0;
    uint32_t recovered = 0, undecided = 0;
    prodcon_stats stats = {.size = sizeof stats};
    prodcon_item_id id = {.size = sizeof id};

    ANSWERS(PRODCON_INVALID, prodcon_queue_commit(queue, 1, 0));
    SAYS("no block is reserved");
    ANSWERS(PRODCON_INVALID, prodcon_queue_cancel(queue));
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_reserve(queue, 65, &block));
    CHECK(block == NULL);
    OK(prodcon_queue_reserve(queue, 10, &block));
    CHECK((uintptr_t)block % 8 == 0);
    memcpy(block, "0123456789", 10);

    /* everything but commit and cancel is refused, and nothing is written */
    ANSWERS(PRODCON_INVALID, prodcon_queue_reserve(queue, 10, &second));
    SAYS("commit or cancel");
    ANSWERS(PRODCON_INVALID, prodcon_queue_put(queue, "x", 1, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_put_many(queue, "x", 1, 1, &number, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get_many(queue, buffer, 1, 1, NULL, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take(queue, &item, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take_slice(queue, &item, &len, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_ack(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_nack(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_drop(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_delivery_count(queue, &recovered));
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_id(queue, 0, &id));
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_size(queue, &len));
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_ready(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_not_ready(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_clear(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_is_ready(queue, &ready));
    ANSWERS(PRODCON_INVALID, prodcon_queue_wait_ready(queue, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_len(queue, &len));
    ANSWERS(PRODCON_INVALID, prodcon_queue_capacity(queue, &len));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get_state(queue, &state));
    ANSWERS(PRODCON_INVALID, prodcon_queue_set_state(queue, PRODCON_STOPPED_STATE));
    ANSWERS(PRODCON_INVALID, prodcon_queue_wait_state(queue, PRODCON_STARTED, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_stats(queue, &stats));
    ANSWERS(PRODCON_INVALID, prodcon_queue_recover(queue, &recovered, &undecided));
    CHECK(second == NULL && item == NULL && len == 0 && !ready && state == 0 && stats.capacity == 0);

    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_commit(queue, 11, 0));
    OK(prodcon_queue_commit(queue, 8, 0)); /* shorter than reserved */
    ANSWERS(PRODCON_INVALID, prodcon_queue_commit(queue, 8, 0));

    /* a commit that is refused keeps the block and what is in it */
    OK(prodcon_queue_reserve(queue, 64, &block));
    memset(block, 'r', 64);
    ANSWERS(PRODCON_FULL, prodcon_queue_commit(queue, 64, 0));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_commit(queue, 64, SECOND / 100));
    OK(prodcon_queue_get(other, buffer, sizeof buffer, &len, 0));
    CHECK(len == 8 && memcmp(buffer, "01234567", 8) == 0);
    OK(prodcon_queue_set_not_ready(other));
    ANSWERS(PRODCON_NOT_READY, prodcon_queue_commit(queue, 64, -1));
    OK(prodcon_queue_set_ready(other));
    OK(prodcon_queue_set_state(other, PRODCON_STOPPED_STATE));
    ANSWERS(PRODCON_STOPPED, prodcon_queue_commit(queue, 64, -1));
    OK(prodcon_queue_set_state(other, PRODCON_STARTED));
    ANSWERS(PRODCON_INVALID, prodcon_queue_put(queue, "x", 1, 0));
    OK(prodcon_queue_commit(queue, 64, LONG));
    memset(buffer, 0, sizeof buffer);
    OK(prodcon_queue_get(other, buffer, sizeof buffer, &len, 0));
    CHECK(len == 64 && buffer[0] == 'r' && buffer[63] == 'r');

    OK(prodcon_queue_reserve(queue, 64, &block));
    OK(prodcon_queue_cancel(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_cancel(queue));
    ANSWERS(PRODCON_EMPTY, prodcon_queue_get(other, buffer, sizeof buffer, &len, 0));
    OK(prodcon_queue_reserve(queue, 64, &block));
    prodcon_queue_close(queue); /* with a block reserved */
    stats = figures(other);
    CHECK(stats.seats_live == 1 && stats.puts == 2);
    OK(prodcon_queue_unlink(name));
    prodcon_queue_close(other);
}

static void an_item_taken_stays_in_hand_until_it_is_settled(void) {
    const char *name = name_of("take");
    prodcon_queue *queue = make(name, 4, 64, 0);
    const void *item = NULL, *second = NULL;
    char buffer[64];
    void *block = NULL;
    size_t len = 0, number = 0;
    bool ready = false;
    uint32_t recovered = 99, undecided = 99;

    ANSWERS(PRODCON_INVALID, prodcon_queue_ack(queue));
    SAYS("no item is in hand");
    OK(prodcon_queue_put(queue, "first", 5, 0));
    OK(prodcon_queue_put(queue, "second", 6, 0));
    OK(prodcon_queue_take(queue, &item, &len, LONG));
    CHECK(len == 5 && memcmp(item, "first", 5) == 0 && (uintptr_t)item % 8 == 0);
    ANSWERS(PRODCON_INVALID, prodcon_queue_put(queue, "x", 1, 0));
    SAYS("acknowledge it or give it back");
    ANSWERS(PRODCON_INVALID, prodcon_queue_put_many(queue, "x", 1, 1, &number, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_reserve(queue, 1, &block));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take(queue, &second, &number, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get(queue, buffer, sizeof buffer, &number, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_get_many(queue, buffer, 8, 1, NULL, &number, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_commit(queue, 1, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_cancel(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_nack(queue)); /* at-most-once takes nothing back, and the item stays */
    SAYS("at-most-once");
    CHECK(second == NULL && number == 0 && block == NULL);

    /* what concerns the queue as a whole works */
    prodcon_stats stats = figures(queue);
    CHECK(stats.held == 1 && stats.len == 1 && stats.gets == 0);
    OK(prodcon_queue_len(queue, &number));
    CHECK(number == 1);
    OK(prodcon_queue_is_ready(queue, &ready));
    OK(prodcon_queue_recover(queue, &recovered, &undecided));
    CHECK(ready && recovered == 0 && undecided == 0);
    OK(prodcon_queue_clear(queue));
    OK(prodcon_queue_set_not_ready(queue));
    OK(prodcon_queue_set_ready(queue));
    CHECK(len == 5 && memcmp(item, "first", 5) == 0);
    OK(prodcon_queue_ack(queue));
    ANSWERS(PRODCON_INVALID, prodcon_queue_ack(queue));
    stats = figures(queue);
    CHECK(stats.held == 0 && stats.gets == 1);
    ANSWERS(PRODCON_EMPTY, prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
    CHECK(figures(queue).cleared == 1);
    OK(prodcon_queue_put(queue, "third", 5, 0));
    OK(prodcon_queue_get(queue, buffer, sizeof buffer, &len, 0));
    CHECK(len == 5 && memcmp(buffer, "third", 5) == 0);

    /* closed with an item in hand */
    prodcon_queue *other = join(name);
    OK(prodcon_queue_put(other, "fourth", 6, 0));
    OK(prodcon_queue_take(other, &item, &len, 0));
    prodcon_queue_close(other);
    OK(prodcon_queue_recover(queue, &recovered, &undecided));
    stats = figures(queue);
    CHECK(stats.lost == 1 && stats.held == 0 && stats.gets == 2);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void an_item_too_large_for_the_buffer_comes_again(void) {
    const char *name = name_of("large");
    prodcon_queue *queue = make(name, 4, 64, PRODCON_AT_LEAST_ONCE), *other = join(name);
    char buffer[64];
    const void *item = NULL;
    void *block = NULL;
    size_t len = 0, number = 0;
    OK(prodcon_queue_put(other, "first", 5, 0));
    OK(prodcon_queue_get(other, buffer, sizeof buffer, &len, 0));
    for (int pair = 0; pair < 2; pair++) {
        OK(prodcon_queue_put(other, "an even item", 12, 0));
        OK(prodcon_queue_put(other, "odd item", 8, 0));
    }

    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_get(queue, NULL, 0, &len, -1)); /* how long is the next one? */
    CHECK(len == 12);
    SAYS("12 bytes");
    len = 0;
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_get(queue, buffer, 11, &len, 0));
    CHECK(len == 12);
    ANSWERS(PRODCON_INVALID, prodcon_queue_put(queue, "x", 1, 0));
    SAYS("larger buffer");
    ANSWERS(PRODCON_INVALID, prodcon_queue_reserve(queue, 1, &block));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take(queue, &item, &len, 0));
    CHECK(figures(queue).held == 1);
    memset(buffer, 0, sizeof buffer);
    OK(prodcon_queue_get(queue, buffer, 12, &len, 0));
    CHECK(len == 12 && memcmp(buffer, "an even item", 12) == 0);
    OK(prodcon_queue_get(queue, buffer, 8, &len, 0));
    CHECK(len == 8 && memcmp(buffer, "odd item", 8) == 0);

    /* thrown away */
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_get(queue, buffer, 8, &len, 0));
    OK(prodcon_queue_ack(queue));
    OK(prodcon_queue_get(queue, buffer, 8, &len, 0));
    CHECK(len == 8 && figures(queue).gets == 5);

    /* given back, and got by somebody else */
    OK(prodcon_queue_put(queue, "an even item", 12, 0));
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_get(queue, buffer, 8, &len, 0));
    OK(prodcon_queue_nack(queue));
    OK(prodcon_queue_take(other, &item, &len, 0));
    CHECK(len == 12 && memcmp(item, "an even item", 12) == 0 && figures(other).redelivered == 1);
    OK(prodcon_queue_nack(other));
    ANSWERS(PRODCON_INVALID, prodcon_queue_nack(other));
    OK(prodcon_queue_take(queue, &item, &len, LONG));
    CHECK(len == 12);
    prodcon_queue_close(queue); /* given back too */
    OK(prodcon_queue_get(other, buffer, sizeof buffer, &len, LONG));
    CHECK(len == 12 && figures(other).gets == 6 && figures(other).redelivered == 3 && figures(other).lost == 0);
    OK(prodcon_queue_len(other, &number));
    CHECK(number == 0);
    prodcon_queue_close(other);
    OK(prodcon_queue_unlink(name));
}

static void a_full_house_keeps_what_nobody_can_take_back(void) {
    const char *name = name_of("house");
    prodcon_options options = {.size = sizeof options, .capacity = 2, .item_size = 8, .seats = 1, .flags = PRODCON_AT_LEAST_ONCE};
    prodcon_queue *queue = NULL, *second = NULL;
    const void *item = NULL;
    size_t len = 0;
    OK(prodcon_queue_create(name, &options, &queue));
    ANSWERS(PRODCON_NO_SEAT, prodcon_queue_attach(name, &second));
    CHECK(second == NULL);
    OK(prodcon_queue_put(queue, "a", 1, 0));
    OK(prodcon_queue_take(queue, &item, &len, 0));
    OK(prodcon_queue_nack(queue)); /* no other seat: it comes with the next get, and until then nothing can be put */
    ANSWERS(PRODCON_NO_SEAT, prodcon_queue_put(queue, "b", 1, 0));
    OK(prodcon_queue_take(queue, &item, &len, 0));
    CHECK(len == 1 && *(const char *)item == 'a');
    OK(prodcon_queue_ack(queue));
    OK(prodcon_queue_put(queue, "b", 1, 0));
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void a_dropped_item_is_given_back_or_counts_as_got(void) {
    for (int at_least_once = 0; at_least_once < 2; at_least_once++) {
        const char *name = name_of("drop");
        prodcon_queue *queue = make(name, 4, 8, at_least_once ? PRODCON_AT_LEAST_ONCE : 0), *other = join(name);
        const void *item = NULL;
        size_t len = 0;
        ANSWERS(PRODCON_INVALID, prodcon_queue_drop(queue));
        SAYS("no item is in hand");
        OK(prodcon_queue_put(queue, "item", 4, 0));
        OK(prodcon_queue_take(queue, &item, &len, 0));
        OK(prodcon_queue_drop(queue));
        ANSWERS(PRODCON_INVALID, prodcon_queue_ack(queue));
        if (at_least_once) {
            uint32_t count = 0;
            OK(prodcon_queue_take(other, &item, &len, LONG));
            OK(prodcon_queue_delivery_count(other, &count));
            CHECK(count == 2 && len == 4 && memcmp(item, "item", 4) == 0);
            OK(prodcon_queue_ack(other));
        }
        ANSWERS(PRODCON_EMPTY, prodcon_queue_take(other, &item, &len, 0));
        prodcon_stats stats = figures(queue);
        CHECK(stats.gets == 1 && stats.lost == 0 && stats.redelivered == (uint64_t)at_least_once);
        prodcon_queue_close(other);
        prodcon_queue_close(queue);
        OK(prodcon_queue_unlink(name));
    }
}

static void an_item_in_hand_has_a_number_that_it_keeps(void) {
    const char *name = name_of("id");
    prodcon_queue *queue = make(name, 4, 8, PRODCON_AT_LEAST_ONCE), *other = join(name);
    prodcon_item_id first = {.size = sizeof first}, again = first, second = first;
    const void *item = NULL;
    char buffer[1];
    size_t len = 0;
    uint32_t count = 0;
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_id(queue, 0, &first));
    ANSWERS(PRODCON_INVALID, prodcon_queue_delivery_count(queue, &count));
    OK(prodcon_queue_put(queue, "1", 1, 0));
    OK(prodcon_queue_put(queue, "22", 2, 0));
    OK(prodcon_queue_take(queue, &item, &len, 0));
    OK(prodcon_queue_item_id(queue, 0, &first));
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_id(queue, 1, &again));
    SAYS("count from 0");
    again.size = 7;
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_id(queue, 0, &again));
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_id(queue, 0, NULL));
    again.size = sizeof again;
    OK(prodcon_queue_delivery_count(queue, &count));
    CHECK(count == 1);
    OK(prodcon_queue_nack(queue));
    OK(prodcon_queue_take(other, &item, &len, LONG));
    OK(prodcon_queue_item_id(other, 0, &again));
    CHECK(memcmp(&first, &again, sizeof first) == 0);
    OK(prodcon_queue_ack(other));
    ANSWERS(PRODCON_TOO_LARGE, prodcon_queue_get(other, buffer, 1, &len, 0)); /* that is in hand too */
    OK(prodcon_queue_item_id(other, 0, &second));
    CHECK(second.sequence > first.sequence && second.index == 0 && memcmp(second.queue, first.queue, 16) == 0);
    OK(prodcon_queue_ack(other));
    prodcon_queue_close(other);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));

    queue = make(name, 4, 8, 0); /* another queue, though its name is the same */
    OK(prodcon_queue_put(queue, "1", 1, 0));
    OK(prodcon_queue_take(queue, &item, &len, 0));
    OK(prodcon_queue_item_id(queue, 0, &again));
    CHECK(again.sequence == first.sequence && memcmp(again.queue, first.queue, 16) != 0);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void *acknowledge(void *delivery) {
    OK(prodcon_delivery_ack(delivery));
    return NULL;
}

static void a_delivery_leaves_its_handle_and_is_settled_in_any_order(void) {
    for (int at_least_once = 0; at_least_once < 2; at_least_once++) {
        const char *name = name_of("owned");
        prodcon_attach_options attach = {.size = sizeof attach, .max_unacked = 3};
        prodcon_queue *queue = make(name, 8, 8, at_least_once ? PRODCON_AT_LEAST_ONCE : 0), *other = NULL;
        prodcon_delivery *deliveries[3] = {NULL, NULL, NULL}, *more = NULL;
        prodcon_item_id id = {.size = sizeof id};
        const void *data = NULL;
        size_t len = 0;
        uint32_t count = 0;
        pthread_t thread;
        prodcon_stats stats;
        for (char item = '1'; item <= '5'; item++) OK(prodcon_queue_put(queue, &item, 1, 0));
        ANSWERS(PRODCON_INVALID, prodcon_queue_take_owned(queue, &more, 0));
        SAYS("max_unacked");
        OK(prodcon_queue_attach_with(name, &attach, &other));
        for (int i = 0; i < 3; i++) OK(prodcon_queue_take_owned(other, &deliveries[i], 0));
        ANSWERS(PRODCON_EMPTY, prodcon_queue_take_owned(other, &more, 0));
        ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_take_owned(other, &more, 1000000));
        ANSWERS(PRODCON_INVALID, prodcon_queue_take_owned(other, NULL, 0));
        for (int i = 0; i < 3; i++) {
            OK(prodcon_delivery_data(deliveries[i], &data, &len));
            CHECK(len == 1 && *(const char *)data == '1' + i);
        }
        OK(prodcon_delivery_item_id(deliveries[2], &id));
        OK(prodcon_delivery_count(deliveries[2], &count));
        CHECK(id.sequence == 2 && count == 1);
        CHECK(pthread_create(&thread, NULL, acknowledge, deliveries[1]) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        ANSWERS(PRODCON_INVALID, prodcon_delivery_ack(deliveries[1]));
        SAYS("closed");
        ANSWERS(PRODCON_INVALID, prodcon_delivery_data(deliveries[1], &data, &len));
        OK(prodcon_queue_take_owned(other, &more, LONG)); /* its seat is back */
        prodcon_queue_close(other);                       /* they outlive it */
        OK(prodcon_delivery_data(more, &data, &len));
        CHECK(*(const char *)data == '4');
        OK(prodcon_delivery_ack(more));
        if (at_least_once) {
            OK(prodcon_delivery_nack(deliveries[0]));
        } else {
            ANSWERS(PRODCON_INVALID, prodcon_delivery_nack(deliveries[0]));
            SAYS("at-most-once");
            OK(prodcon_delivery_ack(deliveries[0]));
        }
        prodcon_delivery_drop(deliveries[2]);
        prodcon_delivery_drop(deliveries[2]); /* is told from the first */
        prodcon_delivery_drop(NULL);
        ANSWERS(PRODCON_INVALID, prodcon_delivery_ack(NULL));
        stats = figures(queue);
        CHECK(stats.gets == (at_least_once ? 2u : 4u) && stats.held == (at_least_once ? 2u : 0u));
        prodcon_queue_close(queue);
        OK(prodcon_queue_unlink(name));
    }
}

int main(void) {
    a_reserved_block_is_put_by_commit();
    an_item_taken_stays_in_hand_until_it_is_settled();
    an_item_too_large_for_the_buffer_comes_again();
    a_full_house_keeps_what_nobody_can_take_back();
    a_dropped_item_is_given_back_or_counts_as_got();
    an_item_in_hand_has_a_number_that_it_keeps();
    a_delivery_leaves_its_handle_and_is_settled_in_any_order();
    return 0;
}
