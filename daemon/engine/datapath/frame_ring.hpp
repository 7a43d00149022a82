// SPDX-License-Identifier: BSD-2-Clause
// The server's ends of a frame ring (librettos/frame_ring.h is the manual).
//
// The ring lies in memory that the guest can change at any time. What we rely on is here, in private memory: our own
// position and the last checked copy of the peer's. A peer position is read once per burst, with acquire, and
// checked; a record header is copied once and the copy is checked. Once a rule is broken the object says so in broken()
// and does nothing any more.
//
// Publishing and ringing are two steps, so that a burst over many rings needs one fence for all of them:
//     for each ring: publish();    full_fence();    for each ring: if (consumer_sleeps()) notify
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include <librettos/frame_ring.h>

namespace librettos {

inline void full_fence() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

namespace ring_detail {

inline void copy16(std::byte* to, std::byte const* from) noexcept {
    std::memcpy(to, from, 16);
}

constexpr std::uint32_t long_copy_bytes = 256;  // from here on a copy is the C library's

// Asks for all cache lines of a long copy at once, those of `to` for writing: they come from another core and from the
// last-level cache, each as slow as the other (measured with 1500 bytes: 500 cycles instead of 670).
inline void fetch_for_copy(std::byte* to, std::byte const* from, std::uint32_t length) noexcept {
    for (std::uint32_t at = 0; at < length; at += 64) {
        __builtin_prefetch(to + at, 1);
        __builtin_prefetch(from + at);
    }
}

// Copies a frame to a place that starts at a multiple of 16 and zeroes up to the next multiple of 16.
inline void copy_frame(std::byte* to, std::byte const* from, std::uint32_t length) noexcept {
    std::uint32_t const whole = length & ~15U;
    if (length > long_copy_bytes) {
        std::memcpy(to, from, length);
        std::memset(to + length, 0, (16 - (length & 15U)) & 15U);
        return;
    }
    std::uint32_t at = 0;
    for (; at + 64 <= whole; at += 64) {
        copy16(to + at, from + at);
        copy16(to + at + 16, from + at + 16);
        copy16(to + at + 32, from + at + 32);
        copy16(to + at + 48, from + at + 48);
    }
    for (; at < whole; at += 16) {
        copy16(to + at, from + at);
    }
    if (whole == length) {
        return;
    }
    std::memset(to + whole, 0, 16);
    if (length >= 16) {
        copy16(to + length - 16, from + length - 16);
    } else {
        std::memcpy(to, from, length);
    }
}

}  // namespace ring_detail

// Both ends start from the positions that the ring shows: 0 for a new ring, anything for one that an earlier server
// used.
class RingEnd {
  public:
    bool broken() const noexcept { return broken_; }
    std::uint32_t capacity() const noexcept { return mask_ + 1; }
    std::uint32_t max_frame() const noexcept { return lvif_ring_max_frame(capacity()); }

  protected:
    // `ring`: header page and `capacity` bytes of data, which the caller has checked to be a valid capacity.
    RingEnd(std::span<std::byte> ring, std::uint32_t capacity) noexcept
        : header_(reinterpret_cast<lvif_ring_header*>(ring.data())),
          data_(ring.data() + LVIF_PAGE_BYTES),
          mask_(capacity - 1) {}

    static bool plausible(std::uint64_t head, std::uint64_t tail, std::uint32_t capacity) noexcept {
        return head - tail <= capacity && ((head | tail) & (LVIF_RECORD_ALIGN - 1)) == 0;
    }

    lvif_ring_header* header_;
    std::byte* data_;
    std::uint32_t mask_;
    bool broken_ = false;
};

// The server's end of a guest's rx ring.
class RingProducer : public RingEnd {
  public:
    // nullopt: the positions in the ring are not those of a ring.
    static std::optional<RingProducer> adopt(std::span<std::byte> ring, std::uint32_t capacity) noexcept {
        RingProducer end(ring, capacity);
        end.head_ = __atomic_load_n(&end.header_->head, __ATOMIC_RELAXED);
        end.published_ = end.head_;
        // Acquires the consumer's tail (lvif_rx_publish): its reads of the space that we write next are over.
        end.tail_ = __atomic_load_n(&end.header_->tail, __ATOMIC_ACQUIRE);
        if (!plausible(end.head_, end.tail_, capacity)) {
            return std::nullopt;
        }
        return end;
    }

    // Puts one frame of min_frame..max_frame() bytes. `offload` gives all fields but length. false: no room, or
    // broken().
    bool put(std::byte const* frame, std::uint32_t length, lvif_record const& offload) noexcept {
        auto const need = static_cast<std::uint32_t>(lvif_record_bytes(length));
        std::uint32_t const to_end = capacity() - (static_cast<std::uint32_t>(head_) & mask_);
        std::uint32_t const total = need <= to_end ? need : to_end + need;
        if (total > capacity() - (head_ - tail_) && !make_room(total)) {
            return false;
        }
        if (need > to_end) {
            lvif_record pad{};
            pad.flags = LVIF_PAD;
            write_record(place(), to_end - static_cast<std::uint32_t>(sizeof(lvif_record)), pad);
            head_ += to_end;
        }
        last_ = head_;
        if (length > ring_detail::long_copy_bytes) {
            ring_detail::fetch_for_copy(place(), frame, length);
        }
        write_record(place(), length, offload);
        ring_detail::copy_frame(place() + sizeof(lvif_record), frame, length);
        head_ += need;
        return true;
    }

    // Makes the frame put last, of `length` bytes and not yet published, longer by `more`, with new headers and
    // offload. false: no room in one piece; nothing has changed.
    bool extend(std::uint32_t length, std::span<std::uint8_t const> more, std::span<std::uint8_t const> headers,
                lvif_record const& offload) noexcept {
        auto const more_bytes = static_cast<std::uint32_t>(more.size());
        std::uint32_t const start = static_cast<std::uint32_t>(last_) & mask_;
        std::uint64_t const need = lvif_record_bytes(length + more_bytes);
        std::uint64_t const extra = need - (head_ - last_);
        if (head_ == published_ || length + more_bytes > max_frame() || start + need > capacity() ||
            (extra > capacity() - (head_ - tail_) && !make_room(static_cast<std::uint32_t>(extra)))) {
            return false;
        }
        std::byte* const frame = data_ + start + sizeof(lvif_record);
        std::memcpy(frame + length, more.data(), more.size());
        std::memset(frame + length + more.size(), 0, need - sizeof(lvif_record) - length - more.size());
        std::memcpy(frame, headers.data(), headers.size());
        write_record(data_ + start, length + more_bytes, offload);
        head_ = last_ + need;
        return true;
    }

    // Brings the cache lines that the next put() writes.
    void prefetch() const noexcept {
        __builtin_prefetch(place(), 1);
        __builtin_prefetch(place() + 64, 1);
    }

    bool has_unpublished() const noexcept { return head_ != published_; }
    std::uint64_t unpublished_bytes() const noexcept { return head_ - published_; }

    // Makes what was put visible. Released to the consumer's acquire of head (lvif_rx_peek).
    void publish() noexcept {
        __atomic_store_n(&header_->head, head_, __ATOMIC_RELEASE);
        published_ = head_;
    }

    // Tells the guest that what a switch of this serial has to find in the ring is published; 0: nothing. Released to
    // lvif_rx_marked. The guest is to be notified.
    void mark(std::uint32_t serial) noexcept { __atomic_store_n(&header_->mark, serial, __ATOMIC_RELEASE); }

    // After publish() and a full fence, which pairs with the consumer's in lvif_rx_sleep.
    bool consumer_sleeps() const noexcept { return __atomic_load_n(&header_->consumer_sleeps, __ATOMIC_RELAXED) != 0; }

  private:
    using RingEnd::RingEnd;

    std::byte* place() const noexcept { return data_ + (head_ & mask_); }

    // Put together in registers: the record's fields were often stored a moment ago, and one wide load of them would
    // have to wait until they have left the store buffer (measured: 80 cycles a frame).
    static void write_record(std::byte* at, std::uint32_t length, lvif_record const& offload) noexcept {
        static_assert(std::endian::native == std::endian::little);
        std::uint64_t const words[2] = {
            length | std::uint64_t{offload.flags} << 32 | std::uint64_t{offload.csum_start} << 48,
            offload.csum_offset | std::uint64_t{offload.gso_size} << 16 | std::uint64_t{offload.header_length} << 32};
        std::memcpy(at, words, sizeof words);
    }

    bool make_room(std::uint32_t total) noexcept {
        if (broken_) {
            return false;
        }
        // Acquires the consumer's tail, as in adopt().
        std::uint64_t const tail = __atomic_load_n(&header_->tail, __ATOMIC_ACQUIRE);
        if (!plausible(head_, tail, capacity())) {
            broken_ = true;
            return false;
        }
        tail_ = tail;
        return total <= capacity() - (head_ - tail_);
    }

    std::uint64_t head_ = 0;
    std::uint64_t published_ = 0;
    std::uint64_t last_ = 0;  // where the record put last begins
    std::uint64_t tail_ = 0;
};

// The server's end of a guest's tx ring.
class RingConsumer : public RingEnd {
  public:
    struct Frame {
        lvif_record record;      // private copy: length and flags checked, offload fields as the guest wrote them
        std::byte const* bytes;  // guest memory: copy, then decide by the copy
    };

    static std::optional<RingConsumer> adopt(std::span<std::byte> ring, std::uint32_t capacity) noexcept {
        RingConsumer end(ring, capacity);
        end.tail_ = __atomic_load_n(&end.header_->tail, __ATOMIC_RELAXED);
        end.published_ = end.tail_;
        end.head_ = end.tail_;
        end.refresh();
        if (end.broken_) {
            return std::nullopt;
        }
        return end;
    }

    // Reads the producer's head, once per burst. true: there is something to take.
    bool refresh() noexcept {
        // Acquires the producer's head (lvif_tx_publish): the records before it are written.
        std::uint64_t const head = __atomic_load_n(&header_->head, __ATOMIC_ACQUIRE);
        if (broken_ || !plausible(head, tail_, capacity())) {
            broken_ = true;
            head_ = tail_;
            return false;
        }
        head_ = head;
        for (std::uint32_t at = 0; at < ahead && at < head_ - tail_; at += 64) {
            __builtin_prefetch(data_ + ((tail_ + at) & mask_));
        }
        return head_ != tail_;
    }

    // Brings the cache line that refresh() reads. (Not those of the records: until they are written, fetching them only
    // takes them away from the producer.)
    void prefetch() const noexcept { __builtin_prefetch(&header_->head); }

    // Takes the next frame of the burst; it stays in place until publish(). false: none left, or broken().
    bool take(Frame& frame) noexcept {
        if (head_ == tail_) {
            return false;
        }
        frame.record = read_record();
        if (frame.record.flags == LVIF_PAD) {
            if (!skip_pad(frame.record) || head_ == tail_) {
                return false;
            }
            frame.record = read_record();
        }
        std::uint64_t const need = lvif_record_bytes(frame.record.length);
        if (frame.record.length < LVIF_MIN_FRAME_BYTES || frame.record.length > max_frame() || need > head_ - tail_ ||
            need > to_end() || (frame.record.flags & ~LVIF_KNOWN_FLAGS) != 0 || (frame.record.flags & LVIF_PAD) != 0) {
            broken_ = true;
            head_ = tail_;
            return false;
        }
        frame.bytes = place() + sizeof(lvif_record);
        tail_ += need;
        if (head_ - tail_ > ahead) {
            __builtin_prefetch(data_ + ((tail_ + ahead) & mask_));
        }
        return true;
    }

    bool has_unpublished() const noexcept { return tail_ != published_; }

    // Gives the taken space back. Released to the producer's acquire of tail (lvif_tx_reserve): our copies are done.
    void publish() noexcept {
        __atomic_store_n(&header_->tail, tail_, __ATOMIC_RELEASE);
        published_ = tail_;
    }

    // After publish() and a full fence, which pairs with the producer's in lvif_tx_wait.
    bool producer_waits() const noexcept { return __atomic_load_n(&header_->producer_waits, __ATOMIC_RELAXED) != 0; }

    // arm(); full_fence(); look with refresh(); sleep only if it says that nothing is there, else disarm(). The fence
    // pairs with the producer's between its publish and its look at consumer_sleeps (lvif_tx_publish).
    void arm() noexcept { __atomic_store_n(&header_->consumer_sleeps, 1U, __ATOMIC_RELAXED); }
    void disarm() noexcept { __atomic_store_n(&header_->consumer_sleeps, 0U, __ATOMIC_RELAXED); }

  private:
    using RingEnd::RingEnd;

    // Records are fetched into the cache so many bytes before they are taken: they come from the producer's core, and
    // the hardware's prefetcher sees no stream in a few frames per ring (measured: 28 M frames/s instead of 25).
    static constexpr std::uint32_t ahead = 256;

    std::byte const* place() const noexcept { return data_ + (tail_ & mask_); }
    std::uint64_t to_end() const noexcept { return capacity() - (tail_ & mask_); }

    // Each word once, whatever the compiler makes of its uses.
    lvif_record read_record() const noexcept {
        auto const* const words = reinterpret_cast<std::uint64_t const*>(place());
        std::array<std::uint64_t, 2> const copy{__atomic_load_n(words, __ATOMIC_RELAXED),
                                                __atomic_load_n(words + 1, __ATOMIC_RELAXED)};
        return std::bit_cast<lvif_record>(copy);
    }

    // A PAD fills the end of the data exactly.
    bool skip_pad(lvif_record const& record) noexcept {
        std::uint64_t const bytes = sizeof(lvif_record) + std::uint64_t{record.length};
        if (bytes != to_end() || bytes > head_ - tail_) {
            broken_ = true;
            head_ = tail_;
            return false;
        }
        tail_ += bytes;
        return true;
    }

    std::uint64_t tail_ = 0;
    std::uint64_t published_ = 0;
    std::uint64_t head_ = 0;
};

}  // namespace librettos
