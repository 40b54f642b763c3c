// camera NAME FRAMES: puts FRAMES frames of 1 MiB into the queue NAME.
// camera NAME --watch: makes that queue, looks at each frame until the end of the stream, and removes it.
//
// No frame is ever copied: the camera draws into a block of the queue (reserve, commit), the watcher reads the same memory (take, ack).

#include "prodcon.hpp"

#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace {

constexpr std::uint32_t width = 1024, height = 1024;

struct header {
    std::uint64_t number;
    std::uint32_t width, height;
};

constexpr std::size_t frame_size = width * height; // the header lies on the first pixels

/// A grey ramp that moves with the frame's number.
void draw(prodcon::block &block, std::uint64_t number) {
    for (std::uint32_t y = 0; y < height; y++) std::memset(block.data() + y * width, static_cast<int>((y + number) & 0xFF), width);
    const header head{number, width, height};
    std::memcpy(block.data(), &head, sizeof head);
}

bool looks_right(const prodcon::item &frame, std::uint64_t number) {
    header head;
    std::memcpy(&head, frame.data(), sizeof head);
    if (frame.size() != frame_size || head.number != number || head.width != width) return false;
    for (std::uint32_t y = 0; y < height; y++) {
        const auto grey = static_cast<std::byte>((y + number) & 0xFF);
        const std::byte *row = frame.data() + y * width;
        if (row[width / 2] != grey || row[width - 1] != grey) return false;
    }
    return true;
}

int shoot(const std::string &name, std::uint64_t frames) {
    auto queue = prodcon::queue::attach(name);
    for (std::uint64_t number = 0; number < frames; number++) {
        auto block = queue.reserve(frame_size);
        draw(block, number);
        const auto answered = block.commit(); // waits while the watcher is behind; with options.lossy it would drop the oldest frame instead
        if (answered != prodcon::status::ok) {
            std::cerr << "frame " << number << ": " << prodcon::text(answered) << '\n';
            return 1;
        }
    }
    queue.set_state(prodcon::state::stop_at_queue_end);
    return 0;
}

int watch(const std::string &name) {
    prodcon::options options;
    options.capacity = 4;
    options.item_size = frame_size;
    options.seats = 8;
    auto queue = prodcon::queue::create(name, options);
    std::uint64_t frames = 0, wrong = 0;
    while (auto frame = queue.take()) {
        if (!looks_right(*frame, frames)) wrong++;
        frames++;
        frame->ack();
    }
    std::cout << frames << " frames, " << wrong << " wrong\n";
    prodcon::queue::unlink(name);
    return wrong == 0 ? 0 : 1;
}

} // namespace

int main(int count, char **arguments) {
    if (count != 3) {
        std::cerr << "usage: camera NAME FRAMES | camera NAME --watch\n";
        return 2;
    }
    try {
        return std::string_view(arguments[2]) == "--watch" ? watch(arguments[1]) : shoot(arguments[1], std::strtoull(arguments[2], nullptr, 10));
    } catch (const prodcon::error &error) {
        std::cerr << "camera: " << error.what() << '\n';
        return 1;
    }
}
