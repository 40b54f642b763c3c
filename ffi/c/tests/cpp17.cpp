// The C++ header, in C++17 (and C++20, where there is std::span).
#include "prodcon.hpp"

#include "check.h"

#include <array>
#include <poll.h>
#include <thread>

using namespace std::chrono_literals;

template <class F>
static prodcon::status thrown_by(F work) {
    try {
        work();
    } catch (const prodcon::error &error) {
        CHECK(std::strlen(error.what()) > 0);
        return error.code();
    }
    return prodcon::status::ok;
}

static void copies_go_through() {
    const std::string name = name_of("copies");
    prodcon::options options;
    options.capacity = 2;
    options.item_size = 16;
    auto producer = prodcon::queue::create(name, options);
    auto consumer = prodcon::queue::attach(name);
    CHECK(producer.put("text") == prodcon::status::ok);
    CHECK(producer.put(std::vector<std::uint16_t>{1, 2, 3}) == prodcon::status::ok);
    CHECK(producer.put(std::string("full"), prodcon::no_wait) == prodcon::status::full);
    CHECK(producer.put(std::string_view("full"), 1ms) == prodcon::status::timed_out);
    auto text = consumer.get();
    CHECK(text && prodcon::bytes_view(*text).as_text() == "text");
    auto numbers = consumer.take();
    CHECK(numbers && numbers->size() == 6 && numbers->view()[2] == std::byte{2});
    CHECK(thrown_by([&] { (void)consumer.take(); }) == prodcon::status::invalid); // one is in hand
    auto moved = std::move(*numbers);
    CHECK(consumer.stats().held == 1);
    moved.ack();
    CHECK(consumer.stats().held == 0 && consumer.stats().gets == 2);

    struct point {
        double x, y;
    };
    CHECK(producer.put_value(point{1, 2}) == prodcon::status::ok);
    auto got = consumer.get_value<point>(1min);
    CHECK(got && got->x == 1 && got->y == 2);
    prodcon::status why = prodcon::status::ok;
    CHECK(!consumer.get_value<point>(prodcon::no_wait, &why) && why == prodcon::status::empty);
    CHECK(!consumer.take(1ms, &why) && why == prodcon::status::timed_out);
    CHECK(producer.put_value(std::uint8_t{1}) == prodcon::status::ok);
    CHECK(thrown_by([&] { (void)consumer.get_value<point>(); }) == prodcon::status::invalid);
    CHECK(producer.put_value(point{1, 2}) == prodcon::status::ok);
    CHECK(producer.put_value(std::uint8_t{2}) == prodcon::status::ok);
    CHECK(thrown_by([&] { (void)consumer.get_value<std::uint8_t>(); }) == prodcon::status::too_large);
    CHECK(consumer.put("not wedged") == prodcon::status::ok); // nothing is in hand
    CHECK(consumer.get_value<std::uint8_t>() == std::uint8_t{2} && consumer.get().has_value());
#ifdef __cpp_lib_span
    std::array<std::byte, 3> three{std::byte{1}, std::byte{2}, std::byte{3}};
    CHECK(producer.put(std::span<const std::byte>(three)) == prodcon::status::ok);
    auto taken = consumer.take();
    std::span<const std::byte> view = taken->view();
    CHECK(view.size() == 3 && view[2] == std::byte{3});
#endif
    prodcon::queue::unlink(name);
}

static void blocks_are_filled_in_place() {
    const std::string name = name_of("blocks");
    prodcon::options options;
    options.capacity = 1;
    options.item_size = 64;
    options.at_least_once = true;
    auto queue = prodcon::queue::create(name, options);
    auto other = prodcon::queue::attach(name);
    {
        auto forgotten = queue.reserve(64);
        CHECK(thrown_by([&] { (void)queue.size(); }) == prodcon::status::invalid);
    } // cancelled
    CHECK(queue.size() == 0);
    auto block = queue.reserve(64);
    for (auto &byte : block) byte = std::byte{7};
    auto moved = std::move(block);
    CHECK(moved.commit(10, prodcon::no_wait) == prodcon::status::ok);
    auto second = queue.reserve(4);
    std::memcpy(second.data(), "late", 4);
    CHECK(second.commit(prodcon::no_wait) == prodcon::status::full);
    {
        auto item = other.take();
        CHECK(item && item->size() == 10 && item->data()[9] == std::byte{7});
        item->nack();
    }
    {
        auto item = other.take(1min);
        CHECK(item && item->size() == 10 && item->delivery_count() == 2);
        item->ack();
        CHECK(thrown_by([&] { item->ack(); }) == prodcon::status::invalid);
    }
    CHECK(second.commit(1min) == prodcon::status::ok);
    CHECK(other.get()->size() == 4);
    CHECK(other.stats().redelivered == 1 && other.stats().gets == 2);
    prodcon::queue::unlink(name);
}

static void a_stream_ends() {
    const std::string name = name_of("stream");
    prodcon::options options;
    options.capacity = 8;
    options.item_size = 8;
    options.ready = false;
    auto queue = prodcon::queue::create(name, options);
    CHECK(!queue.is_ready() && !queue.wait_ready(1ms) && queue.capacity() == 8);
    CHECK(queue.put_value(1) == prodcon::status::not_ready);
    std::thread producer([&name] {
        auto endpoint = prodcon::queue::attach(name);
        CHECK(endpoint.wait_ready(1min));
        for (std::uint64_t number = 0; number < 1000; number++) CHECK(endpoint.put_value(number, 1min) == prodcon::status::ok);
        endpoint.set_state(prodcon::state::stop_at_queue_end);
        CHECK(endpoint.put_value(0) == prodcon::status::stopped);
    });
    queue.set_ready();
    std::uint64_t expected = 0;
    while (auto item = queue.take()) {
        std::uint64_t number = 0;
        std::memcpy(&number, item->data(), item->size());
        CHECK(number == expected++);
        item->ack();
    }
    producer.join();
    CHECK(expected == 1000 && queue.get_state() == prodcon::state::stop_at_queue_end);
    CHECK(queue.wait_state(prodcon::state::stop_at_queue_end, prodcon::no_wait) && !queue.wait_state(prodcon::state::stopped, 1ms));
    CHECK(queue.recover().second == 0);
    queue.clear();
    queue.set_not_ready();
    CHECK(thrown_by([&] { queue.set_state(prodcon::state::started); }) == prodcon::status::invalid);
    prodcon::queue::unlink(name);
}

/// Puts an item after a moment.
static std::thread later(const std::string &name) {
    return std::thread([name] {
        std::this_thread::sleep_for(20ms);
        CHECK(prodcon::queue::attach(name).put("late", 1min) == prodcon::status::ok);
    });
}

static void a_deadline_that_has_passed_is_no_wait() {
    alarm(60); // what waits for ever ends the test
    const std::string name = name_of("passed");
    prodcon::options options;
    options.capacity = 1;
    options.item_size = 8;
    options.ready = false;
    auto queue = prodcon::queue::create(name, options);
    prodcon::status why = prodcon::status::ok;
    const auto passed = std::chrono::steady_clock::now() - 1s - std::chrono::steady_clock::now();
    for (const std::chrono::nanoseconds wait : {std::chrono::nanoseconds{-1}, std::chrono::nanoseconds{passed}, std::chrono::nanoseconds::min()}) {
        CHECK(!queue.wait_ready(wait));
        queue.set_ready();
        CHECK(!queue.take(wait, &why) && why == prodcon::status::empty);
        CHECK(!queue.get(wait, &why) && why == prodcon::status::empty);
        CHECK(!queue.get_value<int>(wait, &why) && why == prodcon::status::empty);
        CHECK(queue.put("full", wait) == prodcon::status::ok);
        CHECK(queue.put("full", wait) == prodcon::status::full);
        CHECK(queue.put_value(1, wait) == prodcon::status::full);
        auto block = queue.reserve(1);
        CHECK(block.commit(wait) == prodcon::status::full && block.commit(1, wait) == prodcon::status::full);
        block.cancel();
        CHECK(!queue.wait_state(prodcon::state::stopped, wait));
        queue.set_not_ready();
    }
    CHECK(!queue.wait_ready(std::chrono::hours::min()) && !queue.wait_ready(-1h) && !queue.wait_ready(0s));
    alarm(0);
    prodcon::queue::unlink(name);
}

static void forever_and_what_is_as_long_wait_for_an_item() {
    alarm(60);
    const std::string name = name_of("long");
    prodcon::options options;
    options.capacity = 1;
    options.item_size = 8;
    auto queue = prodcon::queue::create(name, options);
    const auto waits = [&](prodcon::timeout wait) {
        auto other = later(name);
        CHECK(queue.get(wait).has_value());
        other.join();
    };
    waits(prodcon::forever);
    waits(std::chrono::nanoseconds::max());
    waits(std::chrono::milliseconds::max()); // in nanoseconds more than 64 bits
    waits(std::chrono::hours::max());
    waits(std::chrono::duration<unsigned long, std::ratio<3600>>::max());
    alarm(0);
    prodcon::queue::unlink(name);
}

static void what_is_wrong_is_thrown() {
    prodcon::queue nothing;
    CHECK(!nothing && thrown_by([&] { (void)nothing.put("x"); }) == prodcon::status::invalid);
    CHECK(thrown_by([] { prodcon::queue::attach("no-such-queue"); }) == prodcon::status::not_found);
    CHECK(thrown_by([] { prodcon::queue::attach("a/b"); }) == prodcon::status::invalid);
    CHECK(thrown_by([] { prodcon::queue::create("zero", prodcon::options{}); }) == prodcon::status::invalid);
    CHECK(std::string(prodcon::text(prodcon::status::no_seat)) == "no free seat");
    const std::string name = name_of("moves");
    prodcon::options options;
    options.capacity = options.item_size = 8;
    options.seats = 2;
    auto first = prodcon::queue::create(name, options);
    auto second = prodcon::queue::attach(name);
    CHECK(thrown_by([&] { prodcon::queue::attach(name); }) == prodcon::status::no_seat);
    second = std::move(first); // gives the seat of the second back
    CHECK(!first && second && second.stats().seats_live == 1);
    second.close();
    second.close();
    prodcon::queue::unlink(name);
}

/// Fails on its first item.
static void fails(prodcon::queue &queue) {
    auto item = queue.take(1min);
    CHECK(item && item->view().as_text() == "job");
    throw std::runtime_error("the work failed");
}

static void what_is_not_acknowledged_is_given_back_or_counts_as_got() {
    for (const bool at_least_once : {true, false}) {
        const std::string name = name_of("fails");
        prodcon::options options;
        options.capacity = options.item_size = 8;
        options.at_least_once = at_least_once;
        auto queue = prodcon::queue::create_or_attach(name, options);
        auto other = prodcon::queue::create_or_attach(name, options);
        CHECK(queue.put("job") == prodcon::status::ok);
        bool failed = false;
        try {
            fails(other);
        } catch (const std::runtime_error &) {
            failed = true;
        }
        CHECK(failed && other.put("next") == prodcon::status::ok); // nothing is in hand
        if (at_least_once) {
            auto item = queue.take(1min);
            CHECK(item && item->view().as_text() == "job" && item->delivery_count() == 2);
            const prodcon_item_id id = item->id();
            item->nack();
            auto again = other.take(1min);
            const prodcon_item_id same = again->id();
            CHECK(std::memcmp(&id, &same, sizeof id) == 0);
            again->ack();
        } else {
            auto item = queue.take(1min);
            CHECK(item && item->view().as_text() == "next");
            CHECK(thrown_by([&] { item->nack(); }) == prodcon::status::invalid); // and it is still in hand
            CHECK(queue.stats().held == 1);
        }
        CHECK(queue.stats().gets == (at_least_once ? 1 : 2) && queue.stats().lost == 0);
        options.capacity = 16;
        CHECK(thrown_by([&] { prodcon::queue::create_or_attach(name, options); }) == prodcon::status::differs);
        prodcon::queue::unlink(name);
    }
}

struct sample {
    std::uint32_t station;
    float celsius;
};

static void a_block_is_a_slice() {
    const std::string name = name_of("slices"), directory = std::getenv("PRODCON_DIR");
    prodcon::options options;
    options.capacity = 4;
    options.item_size = sizeof(sample);
    options.batch = 16;
    options.type_name = "weather.sample";
    options.at_least_once = true;
    options.directory = directory;
    options.attach.role = prodcon::role::producer;
    auto producer = prodcon::queue::create(name, options);
    prodcon::attach_options how;
    how.role = prodcon::role::consumer;
    how.max_unacked = 1;
    how.spin_limit = 0ns;
    how.directory = directory;
    auto consumer = prodcon::queue::attach(name, how);
    CHECK(consumer.stats().seats_live == 3 && consumer.item_size() == sizeof(sample));
    CHECK(thrown_by([&] { (void)consumer.take_slice<std::uint32_t>(); }) == prodcon::status::incompatible);
    prodcon::status why = prodcon::status::ok;
    CHECK(!consumer.take_slice<sample>(1ms, &why) && why == prodcon::status::timed_out);
    sample samples[20] = {};
    for (std::uint32_t each = 0; each < 20; each++) samples[each].station = each;
    std::size_t put = 0;
    OK(prodcon_queue_put_many(producer.handle(), samples, sizeof samples[0], 20, &put, 0));
    {
        auto slice = consumer.take_slice<sample>();
        CHECK(slice && slice->size() == 16 && !slice->empty() && (*slice)[15].station == 15);
        CHECK(slice->id(3).index == 3);
    } // given back: all of it
    auto slice = consumer.take_slice<sample>(1min);
    CHECK(slice && slice->delivery_count() == 2 && slice->size() == 16);
    std::uint32_t expected = 0;
    for (const sample &each : *slice) CHECK(each.station == expected++);
#ifdef __cpp_lib_span
    std::span<const sample> span = *slice;
    CHECK(span.size() == 16 && span.back().station == 15);
#endif
    auto moved = std::move(*slice);
    moved.ack();
    auto rest = consumer.take_slice<sample>();
    CHECK(rest && rest->size() == 4 && consumer.stats().gets == 16);
    rest->ack();
    prodcon::queue::unlink(directory, name);
}

struct alignas(16) wide {
    std::uint64_t two[2];
};

static void a_slice_that_is_refused_takes_nothing_from_an_at_most_once_queue() {
    const std::string name = name_of("wide");
    for (std::uint32_t align : {8u, 16u}) {
        prodcon::options options;
        options.capacity = 4;
        options.item_size = sizeof(wide);
        options.type_name = "wide";
        options.align = align;
        auto queue = prodcon::queue::create(name, options);
        CHECK(queue.put_value(wide{{1, 2}}) == prodcon::status::ok);
        if (align < alignof(wide)) {
            CHECK(thrown_by([&] { (void)queue.take_slice<wide>(); }) == prodcon::status::incompatible);
            CHECK(queue.size() == 1 && queue.stats().gets == 0 && queue.stats().lost == 0);
        } else {
            auto slice = queue.take_slice<wide>();
            CHECK(slice && slice->size() == 1 && (*slice)[0].two[1] == 2);
            slice->ack();
        }
        prodcon::queue::unlink(name);
    }
}

static void items_are_seen_and_waited_for_in_descriptors() {
    const std::string name = name_of("ready");
    prodcon::options options;
    options.capacity = 2;
    options.item_size = 8;
    auto queue = prodcon::queue::create(name, options);
    auto ready = queue.readable_fd();
    CHECK(!queue.latest() && !queue.latest_value<double>() && !ready.arm());
    CHECK(queue.writable_fd().arm());
    CHECK(queue.put_value(20.5) == prodcon::status::ok && queue.put_value(21.0) == prodcon::status::ok);
    pollfd polled{};
    polled.fd = ready.fd();
    polled.events = POLLIN;
    CHECK(poll(&polled, 1, 30000) == 1);
    prodcon_item_id id{};
    CHECK(queue.latest_value<double>(&id) == 21.0 && id.sequence == 1);
    CHECK(queue.peek()->size() == 8 && thrown_by([&] { (void)queue.latest_value<float>(); }) == prodcon::status::too_large);
    auto moved = std::move(ready);
    CHECK(moved.arm() && queue.size() == 2);
    prodcon::queue::unlink(name);
}

static void a_token_ends_waits_and_a_select_says_what_is_ready() {
    const std::string name = name_of("token");
    prodcon::options how;
    how.capacity = 1;
    how.item_size = 8;
    auto plain = prodcon::queue::create(name, how);
    prodcon::cancel_token token;
    prodcon::attach_options with_token;
    with_token.cancel = token;
    with_token.wait_for_queue = 1min;
    auto queue = prodcon::queue::attach(name, with_token);
    std::thread canceller([token] { token.cancel(); });
    prodcon::status why{};
    CHECK(!queue.take(prodcon::forever, &why) && why == prodcon::status::cancelled);
    canceller.join();
    CHECK(token.is_cancelled());
    CHECK(queue.put("seven") == prodcon::status::ok);
    CHECK(queue.put("eight") == prodcon::status::cancelled);
    CHECK(prodcon::select({plain.writable(), plain.readable()}) == std::size_t{1});
    CHECK(prodcon::select({plain.writable(), token.cancelled()}) == std::size_t{1});
    CHECK(!prodcon::select({plain.writable()}, 1ms, &why) && why == prodcon::status::timed_out);
    CHECK(!prodcon::select({queue.writable()}, 1min, &why) && why == prodcon::status::cancelled);
    prodcon::queue::unlink(name);
    with_token.cancel.reset();
    with_token.wait_for_queue = 1ms;
    CHECK(thrown_by([&] { (void)prodcon::queue::attach(name, with_token); }) == prodcon::status::timed_out);
}

static void owned_items_outlive_their_queue() {
    const std::string name = name_of("owned");
    prodcon::options options;
    options.capacity = 4;
    options.item_size = 8;
    options.at_least_once = true;
    auto producer = prodcon::queue::create(name, options);
    prodcon::attach_options how;
    how.max_unacked = 2;
    auto consumer = prodcon::queue::attach(name, how);
    for (const char *text : {"1", "2", "3"}) CHECK(producer.put(text, 0ns) == prodcon::status::ok);
    auto first = consumer.take_owned(), second = consumer.take_owned();
    prodcon::status why = prodcon::status::ok;
    CHECK(!consumer.take_owned(0ns, &why) && why == prodcon::status::empty);
    CHECK(second && second->view().as_text() == "2" && second->delivery_count() == 1 && second->id().sequence == 1);
    second->ack();
    auto third = consumer.take_owned();
    consumer.close();
    CHECK(first->view().as_text() == "1");
    std::thread([moved = std::move(*third)]() mutable { moved.nack(); }).join();
    first.reset(); // given back
    CHECK(producer.stats().gets == 1 && producer.stats().held == 2);
    prodcon::queue::unlink(name);
}

int main() {
    items_are_seen_and_waited_for_in_descriptors();
    a_token_ends_waits_and_a_select_says_what_is_ready();
    owned_items_outlive_their_queue();
    what_is_not_acknowledged_is_given_back_or_counts_as_got();
    a_block_is_a_slice();
    a_slice_that_is_refused_takes_nothing_from_an_at_most_once_queue();
    copies_go_through();
    blocks_are_filled_in_place();
    a_stream_ends();
    a_deadline_that_has_passed_is_no_wait();
    forever_and_what_is_as_long_wait_for_an_item();
    what_is_wrong_is_thrown();
    return 0;
}
