// The parts that are killed, with boost::interprocess::message_queue: put for ever, get for ever. What is counted, and how, stands in board.rs.
// Arguments: make|put|get, the queue's name, its capacity, and for put and get: the board's file, its size, the slot, offsets of halt, intent, done, got, twice, corrupt
// and marks, bytes of marks of one producer.
#include <atomic>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>

using word = std::atomic<std::uint64_t>;
static constexpr int WORDS = 8;
static constexpr std::uint64_t SPREAD = 0x9E3779B97F4A7C15ull;
static char *board;
static std::size_t size_of_board;

static word &at(std::uint64_t offset) {
    if (offset + 8 > size_of_board) std::abort();
    return *reinterpret_cast<word *>(board + offset);
}

int main(int count, char **arguments) try {
    using namespace boost::interprocess;
    const std::string role = arguments[1];
    if (role == "make") {
        message_queue queue(create_only, arguments[2], std::strtoull(arguments[3], nullptr, 10), WORDS * 8);
        return 0;
    }
    if (count < 14) return 2;
    auto number = [&](int index) { return std::strtoull(arguments[index], nullptr, 10); };
    int file = open(arguments[4], O_RDWR);
    size_of_board = number(5);
    board = static_cast<char *>(mmap(nullptr, size_of_board, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    if (board == MAP_FAILED) return 3;
    const std::uint64_t slot = number(6), producers_apart = number(15);
    word &halt = at(number(7)), &intent = at(number(8)), &done = at(number(9));
    word &got = at(number(10)), &twice = at(number(11)), &corrupt = at(number(12));
    const std::uint64_t marks = number(13), marks_each = number(14);
    message_queue queue(open_only, arguments[2]);
    std::uint64_t item[WORDS];
    if (role == "put") {
        while (!halt.load() && intent.load() < marks_each * 8) {
            const std::uint64_t sequence = intent.load();
            intent.store(sequence + 1);
            item[0] = slot << 48 | sequence;
            for (int index = 1; index < WORDS; index++) item[index] = item[0] * SPREAD + index;
            queue.send(item, sizeof item, 0);
            done.store(sequence + 1);
        }
        return 0;
    }
    for (;;) {
        message_queue::size_type length;
        unsigned priority;
        queue.receive(item, sizeof item, length, priority);
        bool intact = length == sizeof item;
        for (int index = 1; index < WORDS; index++) intact &= item[index] == item[0] * SPREAD + index;
        const std::uint64_t producer = item[0] >> 48, sequence = item[0] & ((1ull << 48) - 1);
        // The first producer's intent lies as far before ours as our slot says.
        const bool known = producer < 4 && sequence < at(number(8) - slot * producers_apart + producer * producers_apart).load();
        if (!intact || !known || sequence >= marks_each * 8) {
            corrupt.fetch_add(1);
        } else {
            const std::uint64_t bit = 1ull << (sequence % 64);
            if (at(marks + producer * marks_each + sequence / 64 * 8).fetch_or(bit) & bit) twice.fetch_add(1);
        }
        got.fetch_add(1);
    }
} catch (const std::exception &error) {
    std::fprintf(stderr, "  boost: %s\n", error.what());
    return 1;
}
