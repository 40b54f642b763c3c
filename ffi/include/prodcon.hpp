/*
 * prodcon for C++17 and later: a thin header over prodcon.h. Link with -lprodcon.
 *
 *     auto queue = prodcon::queue::attach("jobs");
 *     while (auto item = queue.take()) { // until the end of the stream
 *         work(item->data(), item->size());
 *         item->ack(); // an exception before this line: another consumer gets the item
 *     }
 *
 * What a running program has to expect is an answer: full, empty, timed_out, not_ready, stopped,
 * cancelled come back as a `status` or as an empty optional. Everything else (a bad name, no such queue, no seat,
 * damage, misuse) is thrown as `prodcon::error`, with the text of prodcon_last_error().
 *
 * An item in hand that is destroyed without ack(), by an exception or at the end of its scope, is given
 * back (at-least-once), or counts as got (at-most-once).
 *
 * A queue is for one thread at a time and for the process that made it, as in prodcon.h. Items, slices
 * and blocks must not outlive their queue; moving the queue leaves them valid.
 */
#ifndef PRODCON_HPP
#define PRODCON_HPP

#include "prodcon.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
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

/// The answer of a call; see prodcon.h.
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
    exhausted = PRODCON_EXHAUSTED,
    cancelled = PRODCON_CANCELLED,
    differs = PRODCON_DIFFERS
};

/// Says in a few words what a status means.
inline const char *text(status code) noexcept { return prodcon_status_text(static_cast<prodcon_status>(code)); }

/// Thrown for everything that is not an answer. what() names the queue, the values, and what to do.
class error : public std::runtime_error {
  public:
    error(status code, const char *what) : std::runtime_error(what), code_(code) {}
    status code() const noexcept { return code_; }

  private:
    status code_;
};

class queue;

/// Something to wait for with select(); made by queue::readable(), queue::writable() and
/// cancel_token::cancelled(). Its queue or token has to live as long.
class interest {
  public:
    /// Converts it for prodcon_select.
    const prodcon_interest &for_c() const noexcept { return c_; }

  private:
    friend class queue;
    friend class cancel_token;
    explicit interest(prodcon_interest c) noexcept : c_(c) {}

    prodcon_interest c_;
};

/// Ends the waits of the queues that were attached with it. Copies are the same token; it is for
/// any thread of the process that made it. cancel() may be called in a signal handler.
class cancel_token {
  public:
    cancel_token() : token_(prodcon_token_new(), prodcon_token_free) {
        if (!token_) throw std::bad_alloc();
    }
    /// Cancels it permanently: every wait, under way or later, answers status::cancelled.
    void cancel() const noexcept { prodcon_token_cancel(token_.get()); }
    [[nodiscard]] bool is_cancelled() const noexcept { return prodcon_token_is_cancelled(token_.get()); }
    [[nodiscard]] interest cancelled() const noexcept {
        prodcon_interest c{};
        c.token = token_.get();
        return interest(c);
    }
    /// Returns the handle for the functions of prodcon.h.
    const prodcon_token *handle() const noexcept { return token_.get(); }

  private:
    std::shared_ptr<prodcon_token> token_;
};

namespace detail {

/// Throws a status that is neither ok nor an answer.
inline status answer(prodcon_status code) {
    switch (code) {
    case PRODCON_OK:
    case PRODCON_FULL:
    case PRODCON_EMPTY:
    case PRODCON_TIMED_OUT:
    case PRODCON_NOT_READY:
    case PRODCON_STOPPED:
    case PRODCON_CANCELLED:
        return static_cast<status>(code);
    default:
        throw error(static_cast<status>(code), prodcon_last_error());
    }
}

/// Throws a status that is not ok.
inline void done(prodcon_status code) {
    if (code != PRODCON_OK) throw error(static_cast<status>(code), prodcon_last_error());
}

template <class T>
using plain = std::enable_if_t<std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>>;

} // namespace detail

/// Bytes that another object owns. It is what std::span<const std::byte> is in C++20, to which it
/// converts.
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

/// The longest time that a call waits: any std::chrono duration in whole nanoseconds or more. A
/// negative one, such as the rest of a deadline that has passed, is `no_wait`. More than 292 years
/// is `forever`.
class timeout {
  public:
    template <class Rep, class Period, class = std::enable_if_t<std::is_convertible_v<std::chrono::duration<Rep, Period>, std::chrono::nanoseconds>>>
    constexpr timeout(std::chrono::duration<Rep, Period> time) noexcept {
        // In floating point, because a count of nanoseconds may not hold it.
        constexpr double most = 9223372036854775807.0;
        const double about = std::chrono::duration<double, std::nano>(time).count();
        ns_ = about <= 0 ? 0 : about >= most ? forever_ : std::chrono::nanoseconds(time).count();
    }
    /// Waits without a limit.
    static constexpr timeout infinite() noexcept { return std::chrono::nanoseconds::max(); }
    /// Converts it for the functions of prodcon.h.
    constexpr std::int64_t nanoseconds() const noexcept { return ns_; }

  private:
    static constexpr std::int64_t forever_ = -1;
    std::int64_t ns_ = 0;
};
/// Wait without a limit.
inline constexpr timeout forever = timeout::infinite();
/// Do not wait.
inline constexpr timeout no_wait = std::chrono::nanoseconds::zero();

enum class state : std::int32_t { stopped = PRODCON_STOPPED_STATE, started = PRODCON_STARTED, stop_at_queue_end = PRODCON_STOP_AT_QUEUE_END };

/// What an endpoint is for.
enum class role : std::uint32_t { both = PRODCON_BOTH, producer = PRODCON_PRODUCER, consumer = PRODCON_CONSUMER };

/// How an endpoint attaches; see prodcon_attach_options.
struct attach_options {
    prodcon::role role = prodcon::role::both;
    std::uint32_t max_unacked = 0;                      ///< seats set aside for items in hand
    std::uint32_t min_unacked = 0;                      ///< 0 stands for max_unacked
    std::optional<std::chrono::nanoseconds> spin_limit; ///< without a value, 20 microseconds
    std::string directory;                              ///< if empty, PRODCON_DIR or /dev/shm
    std::optional<cancel_token> cancel;                 ///< ends the endpoint's waits
    std::optional<timeout> wait_for_queue;              ///< how long to wait until it is created
};

/// How a queue is created; see prodcon_options.
struct options {
    std::uint32_t capacity = 0;
    std::uint32_t item_size = 0;
    std::uint32_t seats = 0; ///< 0 stands for 64
    bool lossy = false;
    bool at_least_once = false;
    bool ready = true;
    std::uint32_t mode = 0;           ///< 0 stands for 0600
    std::uint32_t batch = 0;          ///< items of a block; more than 1 needs a type_name
    std::string dead_letter;          ///< the queue for items that always fail, if not empty
    std::uint32_t max_deliveries = 0; ///< how often an item is delivered before it goes there
    std::string type_name;            ///< of the plain type that all items have; if empty, items are bytes
    std::uint32_t align = 0;          ///< of items; 0 stands for 8
    std::string directory;            ///< if empty, that of `attach`
    attach_options attach;            ///< of the endpoint that creates the queue
    bool copy_in_slot = true;         ///< see PRODCON_NO_COPY_IN_SLOT
};

namespace detail {

/// Returns NULL for a text that is missing.
inline const char *or_null(const std::string &text) noexcept { return text.empty() ? nullptr : text.c_str(); }

inline prodcon_attach_options for_c(const attach_options &how) noexcept {
    prodcon_attach_options c{};
    c.size = sizeof c;
    c.role = static_cast<std::uint32_t>(how.role);
    c.max_unacked = how.max_unacked;
    c.min_unacked = how.min_unacked;
    if (how.spin_limit) c.spin_limit_ns = how.spin_limit->count() > 0 ? how.spin_limit->count() : -1;
    c.directory = or_null(how.directory);
    if (how.cancel) c.cancel = how.cancel->handle();
    if (how.wait_for_queue) c.wait_for_queue_ns = how.wait_for_queue->nanoseconds();
    return c;
}

/// `attach` has to live as long as what this returns.
inline prodcon_options for_c(const options &how, const prodcon_attach_options &attach) noexcept {
    prodcon_options c{};
    c.size = sizeof c;
    c.capacity = how.capacity;
    c.item_size = how.item_size;
    c.seats = how.seats;
    c.flags = (how.lossy ? PRODCON_LOSSY : 0u) | (how.at_least_once ? PRODCON_AT_LEAST_ONCE : 0u) |
              (how.ready ? 0u : PRODCON_CREATE_NOT_READY) | (how.copy_in_slot ? 0u : PRODCON_NO_COPY_IN_SLOT);
    c.mode = how.mode;
    c.batch = how.batch;
    c.max_deliveries = how.max_deliveries;
    c.dead_letter = or_null(how.dead_letter);
    c.type_name = or_null(how.type_name);
    c.directory = or_null(how.directory);
    c.attach = &attach;
    c.align = how.align;
    return c;
}

/// The items of a queue that are in hand.
class in_hand {
  public:
    in_hand(in_hand &&other) noexcept : queue_(std::exchange(other.queue_, nullptr)) {}
    in_hand &operator=(in_hand &&other) noexcept {
        if (this != &other) {
            settle();
            queue_ = std::exchange(other.queue_, nullptr);
        }
        return *this;
    }

    /// Acknowledges it: the work is done, and no other consumer gets it.
    void ack() { done(prodcon_queue_ack(std::exchange(queue_, nullptr))); }
    /// Gives it back, to another consumer. If that throws (at-most-once), it is still in hand.
    void nack() {
        done(prodcon_queue_nack(queue_));
        queue_ = nullptr;
    }
    /// Says how many times it has been delivered, this time included.
    [[nodiscard]] std::uint32_t delivery_count() const {
        std::uint32_t count = 0;
        done(prodcon_queue_delivery_count(queue_, &count));
        return count;
    }

  protected:
    explicit in_hand(prodcon_queue *queue) noexcept : queue_(queue) {}
    ~in_hand() { settle(); }
    [[nodiscard]] prodcon_item_id id_of(std::size_t number) const {
        prodcon_item_id id{};
        id.size = sizeof id;
        done(prodcon_queue_item_id(queue_, number, &id));
        return id;
    }

  private:
    void settle() noexcept {
        if (queue_) (void)prodcon_queue_drop(std::exchange(queue_, nullptr));
    }

    prodcon_queue *queue_;
};

} // namespace detail

/// An item in hand, in place. Call ack() when the work is done. If it is destroyed without that, it
/// is given back (at-least-once) or counts as got (at-most-once).
class [[nodiscard]] item : public detail::in_hand {
  public:
    const std::byte *data() const noexcept { return view_.data(); }
    std::size_t size() const noexcept { return view_.size(); }
    bytes_view view() const noexcept { return view_; }
    /// Identifies the item, forever.
    [[nodiscard]] prodcon_item_id id() const { return id_of(0); }

  private:
    friend class queue;
    item(prodcon_queue *queue, bytes_view view) noexcept : in_hand(queue), view_(view) {}

    bytes_view view_;
};

/// An item in hand that is no longer tied to its queue. It may go to another thread, it outlives
/// the queue, and several may be settled in any order. If it is destroyed without ack(), it is
/// given back (at-least-once) or counts as got (at-most-once).
class [[nodiscard]] owned_item {
  public:
    owned_item(owned_item &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)), view_(other.view_) {}
    owned_item &operator=(owned_item &&other) noexcept {
        if (this != &other) {
            prodcon_delivery_drop(std::exchange(handle_, other.handle_));
            other.handle_ = nullptr;
            view_ = other.view_;
        }
        return *this;
    }
    ~owned_item() { prodcon_delivery_drop(handle_); }

    const std::byte *data() const noexcept { return view_.data(); }
    std::size_t size() const noexcept { return view_.size(); }
    bytes_view view() const noexcept { return view_; }
    /// Acknowledges it: the work is done, and no other consumer gets it.
    void ack() { detail::done(prodcon_delivery_ack(std::exchange(handle_, nullptr))); }
    /// Gives it back. If that throws (at-most-once), it is still in hand.
    void nack() {
        detail::done(prodcon_delivery_nack(handle_));
        handle_ = nullptr;
    }
    /// Says how many times it has been delivered, this time included.
    [[nodiscard]] std::uint32_t delivery_count() const {
        std::uint32_t count = 0;
        detail::done(prodcon_delivery_count(handle_, &count));
        return count;
    }
    /// Identifies the item, forever.
    [[nodiscard]] prodcon_item_id id() const {
        prodcon_item_id id{};
        id.size = sizeof id;
        detail::done(prodcon_delivery_item_id(handle_, &id));
        return id;
    }

  private:
    friend class queue;
    explicit owned_item(prodcon_delivery *handle) : handle_(handle) {
        const void *data = nullptr;
        std::size_t size = 0;
        detail::done(prodcon_delivery_data(handle_, &data, &size));
        view_ = bytes_view(data, size);
    }

    prodcon_delivery *handle_;
    bytes_view view_;
};

/// The items of one block in hand, in place. ack() acknowledges them all. In all else it works as
/// an item.
template <class T>
class [[nodiscard]] slice : public detail::in_hand {
  public:
    const T *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const T *begin() const noexcept { return data_; }
    const T *end() const noexcept { return data_ + size_; }
    const T &operator[](std::size_t index) const noexcept { return data_[index]; }
    /// Identifies item `index`, forever.
    [[nodiscard]] prodcon_item_id id(std::size_t index) const { return id_of(index); }
#ifdef __cpp_lib_span
    operator std::span<const T>() const noexcept { return {data_, size_}; }
#endif

  private:
    friend class queue;
    slice(prodcon_queue *queue, const void *data, std::size_t size) noexcept
        : in_hand(queue), data_(static_cast<const T *>(data)), size_(size) {}

    const T *data_;
    std::size_t size_;
};

/// A block to be filled in place and then committed. If it is destroyed without that, nothing is
/// put.
class [[nodiscard]] block {
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

/// A descriptor that becomes readable when a get or a put on a queue is worth a try, once it is
/// armed. queue::readable_fd and queue::writable_fd make it. It may outlive its queue.
class ready_fd {
  public:
    ready_fd(ready_fd &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ready_fd &operator=(ready_fd &&other) noexcept {
        if (this != &other) {
            prodcon_fd_close(handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~ready_fd() { prodcon_fd_close(handle_); }

    /// Returns the descriptor, for poll and epoll. Do not read or close it.
    [[nodiscard]] int fd() const {
        int number = -1;
        detail::done(prodcon_fd_number(handle_, &number));
        return number;
    }
    /// Resets it and arms it. If it returns true, there is something already, so try and do not
    /// poll.
    [[nodiscard]] bool arm() {
        bool ready = false;
        detail::done(prodcon_fd_arm(handle_, &ready));
        return ready;
    }

  private:
    friend class queue;
    ready_fd() noexcept = default;

    prodcon_fd *handle_ = nullptr;
};

/// An endpoint of a queue. It has one seat, which is given back when it is destroyed.
class queue {
  public:
    /// Makes an endpoint that is attached to no queue. Every call on it throws.
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

    static queue create(const std::string &name, const options &how) { return made(prodcon_queue_create, name, how); }
    /// Attaches to the queue if it exists, and otherwise creates it. If it has other options,
    /// throws status::differs.
    static queue create_or_attach(const std::string &name, const options &how) {
        return made(prodcon_queue_create_or_attach, name, how);
    }
    static queue attach(const std::string &name) {
        queue made;
        detail::done(prodcon_queue_attach(name.c_str(), &made.handle_));
        return made;
    }
    static queue attach(const std::string &name, const attach_options &how) {
        const prodcon_attach_options c = detail::for_c(how);
        queue made;
        detail::done(prodcon_queue_attach_with(name.c_str(), &c, &made.handle_));
        return made;
    }
    static void unlink(const std::string &name) { detail::done(prodcon_queue_unlink(name.c_str())); }
    static void unlink(const std::string &directory, const std::string &name) {
        detail::done(prodcon_queue_unlink_in(directory.c_str(), name.c_str()));
    }

    void close() noexcept { prodcon_queue_close(std::exchange(handle_, nullptr)); }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// Returns the handle for the functions of prodcon.h.
    prodcon_queue *handle() const noexcept { return handle_; }

    /// Puts a copy. Answers ok, full, timed_out, not_ready, stopped or cancelled.
    [[nodiscard]] status put(bytes_view bytes, timeout wait = forever) { return detail::answer(prodcon_queue_put(handle_, bytes.data(), bytes.size(), wait.nanoseconds())); }
    /// Puts the bytes of a value.
    template <class T, class = detail::plain<T>>
    [[nodiscard]] status put_value(const T &value, timeout wait = forever) {
        return detail::answer(prodcon_queue_put(handle_, &value, sizeof value, wait.nanoseconds()));
    }
    /// Reserves a block of `size` bytes, to be filled in place.
    [[nodiscard]] block reserve(std::size_t size) {
        void *data = nullptr;
        detail::done(prodcon_queue_reserve(handle_, size, &data));
        return block(handle_, data, size);
    }

    /// Takes the oldest item, in place. If there is none, `why` is empty, timed_out, cancelled or
    /// stopped (end of stream).
    [[nodiscard]] std::optional<item> take(timeout wait = forever, status *why = nullptr) {
        const void *data = nullptr;
        std::size_t size = 0;
        const status answered = detail::answer(prodcon_queue_take(handle_, &data, &size, wait.nanoseconds()));
        if (why) *why = answered;
        if (answered != status::ok) return std::nullopt;
        return item(handle_, bytes_view(data, size));
    }
    /// Takes the oldest item with a seat of its own (see attach_options::max_unacked). Returns
    /// nothing in the same cases as take.
    [[nodiscard]] std::optional<owned_item> take_owned(timeout wait = forever, status *why = nullptr) {
        prodcon_delivery *delivery = nullptr;
        const status answered = detail::answer(prodcon_queue_take_owned(handle_, &delivery, wait.nanoseconds()));
        if (why) *why = answered;
        if (answered != status::ok) return std::nullopt;
        return owned_item(delivery);
    }
    /// Gets a copy of the oldest item. Returns nothing in the same cases as take.
    [[nodiscard]] std::optional<std::vector<std::byte>> get(timeout wait = forever, status *why = nullptr) {
        auto taken = take(wait, why);
        if (!taken) return std::nullopt;
        std::vector<std::byte> copy(taken->view().begin(), taken->view().end());
        taken->ack();
        return copy;
    }
    /// Takes all items of the oldest block, in place, in a queue of a plain type. Without batches
    /// that is one item. Returns nothing in the same cases as take. A type of another size or
    /// alignment is thrown as incompatible, and nothing is taken.
    template <class T, class = detail::plain<T>>
    [[nodiscard]] std::optional<slice<T>> take_slice(timeout wait = forever, status *why = nullptr) {
        if (item_size() != sizeof(T)) {
            const std::string sizes = std::to_string(item_size()) + " bytes, where the type has " + std::to_string(sizeof(T));
            throw error(status::incompatible, ("take_slice: the queue's items have " + sizes).c_str());
        }
        if constexpr (alignof(T) > 8) { // before anything is taken: an at-most-once queue takes nothing back
            void *block = nullptr;
            if (prodcon_queue_reserve(handle_, sizeof(T), &block) == PRODCON_OK) {
                detail::done(prodcon_queue_cancel(handle_));
                if (reinterpret_cast<std::uintptr_t>(block) % alignof(T) != 0) throw misaligned();
            }
        }
        const void *data = nullptr;
        std::size_t count = 0;
        const status answered = detail::answer(prodcon_queue_take_slice(handle_, &data, &count, wait.nanoseconds()));
        if (why) *why = answered;
        if (answered != status::ok) return std::nullopt;
        slice<T> items(handle_, data, count);
        if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0) throw misaligned();
        return items;
    }
    /// Gets the oldest item as a value. Returns nothing in the same cases as take. An item of
    /// another size is discarded, and too_large is thrown if it is longer, or invalid if it is
    /// shorter. Read a queue that has items of several sizes with get or take.
    template <class T, class = detail::plain<T>>
    [[nodiscard]] std::optional<T> get_value(timeout wait = forever, status *why = nullptr) {
        T value;
        std::size_t size = 0;
        const prodcon_status code = prodcon_queue_get(handle_, &value, sizeof value, &size, wait.nanoseconds());
        if (code == PRODCON_TOO_LARGE) {
            detail::done(prodcon_queue_ack(handle_)); // else every later call would meet it again
            throw wrong_size(status::too_large, size, sizeof value);
        }
        const status answered = detail::answer(code);
        if (why) *why = answered;
        if (answered != status::ok) return std::nullopt;
        if (size != sizeof value) throw wrong_size(status::invalid, size, sizeof value);
        return value;
    }

    /// Returns a copy of the newest item, which stays where it is. Returns nothing if there is
    /// none, or if others were faster each time. `id` tells which item it is.
    [[nodiscard]] std::optional<std::vector<std::byte>> latest(prodcon_item_id *id = nullptr) const {
        return observed(prodcon_queue_latest, id);
    }
    /// Returns a copy of the oldest item. In all else it works as latest.
    [[nodiscard]] std::optional<std::vector<std::byte>> peek(prodcon_item_id *id = nullptr) const {
        return observed(prodcon_queue_peek, id);
    }
    /// Returns the newest item as a value. For an item of another size, too_large is thrown, or
    /// invalid if it is shorter.
    template <class T, class = detail::plain<T>>
    [[nodiscard]] std::optional<T> latest_value(prodcon_item_id *id = nullptr) const {
        T value;
        std::size_t size = 0;
        if (id) id->size = sizeof *id;
        if (detail::answer(prodcon_queue_latest(handle_, &value, sizeof value, &size, id)) != status::ok) return std::nullopt;
        if (size != sizeof value) {
            const std::string sizes = std::to_string(size) + " bytes, where the type has " + std::to_string(sizeof value);
            throw error(status::invalid, ("latest_value: the item has " + sizes).c_str());
        }
        return value;
    }

    /// Makes a descriptor that becomes readable when there is an item.
    [[nodiscard]] ready_fd readable_fd() const { return ready(PRODCON_READABLE); }
    /// Makes a descriptor that becomes readable when there is space.
    [[nodiscard]] ready_fd writable_fd() const { return ready(PRODCON_WRITABLE); }

    /// The interest in an item: when it is ready, take with no_wait is worth a try.
    [[nodiscard]] interest readable() const noexcept { return of(PRODCON_READABLE); }
    /// The interest in space: when it is ready, put with no_wait is worth a try.
    [[nodiscard]] interest writable() const noexcept { return of(PRODCON_WRITABLE); }

    void set_ready() { detail::done(prodcon_queue_set_ready(handle_)); }
    void set_not_ready() { detail::done(prodcon_queue_set_not_ready(handle_)); }
    void clear() { detail::done(prodcon_queue_clear(handle_)); }
    [[nodiscard]] bool is_ready() const {
        bool ready = false;
        detail::done(prodcon_queue_is_ready(handle_, &ready));
        return ready;
    }
    /// Says whether the name was removed. If something has that name afterwards, it is another
    /// queue.
    [[nodiscard]] bool is_removed() const {
        bool removed = false;
        detail::done(prodcon_queue_is_removed(handle_, &removed));
        return removed;
    }
    /// Returns false if that did not happen in time.
    bool wait_ready(timeout wait = forever) { return detail::answer(prodcon_queue_wait_ready(handle_, wait.nanoseconds())) == status::ok; }
    [[nodiscard]] std::size_t size() const {
        std::size_t length = 0;
        detail::done(prodcon_queue_len(handle_, &length));
        return length;
    }
    /// Returns the bytes of the longest item.
    [[nodiscard]] std::size_t item_size() const {
        std::size_t size = 0;
        detail::done(prodcon_queue_item_size(handle_, &size));
        return size;
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
    /// Returns false if that did not happen in time.
    bool wait_state(state wanted, timeout wait = forever) { return detail::answer(prodcon_queue_wait_state(handle_, static_cast<std::int32_t>(wanted), wait.nanoseconds())) == status::ok; }
    [[nodiscard]] prodcon_stats stats() const {
        prodcon_stats figures{};
        figures.size = sizeof figures;
        detail::done(prodcon_queue_stats(handle_, &figures));
        return figures;
    }
    /// Recovers the seats of dead processes. Returns how many were resolved, and how many must
    /// wait.
    std::pair<std::uint32_t, std::uint32_t> recover() {
        std::pair<std::uint32_t, std::uint32_t> seats{0, 0};
        detail::done(prodcon_queue_recover(handle_, &seats.first, &seats.second));
        return seats;
    }

  private:
    interest of(std::uint32_t what) const noexcept {
        prodcon_interest c{};
        c.queue = handle_;
        c.what = what;
        return interest(c);
    }
    using maker = prodcon_status(const char *, const prodcon_options *, prodcon_queue **);
    static queue made(maker *make, const std::string &name, const options &how) {
        const prodcon_attach_options attach = detail::for_c(how.attach);
        const prodcon_options c = detail::for_c(how, attach);
        queue made;
        detail::done(make(name.c_str(), &c, &made.handle_));
        return made;
    }
    using observer = prodcon_status(prodcon_queue *, void *, std::size_t, std::size_t *, prodcon_item_id *);
    std::optional<std::vector<std::byte>> observed(observer *observe, prodcon_item_id *id) const {
        std::vector<std::byte> copy(item_size());
        std::size_t size = 0;
        if (id) id->size = sizeof *id;
        if (detail::answer(observe(handle_, copy.data(), copy.size(), &size, id)) != status::ok) return std::nullopt;
        copy.resize(size);
        return copy;
    }
    ready_fd ready(std::uint32_t interest) const {
        ready_fd made;
        detail::done(prodcon_queue_ready_fd(handle_, interest, &made.handle_));
        return made;
    }
    static error misaligned() {
        return error(status::incompatible, "take_slice: the queue's items are not aligned for the type: create it with that align");
    }
    static error wrong_size(status code, std::size_t size, std::size_t expected) {
        const std::string sizes = std::to_string(size) + " bytes, where the type has " + std::to_string(expected);
        return error(code, ("an item of " + sizes + ", was thrown away: use get or take").c_str());
    }

    prodcon_queue *handle_ = nullptr;
};

/// Waits for the first of several interests, at most 127, and returns its index. If it returns
/// nothing, `why` is timed_out or cancelled. Another consumer may be faster, so try without
/// waiting, and select again.
[[nodiscard]] inline std::optional<std::size_t> select(const std::vector<interest> &interests, timeout wait = forever, status *why = nullptr) {
    std::vector<prodcon_interest> c;
    c.reserve(interests.size());
    for (const interest &each : interests) c.push_back(each.for_c());
    std::size_t which = 0;
    const status answered = detail::answer(prodcon_select(c.data(), c.size(), wait.nanoseconds(), &which));
    if (why) *why = answered;
    if (answered != status::ok) return std::nullopt;
    return which;
}

} // namespace prodcon

#endif
