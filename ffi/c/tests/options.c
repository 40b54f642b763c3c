/* What a C program can ask for: types, batches, dead letters, roles, seats, directories, queues that exist already. */
#include "check.h"

#include <sys/stat.h>

struct sample {
    uint32_t station;
    float celsius;
    uint64_t time;
};

static prodcon_queue *made(const char *name, const prodcon_options *options) {
    prodcon_queue *queue = NULL;
    OK(prodcon_queue_create(name, options, &queue));
    return queue;
}

static void a_block_of_a_typed_queue_is_taken_as_one_array(void) {
    const char *name = name_of("slice");
    prodcon_options options = {
        .size = sizeof options,
        .capacity = 4,
        .item_size = sizeof(struct sample),
        .flags = PRODCON_AT_LEAST_ONCE,
        .batch = 8,
        .type_name = "weather.sample",
        .align = 8,
    };
    prodcon_queue *queue = made(name, &options), *other = join(name);
    struct sample samples[12], copy;
    const void *data = NULL;
    size_t count = 0, put = 0, len = 0;
    prodcon_item_id first = {.size = sizeof first}, last = first, again = first;
    uint32_t deliveries = 0;
    memset(samples, 0, sizeof samples);
    for (uint32_t each = 0; each < 12; each++) samples[each].station = each;

    ANSWERS(PRODCON_EMPTY, prodcon_queue_take_slice(other, &data, &count, 0));
    ANSWERS(PRODCON_TIMED_OUT, prodcon_queue_take_slice(other, &data, &count, SECOND / 100));
    CHECK(data == NULL && count == 0);
    OK(prodcon_queue_put_many(queue, samples, sizeof samples[0], 12, &put, 0)); /* two blocks: 8 and 4 */
    CHECK(put == 12);
    OK(prodcon_queue_item_size(other, &len));
    CHECK(len == sizeof samples[0]);
    OK(prodcon_queue_take_slice(other, &data, &count, 0));
    CHECK(count == 8 && (uintptr_t)data % 8 == 0);
    for (uint32_t each = 0; each < 8; each++) CHECK(((const struct sample *)data)[each].station == each);
    OK(prodcon_queue_item_id(other, 0, &first));
    OK(prodcon_queue_item_id(other, 7, &last));
    CHECK(first.index == 0 && last.index == 7 && first.sequence == last.sequence);
    ANSWERS(PRODCON_INVALID, prodcon_queue_item_id(other, 8, &last));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take_slice(other, &data, &count, 0)); /* one is in hand */
    CHECK(figures(other).held == 8);

    /* nack gives the block back, ack acknowledges all of it */
    OK(prodcon_queue_nack(other));
    OK(prodcon_queue_take_slice(queue, &data, &count, LONG));
    OK(prodcon_queue_item_id(queue, 0, &again));
    OK(prodcon_queue_delivery_count(queue, &deliveries));
    CHECK(count == 8 && deliveries == 2 && memcmp(&again, &first, sizeof first) == 0);
    OK(prodcon_queue_ack(queue));
    prodcon_stats stats = figures(queue);
    CHECK(stats.gets == 8 && stats.held == 0 && stats.len == 4 && stats.lost == 0);

    /* a take shows one item, and the rest of its block is a slice */
    OK(prodcon_queue_take(queue, &data, &len, 0));
    CHECK(len == sizeof copy && ((const struct sample *)data)->station == 8);
    OK(prodcon_queue_ack(queue));
    OK(prodcon_queue_take_slice(queue, &data, &count, 0));
    OK(prodcon_queue_item_id(queue, 0, &first));
    CHECK(count == 3 && first.index == 1 && ((const struct sample *)data)->station == 9);
    OK(prodcon_queue_drop(queue));
    OK(prodcon_queue_get(other, &copy, sizeof copy, &len, LONG));
    CHECK(len == sizeof copy && copy.station == 9);
    OK(prodcon_queue_take_slice(other, &data, &count, 0));
    CHECK(count == 2);
    prodcon_queue_close(other); /* given back too */
    OK(prodcon_queue_take_slice(queue, &data, &count, LONG));
    CHECK(count == 2 && ((const struct sample *)data)->station == 10);
    OK(prodcon_queue_ack(queue));

    /* a block that is reserved is one item */
    void *block = NULL;
    ANSWERS(PRODCON_INVALID, prodcon_queue_reserve(queue, sizeof copy - 1, &block)); /* not the type's size */
    OK(prodcon_queue_reserve(queue, sizeof copy, &block));
    memcpy(block, &samples[5], sizeof copy);
    ANSWERS(PRODCON_INVALID, prodcon_queue_commit(queue, sizeof copy - 1, 0));
    OK(prodcon_queue_commit(queue, sizeof copy, 0));
    OK(prodcon_queue_take_slice(queue, &data, &count, 0));
    CHECK(count == 1 && ((const struct sample *)data)->station == 5);
    OK(prodcon_queue_ack(queue));
    CHECK(figures(queue).gets == 13);
    ANSWERS(PRODCON_INVALID, prodcon_queue_put(queue, samples, 1, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_put_many(queue, samples, 1, 8, &put, 0));
    CHECK(put == 0);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));

    queue = make(name, 4, 8, 0); /* of bytes */
    OK(prodcon_queue_put(queue, "x", 1, 0));
    ANSWERS(PRODCON_INVALID, prodcon_queue_take_slice(queue, &data, &count, 0));
    SAYS("take them one by one");
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void an_item_that_always_fails_goes_to_the_dead_letters(void) {
    const char *name = name_of("jobs"), *dead = name_of("dead");
    prodcon_queue *letters = make(dead, 4, 16, 0), *queue = NULL;
    prodcon_options options = {
        .size = sizeof options,
        .capacity = 4,
        .item_size = 8,
        .flags = PRODCON_AT_LEAST_ONCE,
        .max_deliveries = 2,
        .dead_letter = dead,
    };
    const void *item = NULL;
    char buffer[16];
    size_t len = 0;
    queue = made(name, &options);
    OK(prodcon_queue_put(queue, "poison", 6, 0));
    for (int each = 0; each < 2; each++) {
        OK(prodcon_queue_take(queue, &item, &len, LONG));
        OK(prodcon_queue_nack(queue));
    }
    ANSWERS(PRODCON_EMPTY, prodcon_queue_take(queue, &item, &len, 0));
    OK(prodcon_queue_get(letters, buffer, sizeof buffer, &len, LONG));
    CHECK(len == 6 && memcmp(buffer, "poison", 6) == 0);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
    prodcon_queue_close(letters);
    OK(prodcon_queue_unlink(dead));
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_create(name, &options, &queue));
    SAYS(dead);
}

static void a_queue_that_exists_with_other_options_says_how_it_differs(void) {
    const char *name = name_of("differs");
    prodcon_options options = {.size = sizeof options, .capacity = 64, .item_size = 8, .type_name = "u64"};
    prodcon_queue *queue = NULL, *other = NULL;
    OK(prodcon_queue_create_or_attach(name, &options, &queue));
    OK(prodcon_queue_create_or_attach(name, &options, &other));
    CHECK(figures(queue).seats_live == 2);
    prodcon_queue_close(other);
    /* How it works inside makes no other queue of it. */
    options.flags = PRODCON_NO_COPY_IN_SLOT;
    OK(prodcon_queue_create_or_attach(name, &options, &other));
    uint64_t item = 7;
    OK(prodcon_queue_put(other, &item, sizeof item, 0));
    OK(prodcon_queue_get(queue, &item, sizeof item, &(size_t){0}, 0));
    CHECK(item == 7);
    prodcon_queue_close(other);
    other = NULL;
    options.flags = 0;
    options.align = 4; /* compared if it is set */
    ANSWERS(PRODCON_DIFFERS, prodcon_queue_create_or_attach(name, &options, &other));
    SAYS("align is 8, wanted 4");
    options.align = 0;
    options.capacity = 1024;
    options.flags = PRODCON_AT_LEAST_ONCE;
    options.type_name = "i64";
    ANSWERS(PRODCON_DIFFERS, prodcon_queue_create_or_attach(name, &options, &other));
    SAYS(name);
    SAYS("capacity is 64, wanted 1024");
    SAYS("at_least_once is false, wanted true");
    SAYS("type is u64, wanted i64");
    CHECK(other == NULL && figures(queue).seats_live == 1);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

static void a_handle_attaches_as_it_is_told(void) {
    char directory[200];
    const char *name = name_of("elsewhere");
    prodcon_queue *queue = NULL, *other = NULL;
    const void *item = NULL;
    size_t len = 0;
    snprintf(directory, sizeof directory, "%s/below", getenv("PRODCON_DIR") ? getenv("PRODCON_DIR") : "/tmp");
    CHECK(mkdir(directory, 0700) == 0);
    prodcon_attach_options how = {.size = sizeof how, .role = PRODCON_CONSUMER, .directory = directory};
    prodcon_options options = {.size = sizeof options, .capacity = 4, .item_size = 8, .seats = 4, .flags = PRODCON_AT_LEAST_ONCE, .directory = directory};
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_attach_with(name, &how, &queue));
    SAYS(directory);
    queue = made(name, &options);
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_attach(name, &other)); /* not there */
    how.max_unacked = 2; /* three seats: one more than are free after this */
    OK(prodcon_queue_attach_with(name, &how, &other));
    CHECK(figures(queue).seats_live == 4);
    OK(prodcon_queue_put(queue, "item", 4, 0));
    OK(prodcon_queue_take(other, &item, &len, LONG));
    OK(prodcon_queue_nack(other));
    OK(prodcon_queue_put(other, "more", 4, 0)); /* a seat was set aside: the item is not in the way */
    OK(prodcon_queue_take(queue, &item, &len, LONG));
    CHECK(memcmp(item, "item", 4) == 0);
    OK(prodcon_queue_ack(queue));
    prodcon_queue_close(other);
    how.max_unacked = 8;
    ANSWERS(PRODCON_NO_SEAT, prodcon_queue_attach_with(name, &how, &other));
    how.min_unacked = 1;
    how.spin_limit_ns = -1;
    OK(prodcon_queue_attach_with(name, &how, &other));
    prodcon_queue_close(other);
    prodcon_queue_close(queue);

    /* the creating handle's own options, and their directory */
    OK(prodcon_queue_unlink_in(directory, name));
    ANSWERS(PRODCON_NOT_FOUND, prodcon_queue_unlink_in(directory, name));
    prodcon_attach_options two = {.size = sizeof two, .max_unacked = 1, .directory = directory};
    options.directory = NULL;
    options.attach = &two;
    queue = made(name, &options);
    CHECK(figures(queue).seats_live == 2);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink_in(directory, name));

    /* a longer struct of a later version, and a shorter one of an earlier */
    queue = make(name, 2, 8, 0);
    struct {
        prodcon_attach_options how;
        uint64_t later;
    } newer = {.how = {.size = sizeof newer}};
    OK(prodcon_queue_attach_with(name, &newer.how, &other));
    prodcon_queue_close(other);
    newer.later = 1;
    ANSWERS(PRODCON_INVALID, prodcon_queue_attach_with(name, &newer.how, &other));
    SAYS("newer library");
    how.size = offsetof(prodcon_attach_options, directory) + 4; /* half a pointer is none */
    how.max_unacked = how.min_unacked = 0;
    OK(prodcon_queue_attach_with(name, &how, &other));
    prodcon_queue_close(other);
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
    CHECK(rmdir(directory) == 0);
}

static void what_makes_no_sense_is_refused(void) {
    const char *name = name_of("nonsense");
    char long_name[200];
    prodcon_queue *queue = NULL;
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
#define WITH .size = sizeof(prodcon_options), .capacity = 2, .item_size = 8
    const prodcon_attach_options bad_attach = {.size = sizeof bad_attach, .role = 3};
    const struct {
        prodcon_options options;
        const char *why;
    } bad[] = {
        {{WITH, .batch = 2}, "plain type"},
        {{WITH, .type_name = "t", .batch = 65536}, "batch"},
        {{WITH, .type_name = "t", .align = 3}, "options.align"},
        {{WITH, .type_name = "t", .align = 16}, "options.align"},
        {{WITH, .type_name = ""}, "type name"},
        {{WITH, .type_name = long_name}, "type name"},
        {{WITH, .type_name = "\xFF"}, "UTF-8"},
        {{WITH, .align = 3}, "align"},
        {{WITH, .max_deliveries = 2}, "dead_letter"},
        {{WITH, .dead_letter = "x"}, "max_deliveries"},
        {{WITH, .dead_letter = "x", .max_deliveries = 256}, "max_deliveries"},
        {{WITH, .dead_letter = "x", .max_deliveries = 2}, "at_least_once"},
        {{WITH, .attach = &bad_attach}, "attach_options.role"},
        {{WITH, .reserved = 1}, "reserved"},
        {{WITH, .mode = 660}, "octal"},
        {{WITH, .mode = 01600}, "octal"},
    };
    for (size_t each = 0; each < sizeof bad / sizeof bad[0]; each++) {
        prodcon_status status = prodcon_queue_create(name, &bad[each].options, &queue);
        if (status != PRODCON_INVALID || !strstr(prodcon_last_error(), bad[each].why)) fprintf(stderr, "options %zu: %d\n", each, (int)status);
        ANSWERS(PRODCON_INVALID, status);
        SAYS(bad[each].why);
        CHECK(queue == NULL);
    }
    queue = make(name, 2, 8, 0);
    prodcon_queue *other = NULL;
    const prodcon_attach_options wrong[] = {
        {.size = sizeof wrong[0], .role = 4},
        {.size = sizeof wrong[0], .max_unacked = 1, .min_unacked = 2},
        {.size = sizeof wrong[0], .directory = "\xFF"},
        {.size = 3},
        {.size = 5000},
    };
    for (size_t each = 0; each < sizeof wrong / sizeof wrong[0]; each++) {
        ANSWERS(PRODCON_INVALID, prodcon_queue_attach_with(name, &wrong[each], &other));
        CHECK(other == NULL);
    }
    prodcon_queue_close(queue);
    OK(prodcon_queue_unlink(name));
}

int main(void) {
    a_block_of_a_typed_queue_is_taken_as_one_array();
    an_item_that_always_fails_goes_to_the_dead_letters();
    a_queue_that_exists_with_other_options_says_how_it_differs();
    a_handle_attaches_as_it_is_told();
    what_makes_no_sense_is_refused();
    return 0;
}
