// SPDX-License-Identifier: BSD-2-Clause
// Both C ends of a frame ring against a simple model, with random operations, over the wraps at 2^32 and 2^64.
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include "ring_memory.hpp"

namespace {

struct ModelFrame {
    std::vector<std::uint8_t> bytes;
    lvif_offload offload{};
    std::uint64_t end = 0;  // position after it
};

bool operator==(lvif_offload const& a, lvif_offload const& b) {
    return a.flags == b.flags && a.csum_start == b.csum_start && a.csum_offset == b.csum_offset &&
           a.gso_size == b.gso_size && a.header_length == b.header_length;
}

// Positions are counted without a limit here; the ring wraps them.
class Pair {
  public:
    Pair(std::uint32_t capacity, std::uint64_t start, std::uint64_t seed)
        : memory_(capacity, start), base_(start), random_(seed) {
        lvif_producer_start(&producer_, memory_.header(), capacity, all_tx_flags, start);
        lvif_consumer_start(&consumer_, memory_.header(), capacity, all_rx_flags, start);
    }

    void step() {
        switch (random_() % 8) {
            case 0:
            case 1:
            case 2:
            case 3:
                produce();
                break;
            case 4:
                publish();
                break;
            case 5:
            case 6:
                consume();
                break;
            default:
                give_back();
                break;
        }
    }

    void drain() {
        publish();
        while (!published_.empty() && !::testing::Test::HasFatalFailure())
            consume();
        give_back();
        EXPECT_EQ(memory_.header()->head, memory_.header()->tail);
        EXPECT_EQ(memory_.header()->tail, base_ + head_);
    }
    std::uint64_t bytes_through() const { return head_; }
    lvif_producer const& producer() const { return producer_; }
    lvif_consumer const& consumer() const { return consumer_; }
    std::uint64_t frames = 0;
    std::uint64_t refused = 0;

  private:
    std::uint32_t random_length() {
        std::uint32_t const max = lvif_ring_max_frame(memory_.capacity);
        switch (random_() % 6) {
            case 0:
                return LVIF_MIN_FRAME_BYTES + static_cast<std::uint32_t>(random_() % 4);
            case 1:
                return max - static_cast<std::uint32_t>(random_() % 40);
            case 2:
                return LVIF_MIN_FRAME_BYTES + static_cast<std::uint32_t>(random_() % (max - LVIF_MIN_FRAME_BYTES));
            case 3:
                return 16 * (1 + static_cast<std::uint32_t>(random_() % 100));
            default:
                return 60 + static_cast<std::uint32_t>(random_() % 1455);
        }
    }

    lvif_offload random_offload(std::uint32_t length) {
        lvif_offload offload{};
        if (length < 100 || random_() % 3 != 0)
            return offload;
        offload.flags = LVIF_CSUM_PARTIAL;
        offload.csum_start = 34;
        offload.csum_offset = 16;
        if (random_() % 2 == 0) {
            offload.flags |= random_() % 2 == 0 ? LVIF_GSO_TCP4 : LVIF_GSO_TCP6;
            offload.gso_size = 1448;
            offload.header_length = 66;
        }
        return offload;
    }

    // What the ring's manual says about where a record of this length goes.
    std::uint64_t end_of(std::uint32_t length) const {
        std::uint64_t const capacity = memory_.capacity;
        std::uint64_t const place = (base_ + head_) % capacity;
        std::uint64_t const record = 16 + (std::uint64_t{length} + 15) / 16 * 16;
        std::uint64_t const pad = place + record > capacity ? capacity - place : 0;
        return head_ + pad + record;
    }

    void produce() {
        std::uint32_t const length = random_length();
        bool const room = end_of(length) - tail_ <= memory_.capacity;
        std::uint8_t* place = nullptr;
        int const result = lvif_producer_reserve(&producer_, length, &place);
        ASSERT_EQ(result, room ? 0 : LVIF_EAGAIN) << "length " << length;
        if (!room) {
            refused++;
            return;
        }
        ModelFrame frame;
        // Where the record starts was fixed by the reserved length; a shorter commit ends it earlier.
        std::uint64_t const start = end_of(length) - lvif_record_bytes(length);
        std::uint32_t const used =
            random_() % 4 == 0 ? LVIF_MIN_FRAME_BYTES + static_cast<std::uint32_t>(random_() % (length - 13)) : length;
        frame.bytes.resize(used);
        for (auto& byte : frame.bytes)
            byte = static_cast<std::uint8_t>(random_());
        std::copy(frame.bytes.begin(), frame.bytes.end(), place);
        frame.offload = random_offload(used);
        ASSERT_EQ(lvif_producer_commit(&producer_, used, &frame.offload), 0);
        for (std::uint64_t i = used; i % 16 != 0; i++)
            ASSERT_EQ(place[i], 0) << "padding is zeroed";
        head_ = frame.end = start + lvif_record_bytes(used);
        committed_.push_back(std::move(frame));
    }

    void publish() {
        EXPECT_FALSE(lvif_producer_publish(&producer_)) << "nobody sleeps";
        while (!committed_.empty()) {
            published_.push_back(std::move(committed_.front()));
            committed_.pop_front();
        }
    }

    void consume() {
        lvif_frame frame{};
        int const result = lvif_consumer_peek(&consumer_, &frame);
        ASSERT_EQ(result, published_.empty() ? 0 : 1);
        if (result == 0)
            return;
        if (random_() % 4 == 0) {
            ASSERT_EQ(lvif_consumer_peek(&consumer_, &frame), 1) << "peek again shows the same";
        }
        ModelFrame const& expected = published_.front();
        ASSERT_EQ(frame.length, expected.bytes.size());
        ASSERT_EQ(std::memcmp(frame.bytes, expected.bytes.data(), frame.length), 0);
        ASSERT_TRUE(frame.offload == expected.offload);
        lvif_consumer_release(&consumer_);
        released_ = expected.end;
        published_.pop_front();
        frames++;
    }

    void give_back() {
        EXPECT_FALSE(lvif_consumer_publish(&consumer_)) << "nobody waits";
        tail_ = released_;
    }

    RingMemory memory_;
    std::uint64_t base_;
    lvif_producer producer_{};
    lvif_consumer consumer_{};
    std::mt19937_64 random_;
    std::deque<ModelFrame> committed_;
    std::deque<ModelFrame> published_;
    std::uint64_t head_ = 0;
    std::uint64_t released_ = 0;
    std::uint64_t tail_ = 0;
};

struct Start {
    std::uint32_t capacity;
    std::uint64_t start;
};

class RingModel : public ::testing::TestWithParam<Start> {};

TEST_P(RingModel, behaves_as_a_queue_of_frames) {
    auto const [capacity, start] = GetParam();
    auto const seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    Pair pair(capacity, start, seed);
    for (int i = 0; i < 6000 && !HasFatalFailure(); i++)
        pair.step();
    ASSERT_FALSE(HasFatalFailure());
    pair.drain();
    EXPECT_GT(pair.bytes_through(), 4ULL * capacity) << "the data wrapped";
    EXPECT_GT(pair.refused, 0U) << "the ring was full at times";
    EXPECT_EQ(pair.frames, pair.producer().frames);
    EXPECT_EQ(pair.frames, pair.consumer().frames);
    EXPECT_EQ(pair.producer().bytes, pair.consumer().bytes);
}

constexpr std::uint32_t KiB = 1024;
INSTANTIATE_TEST_SUITE_P(capacities_and_wraps, RingModel,
                         ::testing::Values(Start{64 * KiB, 0}, Start{64 * KiB, (1ULL << 32) - 128 * KiB},
                                           Start{64 * KiB, 0ULL - 128 * KiB}, Start{64 * KiB, 0ULL - 16},
                                           Start{128 * KiB, (1ULL << 32) - 16}, Start{256 * KiB, 0ULL - 300 * KiB - 16},
                                           Start{1024 * KiB, (1ULL << 32) - 1024 * KiB}));

// The longest frame fits an empty ring wherever the head stands.
TEST(RingEdges, longest_frame_fits_at_every_place) {
    constexpr std::uint32_t capacity = LVIF_RING_MIN_CAPACITY;
    std::uint32_t const longest = lvif_ring_max_frame(capacity);
    for (std::uint64_t place = 0; place < capacity; place += 16) {
        RingMemory memory(capacity, place);
        lvif_producer producer{};
        lvif_consumer consumer{};
        lvif_producer_start(&producer, memory.header(), capacity, 0, place);
        lvif_consumer_start(&consumer, memory.header(), capacity, 0, place);
        std::uint8_t* bytes = nullptr;
        ASSERT_EQ(lvif_producer_reserve(&producer, longest, &bytes), 0) << place;
        ASSERT_EQ(lvif_producer_commit(&producer, longest, nullptr), 0);
        lvif_producer_publish(&producer);
        lvif_frame frame{};
        ASSERT_EQ(lvif_consumer_peek(&consumer, &frame), 1) << place;
        ASSERT_EQ(frame.length, longest);
    }
}

TEST(RingEdges, lengths) {
    constexpr std::uint32_t capacity = LVIF_RING_MIN_CAPACITY;
    RingMemory memory(capacity, 0);
    lvif_producer producer{};
    std::uint8_t* bytes = nullptr;
    lvif_producer_start(&producer, memory.header(), capacity, 0, 0);
    EXPECT_EQ(lvif_producer_reserve(&producer, 0, &bytes), LVIF_EINVAL);
    EXPECT_EQ(lvif_producer_reserve(&producer, 13, &bytes), LVIF_EINVAL);
    EXPECT_EQ(lvif_producer_reserve(&producer, 14, &bytes), 0);
    EXPECT_EQ(lvif_producer_reserve(&producer, capacity / 2 - 16, &bytes), 0);
    EXPECT_EQ(lvif_producer_reserve(&producer, capacity / 2 - 15, &bytes), LVIF_EMSGSIZE);
    EXPECT_EQ(lvif_producer_reserve(&producer, UINT32_MAX, &bytes), LVIF_EMSGSIZE);
    EXPECT_EQ(lvif_producer_commit(&producer, 100, nullptr), LVIF_EINVAL) << "nothing is reserved";

    RingMemory large(LVIF_RING_MAX_CAPACITY, 0);
    lvif_producer_start(&producer, large.header(), LVIF_RING_MAX_CAPACITY, 0, 0);
    EXPECT_EQ(lvif_producer_reserve(&producer, LVIF_MAX_FRAME_BYTES, &bytes), 0);
    EXPECT_EQ(lvif_producer_reserve(&producer, LVIF_MAX_FRAME_BYTES + 1, &bytes), LVIF_EMSGSIZE);
}

TEST(RingEdges, commit_keeps_to_the_reservation_and_to_the_agreed_offloads) {
    constexpr std::uint32_t capacity = LVIF_RING_MIN_CAPACITY;
    RingMemory memory(capacity, 0);
    lvif_producer producer{};
    std::uint8_t* bytes = nullptr;
    auto commit = [&](std::uint32_t reserved, std::uint32_t used, lvif_offload offload) {
        EXPECT_EQ(lvif_producer_reserve(&producer, reserved, &bytes), 0);
        return lvif_producer_commit(&producer, used, &offload);
    };
    lvif_producer_start(&producer, memory.header(), capacity, LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4, 0);
    EXPECT_EQ(commit(100, 101, {}), LVIF_EINVAL);
    EXPECT_EQ(commit(100, 13, {}), LVIF_EINVAL);
    EXPECT_EQ(commit(100, 100, {LVIF_PAD, 0, 0, 0, 0}), LVIF_EINVAL);
    EXPECT_EQ(commit(100, 100, {0x8000, 0, 0, 0, 0}), LVIF_EINVAL);
    EXPECT_EQ(commit(100, 100, {LVIF_CSUM_PARTIAL, 34, 65, 0, 0}), LVIF_EINVAL) << "checksum field ends past the frame";
    EXPECT_EQ(commit(100, 100, {LVIF_CSUM_PARTIAL, 65535, 65535, 0, 0}), LVIF_EINVAL);
    EXPECT_EQ(commit(100, 100, {LVIF_CSUM_PARTIAL, 13, 16, 0, 0}), LVIF_EINVAL) << "inside the Ethernet header";
    EXPECT_EQ(commit(100, 100, {LVIF_GSO_TCP4, 34, 16, 1448, 66}), LVIF_EINVAL) << "GSO without CSUM_PARTIAL";
    EXPECT_EQ(commit(100, 100, {LVIF_GSO_TCP4 | LVIF_CSUM_PARTIAL, 34, 16, 0, 66}), LVIF_EINVAL);
    EXPECT_EQ(commit(100, 100, {LVIF_GSO_TCP4 | LVIF_CSUM_PARTIAL, 34, 16, 1448, 101}), LVIF_EINVAL);
    EXPECT_EQ(commit(100, 100, {LVIF_GSO_TCP6 | LVIF_CSUM_PARTIAL, 34, 16, 1448, 66}), LVIF_EINVAL) << "not agreed";
    EXPECT_EQ(producer.head, 0U) << "none of these left a record";
    EXPECT_EQ(commit(100, 100, {LVIF_CSUM_PARTIAL, 34, 64, 0, 0}), 0);
    EXPECT_EQ(commit(100, 100, {LVIF_GSO_TCP4 | LVIF_CSUM_PARTIAL, 34, 16, 1448, 100}), 0);
    EXPECT_EQ(commit(100, 100, {LVIF_CSUM_OK, 1, 2, 3, 4}), 0);
    lvif_record record;
    std::memcpy(&record, memory.data() + 2 * lvif_record_bytes(100), sizeof record);
    EXPECT_EQ(record.flags, 0) << "no feature grants CSUM_OK to a guest";
    EXPECT_EQ(record.csum_start | record.csum_offset | record.gso_size | record.header_length | record.reserved, 0);
}

TEST(RingEdges, sleeping_consumer_and_waiting_producer_are_notified) {
    constexpr std::uint32_t capacity = LVIF_RING_MIN_CAPACITY;
    RingMemory memory(capacity, 0);
    lvif_producer producer{};
    lvif_consumer consumer{};
    std::uint8_t* bytes = nullptr;
    lvif_frame frame{};
    lvif_producer_start(&producer, memory.header(), capacity, 0, 0);
    lvif_consumer_start(&consumer, memory.header(), capacity, 0, 0);
    auto put = [&] {
        int const result = lvif_producer_reserve(&producer, 1000, &bytes);
        return result != 0 ? result : lvif_producer_commit(&producer, 1000, nullptr);
    };

    EXPECT_TRUE(lvif_consumer_sleep(&consumer));
    EXPECT_FALSE(lvif_producer_publish(&producer)) << "nothing to publish";
    ASSERT_EQ(put(), 0);
    ASSERT_EQ(put(), 0);
    EXPECT_TRUE(lvif_producer_publish(&producer)) << "one notification for the burst";
    lvif_consumer_wake(&consumer);
    ASSERT_EQ(put(), 0);
    EXPECT_FALSE(lvif_producer_publish(&producer)) << "awake";
    EXPECT_FALSE(lvif_consumer_sleep(&consumer)) << "there are frames";
    EXPECT_EQ(memory.header()->consumer_sleeps, 0U);

    while (put() == 0) {
    }
    lvif_producer_publish(&producer);
    EXPECT_FALSE(lvif_producer_wait(&producer, 1000));
    EXPECT_EQ(memory.header()->producer_waits, 1U);
    ASSERT_EQ(lvif_consumer_peek(&consumer, &frame), 1);
    lvif_consumer_release(&consumer);
    EXPECT_TRUE(lvif_consumer_publish(&consumer));
    EXPECT_FALSE(lvif_consumer_publish(&consumer)) << "nothing new";
    while (lvif_consumer_peek(&consumer, &frame) == 1)
        lvif_consumer_release(&consumer);
    EXPECT_TRUE(lvif_consumer_publish(&consumer));
    ASSERT_EQ(put(), 0);
    EXPECT_EQ(memory.header()->producer_waits, 0U) << "taken back with the first success";
    EXPECT_TRUE(lvif_producer_wait(&producer, 1000));
    EXPECT_TRUE(lvif_producer_wait(&producer, UINT32_MAX)) << "what can never fit is not waited for";
}

}  // namespace
