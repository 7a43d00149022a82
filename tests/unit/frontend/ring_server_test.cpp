// SPDX-License-Identifier: BSD-2-Clause
// The C ends against the server's ends, in one thread: same rules on both sides, recovery included.
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

#include "daemon/engine/datapath/frame_ring.hpp"
#include "ring_memory.hpp"

namespace {

constexpr std::uint32_t capacity = LVIF_RING_MIN_CAPACITY;

std::vector<std::byte> numbered_frame(std::uint32_t number, std::uint32_t length) {
    std::vector<std::byte> bytes(length);
    std::mt19937 random(number);
    for (auto& byte : bytes)
        byte = static_cast<std::byte>(random());
    return bytes;
}

std::uint32_t length_of(std::uint32_t number) {
    return LVIF_MIN_FRAME_BYTES + (number * 2654435761U) % (lvif_ring_max_frame(capacity) - LVIF_MIN_FRAME_BYTES + 1);
}

class Starts : public ::testing::TestWithParam<std::uint64_t> {};

// Every third burst another server takes the ring over where the last one left it.
TEST_P(Starts, guest_to_a_server_that_restarts) {
    RingMemory memory(capacity, GetParam());
    lvif_producer guest{};
    lvif_producer_start(&guest, memory.header(), capacity, 0, GetParam());
    std::uint32_t sent = 0;
    std::uint32_t received = 0;
    auto server = librettos::RingConsumer::adopt(memory.all(), capacity);
    for (int burst = 0; burst < 400; burst++) {
        std::uint8_t* place = nullptr;
        while (lvif_producer_reserve(&guest, length_of(sent), &place) == 0) {
            auto const bytes = numbered_frame(sent, length_of(sent));
            std::memcpy(place, bytes.data(), bytes.size());
            ASSERT_EQ(lvif_producer_commit(&guest, length_of(sent), nullptr), 0);
            sent++;
        }
        lvif_producer_publish(&guest);
        if (burst % 3 == 0)
            server = librettos::RingConsumer::adopt(memory.all(), capacity);
        ASSERT_TRUE(server);
        server->refresh();
        for (librettos::RingConsumer::Frame frame; server->take(frame); received++) {
            auto const expected = numbered_frame(received, length_of(received));
            ASSERT_EQ(frame.record.length, expected.size());
            ASSERT_EQ(std::memcmp(frame.bytes, expected.data(), expected.size()), 0);
        }
        ASSERT_FALSE(server->broken());
        server->publish();
    }
    EXPECT_EQ(sent, received);
    EXPECT_GT(sent, 400U);
}

TEST_P(Starts, a_server_that_restarts_to_guest) {
    RingMemory memory(capacity, GetParam());
    lvif_consumer guest{};
    lvif_consumer_start(&guest, memory.header(), capacity, all_rx_flags, GetParam());
    std::uint32_t sent = 0;
    std::uint32_t received = 0;
    auto server = librettos::RingProducer::adopt(memory.all(), capacity);
    for (int burst = 0; burst < 400; burst++) {
        if (burst % 3 == 0)
            server = librettos::RingProducer::adopt(memory.all(), capacity);
        ASSERT_TRUE(server);
        for (;; sent++) {
            auto const bytes = numbered_frame(sent, length_of(sent));
            lvif_record record{};
            record.flags = LVIF_CSUM_OK;
            if (!server->put(bytes.data(), length_of(sent), record))
                break;
        }
        server->publish();
        for (lvif_frame frame{}; lvif_consumer_peek(&guest, &frame) == 1; received++) {
            auto const expected = numbered_frame(received, length_of(received));
            ASSERT_EQ(frame.length, expected.size());
            ASSERT_EQ(frame.offload.flags, LVIF_CSUM_OK);
            ASSERT_EQ(std::memcmp(frame.bytes, expected.data(), expected.size()), 0);
            lvif_consumer_release(&guest);
        }
        ASSERT_FALSE(guest.broken);
        lvif_consumer_publish(&guest);
    }
    EXPECT_EQ(sent, received);
    EXPECT_GT(sent, 400U);
}

INSTANTIATE_TEST_SUITE_P(positions, Starts,
                         ::testing::Values(std::uint64_t{0}, (std::uint64_t{1} << 32) - capacity,
                                           std::uint64_t{0} - 3 * capacity - 16));

}  // namespace
