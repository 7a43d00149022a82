// SPDX-License-Identifier: BSD-2-Clause
// Port claims that wait for the control thread, over a control ring of the test's own, linked in place of liblvif.
#include "guest-frontend/linux/control_ring_ports.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <cerrno>
#include <deque>
#include <future>
#include <vector>

struct lvif_device {
    bool connected = true;
    std::uint32_t last = 1;
    std::vector<lvif_message_type> asked;
    std::vector<std::uint16_t> ports;
    std::deque<lvif_port_answer> answers;
};

extern "C" {
int lvif_port_request(lvif_device* device, lvif_message_type operation, std::uint8_t, std::uint16_t port, std::uint16_t,
                      std::uint32_t* ticket) {
    if (!device->connected) {
        return LVIF_ENOTCONN;
    }
    device->asked.push_back(operation);
    device->ports.push_back(port);
    *ticket = ++device->last;
    return 0;
}
int lvif_port_take_answer(lvif_device* device, lvif_port_answer* answer) {
    if (device->answers.empty()) {
        return 0;
    }
    *answer = device->answers.front();
    device->answers.pop_front();
    return 1;
}
}

namespace librettos::guest {
namespace {

class RingPorts : public testing::Test {
  protected:
    // The control thread's part, until it has been asked so often.
    void pump_until_asked(std::size_t times) {
        while (device_.asked.size() < times) {
            pollfd woken{ports_.fd(), POLLIN, 0};
            poll(&woken, 1, 5);
            ports_.clear();
            ports_.pump(&device_);
        }
    }
    void answer(int status, std::uint16_t port = 0, std::uint16_t count = 1) {
        device_.answers.push_back({device_.last, status, port, count});
        ports_.pump(&device_);
    }
    std::future<int> binding(std::uint16_t port) {
        return std::async(std::launch::async, [this, port] { return ports_.bind(Protocol::tcp, port); });
    }

    lvif_device device_;
    ControlRingPorts ports_{std::chrono::seconds(60)};
};

TEST_F(RingPorts, ACallWaitsForItsAnswer) {
    auto bound = binding(80);
    pump_until_asked(1);
    EXPECT_EQ(bound.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
    answer(-EADDRINUSE);
    EXPECT_EQ(bound.get(), -EADDRINUSE);
    std::uint16_t first = 0;
    auto leased = std::async(std::launch::async, [&] { return ports_.lease(512, first); });
    pump_until_asked(2);
    answer(0, 40000, 512);
    EXPECT_EQ(leased.get(), 0);
    EXPECT_EQ(first, 40000);
    EXPECT_EQ(device_.asked[1], LVIF_MSG_PORT_LEASE);
}

TEST_F(RingPorts, TheServerChoosesAPort) {
    std::uint16_t port = 0;
    auto bound = std::async(std::launch::async, [&] { return ports_.bind_any(Protocol::udp, port); });
    pump_until_asked(1);
    EXPECT_EQ(device_.ports[0], 0);
    answer(0, 40123);
    EXPECT_EQ(bound.get(), 0);
    EXPECT_EQ(port, 40123);
}

TEST_F(RingPorts, TheNextConnectionIsAskedAnew) {
    device_.connected = false;
    auto bound = binding(80);
    for (int i = 0; i < 20; ++i) {
        ports_.pump(&device_);
        poll(nullptr, 0, 1);
    }
    EXPECT_TRUE(device_.asked.empty());
    device_.connected = true;
    pump_until_asked(1);
    answer(LVIF_ENOTCONN);
    pump_until_asked(2);
    EXPECT_EQ(device_.ports[1], 80);
    answer(0, 80);
    EXPECT_EQ(bound.get(), 0);
}

TEST_F(RingPorts, CloseEndsTheWait) {
    auto bound = binding(80);
    pump_until_asked(1);
    ports_.close();
    EXPECT_EQ(bound.get(), -ECONNRESET);
    EXPECT_EQ(ports_.bind(Protocol::udp, 81), -ECONNRESET);
}

TEST(RingPortsLate, WhatIsGrantedTooLateIsGivenBack) {
    lvif_device device;
    ControlRingPorts ports(std::chrono::milliseconds(50));
    auto bound = std::async(std::launch::async, [&] { return ports.bind(Protocol::tcp, 80); });
    while (bound.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
        ports.pump(&device);
    }
    EXPECT_EQ(bound.get(), -ETIMEDOUT);
    ASSERT_EQ(device.asked.size(), 1u);
    device.answers.push_back({device.last, 0, 80, 1});
    ports.pump(&device);
    ASSERT_EQ(device.asked.size(), 2u);
    EXPECT_EQ(device.asked[1], LVIF_MSG_PORT_RELEASE);
    EXPECT_EQ(device.ports[1], 80);
    ports.pump(&device);
    EXPECT_EQ(device.asked.size(), 2u);
}

}  // namespace
}  // namespace librettos::guest
