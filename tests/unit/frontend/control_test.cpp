// SPDX-License-Identifier: BSD-2-Clause
// The guest's ends of the control rings, over the wrap at 2^32, and against a server that lies.
#include "control.h"

#include <gtest/gtest.h>
#include <librettos/frontend.h>

#include <cstring>
#include <deque>
#include <memory>
#include <random>

namespace {

struct Rings {
    explicit Rings(std::uint32_t start) {
        std::memset(to_server.get(), 0, sizeof(lvif_control_ring));
        std::memset(to_guest.get(), 0, sizeof(lvif_control_ring));
        lvif_control_create(&control, to_server.get(), to_guest.get(), start);
    }
    std::unique_ptr<lvif_control_ring> to_server = std::make_unique<lvif_control_ring>();
    std::unique_ptr<lvif_control_ring> to_guest = std::make_unique<lvif_control_ring>();
    lvif_control control{};
};

class Control : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(Control, behaves_as_two_queues) {
    auto const seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    Rings rings(GetParam());
    std::uint32_t taken = GetParam();
    std::deque<std::uint32_t> sent;
    std::deque<std::uint32_t> told;
    lvif_message message{};
    for (std::uint32_t i = 0; i < 20000; i++) {
        message.id = i;
        switch (random() % 4) {
            case 0: {
                int const result = lvif_control_send(&rings.control, &message);
                ASSERT_EQ(result, sent.size() < LVIF_CONTROL_SLOTS ? 0 : LVIF_EAGAIN);
                if (result == 0)
                    sent.push_back(i);
                break;
            }
            case 1:
                if (!sent.empty()) {
                    ASSERT_EQ(rings.to_server->slots[taken++ % LVIF_CONTROL_SLOTS].id, sent.front());
                    sent.pop_front();
                    rings.to_server->tail = taken;
                }
                break;
            case 2:
                if (rings.to_guest->head - rings.to_guest->tail < LVIF_CONTROL_SLOTS) {
                    rings.to_guest->slots[rings.to_guest->head++ % LVIF_CONTROL_SLOTS] = message;
                    told.push_back(i);
                }
                break;
            default:
                ASSERT_EQ(lvif_control_receive(&rings.control, &message), told.empty() ? 0 : 1);
                if (!told.empty()) {
                    ASSERT_EQ(message.id, told.front());
                    told.pop_front();
                    ASSERT_FALSE(lvif_control_release(&rings.control));
                }
                break;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(positions, Control, ::testing::Values(0U, 0U - 100U, 0x7fffffffU));

TEST(ControlHostile, heads_and_tails_that_jump) {
    for (std::uint32_t bad : {33U, 0x80000000U, ~0U}) {
        Rings rings(5);
        lvif_message message{};
        rings.to_guest->head = 5 + bad;
        EXPECT_EQ(lvif_control_receive(&rings.control, &message), LVIF_EPROTO) << bad;
        EXPECT_FALSE(lvif_control_sleep(&rings.control));
        for (unsigned i = 0; i < LVIF_CONTROL_SLOTS; i++)
            ASSERT_EQ(lvif_control_send(&rings.control, &message), 0);
        rings.to_server->tail = 5 + bad;
        EXPECT_EQ(lvif_control_send(&rings.control, &message), LVIF_EPROTO) << bad;
    }
}

TEST(ControlSleep, is_taken_back_when_there_is_something) {
    Rings rings(0);
    lvif_message message{};
    EXPECT_TRUE(lvif_control_sleep(&rings.control));
    EXPECT_EQ(rings.to_guest->consumer_sleeps, 1U);
    lvif_control_wake(&rings.control);
    rings.to_guest->head = 1;
    EXPECT_FALSE(lvif_control_sleep(&rings.control));
    EXPECT_EQ(rings.to_guest->consumer_sleeps, 0U);
    rings.to_server->consumer_sleeps = 1;
    EXPECT_EQ(lvif_control_send(&rings.control, &message), 1) << "notify";
    rings.to_guest->producer_waits = 1;
    EXPECT_EQ(lvif_control_receive(&rings.control, &message), 1);
    EXPECT_TRUE(lvif_control_release(&rings.control));
}

}  // namespace
