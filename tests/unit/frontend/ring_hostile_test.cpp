// SPDX-License-Identifier: BSD-2-Clause
// A peer that breaks the ring's rules: LVIF_EPROTO, for good, and nothing outside the ring is touched.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "ring_memory.hpp"

namespace {

constexpr std::uint32_t capacity = LVIF_RING_MIN_CAPACITY;

class HostileProducer : public ::testing::Test {
  protected:
    void start(std::uint64_t position) {
        lvif_ring_create(memory_.header(), capacity, 0, position);
        lvif_consumer_start(&consumer_, memory_.header(), capacity, LVIF_CSUM_PARTIAL, position);
        position_ = position;
    }
    void record(std::uint64_t place, lvif_record value) { std::memcpy(memory_.data() + place, &value, sizeof value); }
    void head(std::uint64_t offset) { memory_.header()->head = position_ + offset; }
    int peek() { return lvif_consumer_peek(&consumer_, &frame_); }
    void expect_broken() {
        EXPECT_EQ(peek(), LVIF_EPROTO);
        std::uint64_t const tail = memory_.header()->tail;
        EXPECT_EQ(consumer_.breaks, 1U);
        EXPECT_TRUE(consumer_.broken);
        // For good, even when the ring looks sound again.
        lvif_ring_create(memory_.header(), capacity, 0, position_);
        memory_.header()->tail = tail;
        EXPECT_EQ(peek(), LVIF_EPROTO);
        lvif_consumer_release(&consumer_);
        EXPECT_FALSE(lvif_consumer_publish(&consumer_));
        EXPECT_FALSE(lvif_consumer_sleep(&consumer_));
        EXPECT_EQ(memory_.header()->tail, tail);
        EXPECT_EQ(consumer_.breaks, 1U) << "counted once";
    }
    static lvif_record frame_of(std::uint32_t length, std::uint16_t flags = 0) {
        lvif_record value{};
        value.length = length;
        value.flags = flags;
        return value;
    }

    RingMemory memory_{capacity, 0};
    lvif_consumer consumer_{};
    lvif_frame frame_{};
    std::uint64_t position_ = 0;
};

TEST_F(HostileProducer, head_that_jumps_or_is_unaligned) {
    for (std::uint64_t bad : {std::uint64_t{capacity} + 16, std::uint64_t{8}, std::uint64_t{1}, ~std::uint64_t{0} - 15,
                              std::uint64_t{1} << 32, std::uint64_t{1} << 63, std::uint64_t{capacity} + 8}) {
        for (std::uint64_t at : {std::uint64_t{0}, (std::uint64_t{1} << 32) - 16, ~std::uint64_t{0} - 15}) {
            SCOPED_TRACE(std::to_string(bad) + " from " + std::to_string(at));
            consumer_ = {};
            start(at);
            head(bad);
            expect_broken();
        }
    }
}

// Records that are good in themselves: nothing but the position says that something is wrong.
TEST_F(HostileProducer, head_beyond_a_full_ring_of_good_records) {
    for (std::uint64_t beyond : {std::uint64_t{16}, std::uint64_t{capacity}, std::uint64_t{1} << 32}) {
        SCOPED_TRACE(beyond);
        consumer_ = {};
        start(0);
        record(0, frame_of(64));
        head(capacity + beyond);
        expect_broken();
    }
}

TEST_F(HostileProducer, head_that_goes_back) {
    start(0);
    record(0, frame_of(64));
    record(80, frame_of(64));
    head(160);
    ASSERT_EQ(peek(), 1);
    lvif_consumer_release(&consumer_);
    ASSERT_EQ(peek(), 1);
    lvif_consumer_release(&consumer_);
    lvif_consumer_publish(&consumer_);
    head(80);
    expect_broken();
}

TEST_F(HostileProducer, space_that_is_not_given_back_yet_is_not_taken) {
    start(0);
    record(0, frame_of(64));
    head(80);
    ASSERT_EQ(peek(), 1);
    lvif_consumer_release(&consumer_);
    head(capacity + 16);  // within a full ring of the released position, beyond one of the published
    expect_broken();
}

TEST_F(HostileProducer, lengths_that_lie) {
    for (std::uint32_t length :
         {0U, 13U, 65U, capacity / 2, capacity, 0x7fffffffU, 0x80000000U, 0xfffffff0U, 0xfffffff1U, 0xffffffffU}) {
        SCOPED_TRACE(length);
        consumer_ = {};
        start(0);
        record(0, frame_of(length));
        head(80);
        expect_broken();
    }
    // Published in full, but longer than any frame may be.
    consumer_ = {};
    start(0);
    record(0, frame_of(capacity / 2));
    head(capacity);
    expect_broken();
}

TEST_F(HostileProducer, frame_that_runs_past_the_end) {
    start(capacity - 32);
    record(capacity - 32, frame_of(17));
    head(capacity);
    expect_broken();
}

TEST_F(HostileProducer, pads_that_lie) {
    struct Case {
        char const* what;
        std::uint64_t at;
        lvif_record record;
        std::uint64_t head;
    };
    for (Case const& c : {
             Case{"not to the end", capacity - 64, frame_of(32, LVIF_PAD), 4096},
             Case{"beyond the end", capacity - 64, frame_of(64, LVIF_PAD), 4096},
             Case{"unaligned, rounds to the end", capacity - 64, frame_of(47, LVIF_PAD), 4096},
             Case{"huge", capacity - 64, frame_of(0xffffffff, LVIF_PAD), 4096},
             Case{"whole ring", 0, frame_of(capacity - 16, LVIF_PAD), capacity},
             Case{"longer than published", capacity - 64, frame_of(48, LVIF_PAD), 48},
             Case{"with other flags", capacity - 64, frame_of(48, LVIF_PAD | LVIF_CSUM_OK), 4096},
             Case{"with unknown flags", capacity - 64, frame_of(48, LVIF_PAD | 0x4000), 4096},
         }) {
        SCOPED_TRACE(c.what);
        consumer_ = {};
        start(c.at);
        record(c.at, c.record);
        head(c.head);
        expect_broken();
    }
}

TEST_F(HostileProducer, a_pad_that_stands_last_is_no_frame) {
    start(capacity - 64);
    record(capacity - 64, frame_of(48, LVIF_PAD));
    head(64);
    EXPECT_EQ(peek(), 0);
    lvif_consumer_publish(&consumer_);
    EXPECT_EQ(memory_.header()->tail, capacity);
    record(0, frame_of(20));
    head(64 + 48);
    EXPECT_EQ(peek(), 1);
    EXPECT_EQ(frame_.length, 20U);
}

TEST_F(HostileProducer, flags_unknown_or_not_agreed_and_offloads_that_do_not_fit) {
    for (lvif_record bad : {
             lvif_record{100, 0x0020, 0, 0, 0, 0, 0},
             lvif_record{100, 0x8000, 0, 0, 0, 0, 0},
             lvif_record{100, LVIF_CSUM_OK, 0, 0, 0, 0, 0},
             lvif_record{100, LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4, 34, 16, 1448, 66, 0},
             lvif_record{100, LVIF_CSUM_PARTIAL, 34, 65, 0, 0, 0},
             lvif_record{100, LVIF_CSUM_PARTIAL, 0xffff, 0xffff, 0, 0, 0},
             lvif_record{100, LVIF_CSUM_PARTIAL, 0, 0, 0, 0, 0},
         }) {
        SCOPED_TRACE("flags " + std::to_string(bad.flags) + " start " + std::to_string(bad.csum_start));
        consumer_ = {};
        start(0);
        record(0, bad);
        head(128);
        expect_broken();
    }
}

TEST_F(HostileProducer, fields_that_no_flag_asks_for_are_not_passed_on) {
    start(0);
    record(0, lvif_record{100, LVIF_CSUM_PARTIAL, 34, 16, 0xffff, 0xffff, 0xffff});
    head(128);
    ASSERT_EQ(peek(), 1);
    EXPECT_EQ(frame_.offload.gso_size, 0);
    EXPECT_EQ(frame_.offload.header_length, 0);
    EXPECT_EQ(frame_.offload.csum_start, 34);
}

TEST(HostileConsumer, tail_that_jumps_runs_ahead_or_goes_back) {
    for (std::uint64_t at : {std::uint64_t{0}, (std::uint64_t{1} << 32) - 4096, ~std::uint64_t{0} - 4095}) {
        for (std::uint64_t bad :
             {std::uint64_t{capacity}, std::uint64_t{8}, ~std::uint64_t{0} - 15, std::uint64_t{1} << 40}) {
            SCOPED_TRACE(std::to_string(bad) + " from " + std::to_string(at));
            RingMemory memory(capacity, at);
            lvif_producer producer{};
            std::uint8_t* bytes = nullptr;
            lvif_producer_start(&producer, memory.header(), capacity, 0, at);
            for (int i = 0; i < 4; i++) {
                ASSERT_EQ(lvif_producer_reserve(&producer, 8000, &bytes), 0);
                ASSERT_EQ(lvif_producer_commit(&producer, 8000, nullptr), 0);
            }
            lvif_producer_publish(&producer);
            // Committed, not published: the consumer cannot have it yet.
            ASSERT_EQ(lvif_producer_reserve(&producer, 8000, &bytes), 0);
            ASSERT_EQ(lvif_producer_commit(&producer, 8000, nullptr), 0);
            memory.header()->tail = at + bad;
            EXPECT_EQ(lvif_producer_reserve(&producer, capacity / 2 - 16, &bytes), LVIF_EPROTO);
            EXPECT_EQ(producer.breaks, 1U);
            std::uint64_t const head = memory.header()->head;
            EXPECT_FALSE(lvif_producer_publish(&producer));
            EXPECT_TRUE(lvif_producer_wait(&producer, 100)) << "a broken ring is not waited for";
            EXPECT_EQ(memory.header()->head, head);
            EXPECT_EQ(lvif_producer_reserve(&producer, 100, &bytes), LVIF_EPROTO);
            EXPECT_EQ(producer.breaks, 1U);
        }
    }
}

// The whole memory is the peer's to write, at any time. Under the address sanitizer this finds a step outside.
TEST(HostilePeer, random_memory_never_leads_outside) {
    auto const seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    RingMemory memory(capacity, 0);
    std::uint64_t frames = 0;
    for (int round = 0; round < 3000; round++) {
        std::uint64_t const start = (random() % 4 == 0 ? ~std::uint64_t{0} - random() % capacity : random()) & ~15ULL;
        lvif_consumer consumer{};
        lvif_producer producer{};
        lvif_ring_create(memory.header(), capacity, 0, start);
        lvif_consumer_start(&consumer, memory.header(), capacity, all_rx_flags, start);
        lvif_producer_start(&producer, memory.header(), capacity, all_tx_flags, start);
        for (int i = 0; i < 200; i++) {
            lvif_record record{};
            record.length = random() % 8 == 0 ? static_cast<std::uint32_t>(random()) : random() % 2000;
            record.flags = random() % 6 == 0 ? static_cast<std::uint16_t>(random() % 64) : 0;
            record.csum_start = static_cast<std::uint16_t>(random() % 100);
            std::memcpy(memory.data() + (consumer.tail & (capacity - 1)), &record, sizeof record);
            memory.header()->head = consumer.tail + 16 * (random() % (capacity / 16 + (random() % 50 == 0 ? 2 : 0)));
            lvif_frame frame{};
            if (lvif_consumer_peek(&consumer, &frame) == 1) {
                auto const* first = reinterpret_cast<std::byte const*>(frame.bytes);
                ASSERT_GE(first, memory.data());
                ASSERT_LE(first + frame.length, memory.data() + capacity);
                lvif_consumer_release(&consumer);
                frames++;
            }
            lvif_consumer_publish(&consumer);
            memory.header()->tail = random() % 30 == 0 ? random() : producer.published;
            std::uint8_t* bytes = nullptr;
            auto const length = static_cast<std::uint32_t>(random() % 40000);
            if (lvif_producer_reserve(&producer, length, &bytes) == 0) {
                ASSERT_LE(reinterpret_cast<std::byte*>(bytes) + length, memory.data() + capacity);
                std::memset(bytes, 0x5a, length);
                lvif_producer_commit(&producer, length, nullptr);
            }
            lvif_producer_publish(&producer);
        }
    }
    EXPECT_GT(frames, 1000U) << "the random memory is not all rejected";
}

}  // namespace
