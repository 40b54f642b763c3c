/*
 * prodcon for C++17 and later: a thin header over prodcon.h. Link with -lprodcon.
 *
 *     auto queue = prodcon::queue::attach("frames");
 *     while (auto item = queue.take()) use(item->data(), item->size());      // until end of stream
 *
 * What a running program has to expect is an answer: full, empty, timed_out, not_ready, stopped come back as a `status` or as an empty optional. Everything else (a bad name, no such
 * queue, no seat, damage, misuse) is thrown as `prodcon::error`, with the text of prodcon_last_error().
 *
 * A queue is for one thread at a time and for the process that made it, as in prodcon.h. Items and blocks must not outlive their queue; moving the queue leaves them valid.
 */
#ifndef PRODCON_HPP
#define PRODCON_HPP

#include "prodcon.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__cplusplus) && __cplusplus >= 202002L && defined(__has_include)
#if __has_include(<span>)
#include <span>
#endif
#endif

namespace prodcon {

/// What a call answers; see prodcon.h.
enum class status : prodcon_status {
    ok = PRODCON_OK,
    full = PRODCON_FULL,
    empty = PRODCON_EMPTY,
    timed_out = PRODCON_TIMED_OUT,
    not_ready = PRODCON_NOT_READY,
    stopped = PRODCON_STOPPED,
    too_large = PRODCON_TOO_LARGE,
    not_found = PRODCON_NOT_FOUND,
    exists = PRODCON_EXISTS,
    incompatible = PRODCON_INCOMPATIBLE,
    no_seat = PRODCON_NO_SEAT,
    corrupt = PRODCON_CORRUPT,
    forked = PRODCON_FORKED,
    invalid = PRODCON_INVALID,
    os = PRODCON_OS,
    panic = PRODCON_PANIC,
    exhausted = PRODCON_EXHAUSTED
};

/// A status in a few words.
inline const char *text(status code) noexcept { return prodcon_status_text(static_cast<prodcon_status>(code)); }

/// What is not an answer. what() names the queue, the values, and what to do.
class error : public std::runtime_error {
  public:
    error(status code, const char *what) : std::runtime_error(what), code_(code) {}
    status code() const noexcept { return code_; }

  private:
    status code_;
};

namespace detail {

/// Throws what is neither ok nor an answer.
inline status answer(prodcon_status code) {
    switch (code) {
    case PRODCON_OK:
    case PRODCON_FULL:
    case PRODCON_EMPTY:
    case PRODCON_TIMED_OUT:
    case PRODCON_NOT_READY:
    case PRODCON_STOPPED:
        return static_cast<status>(code);
    default:
        throw error(static_cast<status>(code), prodcon_last_error());
    }
}

/// Throws what is not ok.
inline void done(prodcon_status code) {
    if (code != PRODCON_OK) throw error(static_cast<status>(code), prodcon_last_error());
}

template <class T>
using plain = std::enable_if_t<std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>>;

} // namespace detail

/// Bytes that belong to somebody else (what std::span<const std::byte> is in C++20, to which it converts).
class bytes_view {
  public:
    constexpr bytes_view() noexcept = default;
    bytes_view(const void *data, std::size_t size) noexcept : data_(static_cast<const std::byte *>(data)), size_(size) {}
    bytes_view(std::string_view text) noexcept : bytes_view(text.data(), text.size()) {}
    bytes_view(const std::string &text) noexcept : bytes_view(text.data(), text.size()) {}
    bytes_view(const char *text) noexcept : bytes_view(std::string_view(text)) {}
    template <class T, class A, class = detail::plain<T>>
    bytes_view(const std::vector<T, A> &values) noexcept : bytes_view(values.data(), values.size() * sizeof(T)) {}
#ifdef __cpp_lib_span
    bytes_view(std::span<const std::byte> bytes) noexcept : bytes_view(bytes.data(), bytes.size()) {}
    operator std::span<const std::byte>() const noexcept { return {data_, size_}; }
#endif

    const std::byte *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const std::byte *begin() const noexcept { return data_; }
    const std::byte *end() const noexcept { return data_ + size_; }
    std::byte operator[](std::size_t index) const noexcept { return data_[index]; }
    std::string_view as_text() const noexcept { return {reinterpret_cast<const char *>(data_), size_}; }

  private:
    const std::byte *data_ = nullptr;
    std::size_t size_ = 0;
};

/// How long a call waits, at most: any std::chrono duration in whole nanoseconds or more. Less than nothing, as what
/// is left until a deadline that has passed, is `no_wait`; more than 292 years is `forever`.
class timeout {
  public:
    template <class Rep, class Period, class = std::enable_if_t<std::is_convertible_v<std::chrono::duration<Rep, Period>, std::chrono::nanoseconds>>>
    constexpr timeout(std::chrono::duration<Rep, Period> time) noexcept {
        // In floating point, because a count of nanoseconds may not hold it.
        constexpr double most = 9223372036854775807.0;
        const double about = std::chrono::duration<double, std::nano>(time).count();
        ns_ = about <= 0 ? 0 : about >= most ? forever_ : std::chrono::nanoseconds(time).count();
    }
    /// Waits as long as it takes.
    static constexpr timeout infinite() noexcept { return std::chrono::nanoseconds::max(); }
    /// As the functions of prodcon.h want it.
    constexpr std::int64_t nanoseconds() const noexcept { return ns_; }

  private:
    static constexpr std::int64_t forever_ = -1;
    std::int64_t ns_ = 0;
};
/// Wait as long as it takes.
inline constexpr timeout forever = timeout::infinite();
/// Do not wait.
inline constexpr timeout no_wait = std::chrono::nanoseconds::zero();

enum class state : std::int32_t { stopped = PRODCON_STOPPED_STATE, started = PRODCON_STARTED, stop_at_queue_end = PRODCON_STOP_AT_QUEUE_END };

/// How a queue is created.
struct options {
    std::uint32_t capacity = 0;
    std::uint32_t item_size = 0;
    std::uint32_t seats = 0; ///< 0: 64
    bool lossy = false;
    bool at_least_once = false;
    bool ready = true;
    std::uint32_t mode = 0; ///< 0: 0600
};

/// An item in hand, in place. Acknowledged when it is destroyed.
class item {
  public:
    item(item &&other) noexcept : queue_(std::exchange(other.queue_, nullptr)), view_(other.view_) {}
    item &operator=(item &&other) noexcept {
        if (this != &other) {
            settle();
            queue_ = std::exchange(other.queue_, nullptr);
            view_ = other.view_;
        }
        return *this;
    }
    ~item() { settle(); }

    const std::byte *data() const noexcept { return view_.data(); }
    std::size_t size() const noexcept { return view_.size(); }
    bytes_view view() const noexcept { return view_; }

    /// Acknowledges it now.
    void release() { detail::done(prodcon_queue_release(std::exchange(queue_, nullptr))); }
    /// Gives it back for another consumer (at-least-once). If that throws, the item is still in hand.
    void give_back() {
        detail::done(prodcon_queue_nack(queue_));
        queue_ = nullptr;
    }

  private:
    friend class queue;
    item(prodcon_queue *queue, bytes_view view) noexcept : queue_(queue), view_(view) {}
    void settle() noexcept {
        if (queue_) (void)prodcon_queue_release(std::exchange(queue_, nullptr));
    }

    prodcon_queue *queue_;
    bytes_view view_;
};

/// A block to be filled in place, then committed. Destroyed without that, nothing is put.
class block {
  public:
    block(block &&other) noexcept : queue_(std::exchange(other.queue_, nullptr)), data_(other.data_), size_(other.size_) {}
    block &operator=(block &&other) noexcept {
        if (this != &other) {
            cancel();
            queue_ = std::exchange(other.queue_, nullptr);
            data_ = other.data_;
            size_ = other.size_;
        }
        return *this;
    }
    ~block() { cancel(); }

    std::byte *data() noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    std::byte *begin() noexcept { return data_; }
    std::byte *end() noexcept { return data_ + size_; }

    /// Puts it. Unless the answer is ok, it is still reserved.
    [[nodiscard]] status commit(timeout wait = forever) { return commit(size_, wait); }
    /// Puts its first `size` bytes.
    [[nodiscard]] status commit(std::size_t size, timeout wait) {
        const status answered = detail::answer(prodcon_queue_commit(queue_, size, wait.nanoseconds()));
        if (answered == status::ok) queue_ = nullptr;
        return answered;
    }
    /// Puts nothing.
    void cancel() noexcept {
        if (queue_) (void)prodcon_queue_cancel(std::exchange(queue_, nullptr));
    }

  private:
    friend class queue;
    block(prodcon_queue *queue, void *data, std::size_t size) noexcept : queue_(queue), data_(static_cast<std::byte *>(data)), size_(size) {}

    prodcon_queue *queue_;
    std::byte *data_;
    std::size_t size_;
};

/// An endpoint of a queue: one seat, given back when it is destroyed.
class queue {
  public:
    /// Attached to nothing: every call throws.
    queue() noexcept = default;
    queue(queue &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    queue &operator=(queue &&other) noexcept {
        if (this != &other) {
            close();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~queue() { close(); }

    static queue create(const std::string &name, const options &how) {
        prodcon_options c{};
        c.size = sizeof c;
        c.capacity = how.capacity;
        c.item_size = how.item_size;
        c.seats = how.seats;
        c.flags = (how.lossy ? PRODCON_LOSSY : 0u) | (how.at_least_once ? PRODCON_AT_LEAST_ONCE : 0u) | (how.ready ? 0u : PRODCON_CREATE_NOT_READY);
        c.mode = how.mode;
        queue made;
        detail::done(prodcon_queue_create(name.c_str(), &c, &made.handle_));
        return made;
    }
    static queue attach(const std::string &name) {
        queue made;
        detail::done(prodcon_queue_attach(name.c_str(), &made.handle_));
        return made;
    }
    static void unlink(const std::string &name) { detail::done(prodcon_queue_unlink(name.c_str())); }

    void close() noexcept { prodcon_queue_close(std::exchange(handle_, nullptr)); }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// For the functions of prodcon.h.
    prodcon_queue *handle() const noexcept { return handle_; }

    /// Puts a copy: ok, full, timed_out, not_ready or stopped.
    [[nodiscard]] status put(bytes_view bytes, timeout wait = forever) { return detail::answer(prodcon_queue_put(handle_, bytes.data(), bytes.size(), wait.nanoseconds())); }
    /// Puts the bytes of a value.
    template <class T, class = detail::plain<T>>
    [[nodiscard]] status put_value(const T &value, timeout wait = forever) {
        return detail::answer(prodcon_queue_put(handle_, &value, sizeof value, wait.nanoseconds()));
    }
    /// A block of so many bytes, to be filled in place.
    [[nodiscard]] block reserve(std::size_t size) {
        void *data = nullptr;
        detail::done(prodcon_queue_reserve(handle_, size, &data));
        return block(handle_, data, size);
    }

    /// The oldest item, in place. Nothing: empty, timed_out or stopped (end of stream), which `why` tells.
    [[nodiscard]] std::optional<item> take(timeout wait = forever, status *why = nullptr) {
        const void *data = nullptr;
        std::size_t size = 0;
        const status answered = detail::answer(prodcon_queue_take(handle_, &data, &size, wait.nanoseconds()));
        if (why) *why = answered;
        if (answered != status::ok) return std::nullopt;
        return item(handle_, bytes_view(data, size));
    }
    /// A copy of the oldest item; nothing as in take.
    [[nodiscard]] std::optional<std::vector<std::byte>> get(timeout wait = forever, status *why = nullptr) {
        auto taken = take(wait, why);
        if (!taken) return std::nullopt;
        return std::vector<std::byte>(taken->view().begin(), taken->view().end());
    }
    /// The oldest item as a value; nothing as in take. An item of another size is thrown as too_large or invalid, and is acknowledged in the latter case only.
    template <class T, class = detail::plain<T>>
    [[nodiscard]] std::optional<T> get_value(timeout wait = forever, status *why = nullptr) {
        T value;
        std::size_t size = 0;
        const status answered = detail::answer(prodcon_queue_get(handle_, &value, sizeof value, &size, wait.nanoseconds()));
        if (why) *why = answered;
        if (answered != status::ok) return std::nullopt;
        if (size != sizeof value) throw error(status::invalid, ("an item of " + std::to_string(size) + " bytes, where the type has " + std::to_string(sizeof value)).c_str());
        return value;
    }

    void set_ready() { detail::done(prodcon_queue_set_ready(handle_)); }
    void set_not_ready() { detail::done(prodcon_queue_set_not_ready(handle_)); }
    void clear() { detail::done(prodcon_queue_clear(handle_)); }
    [[nodiscard]] bool is_ready() const {
        bool ready = false;
        detail::done(prodcon_queue_is_ready(handle_, &ready));
        return ready;
    }
    /// The name was removed: what has it by then, if anything, is another queue.
    [[nodiscard]] bool is_removed() const {
        bool removed = false;
        detail::done(prodcon_queue_is_removed(handle_, &removed));
        return removed;
    }
    /// False: not in that time.
    bool wait_ready(timeout wait = forever) { return detail::answer(prodcon_queue_wait_ready(handle_, wait.nanoseconds())) == status::ok; }
    [[nodiscard]] std::size_t size() const {
        std::size_t length = 0;
        detail::done(prodcon_queue_len(handle_, &length));
        return length;
    }
    [[nodiscard]] std::size_t capacity() const {
        std::size_t capacity = 0;
        detail::done(prodcon_queue_capacity(handle_, &capacity));
        return capacity;
    }
    [[nodiscard]] state get_state() const {
        std::int32_t number = 0;
        detail::done(prodcon_queue_get_state(handle_, &number));
        return static_cast<state>(number);
    }
    void set_state(state to) { detail::done(prodcon_queue_set_state(handle_, static_cast<std::int32_t>(to))); }
    /// False: not in that time.
    bool wait_state(state wanted, timeout wait = forever) { return detail::answer(prodcon_queue_wait_state(handle_, static_cast<std::int32_t>(wanted), wait.nanoseconds())) == status::ok; }
    [[nodiscard]] prodcon_stats stats() const {
        prodcon_stats figures{};
        figures.size = sizeof figures;
        detail::done(prodcon_queue_stats(handle_, &figures));
        return figures;
    }
    /// Seats of dead processes that were resolved, and that must wait.
    std::pair<std::uint32_t, std::uint32_t> recover() {
        std::pair<std::uint32_t, std::uint32_t> seats{0, 0};
        detail::done(prodcon_queue_recover(handle_, &seats.first, &seats.second));
        return seats;
    }

  private:
    prodcon_queue *handle_ = nullptr;
};

} // namespace prodcon

#endif
