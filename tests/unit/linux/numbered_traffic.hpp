// SPDX-License-Identifier: BSD-2-Clause
// Numbered datagrams between a peer, by rings or a VF's other end, and a guest's socket.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "guest-frontend/linux/vf_interface.hpp"
#include "tests/unit/linux/ring_double.hpp"
#include "tests/unit/linux/running_program.hpp"

namespace librettos::guest {

constexpr VfMac guests_mac{2, 0, 0, 0, 0, 2}, peers_mac{2, 0, 0, 0, 0, 1};
constexpr std::uint16_t our_port = 9000;
constexpr std::size_t headers_bytes = 14 + 20 + 8;

inline std::vector<std::uint8_t> datagram(std::uint32_t number) {
    std::vector<std::uint8_t> frame(headers_bytes + sizeof number);
    std::copy(guests_mac.begin(), guests_mac.end(), frame.begin());
    std::copy(peers_mac.begin(), peers_mac.end(), frame.begin() + 6);
    std::uint8_t const rest[] = {8, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0xf6, 0xcb, 192, 0, 2, 1, 192, 0, 2, 2};
    std::copy(std::begin(rest), std::end(rest), frame.begin() + 12);
    std::uint16_t const udp[] = {htons(our_port), htons(our_port), htons(12), 0};
    std::uint32_t sum = 0;
    for (int i = 14; i < 34; i += 2) {
        sum += i == 24 ? 0u : static_cast<std::uint32_t>(frame[static_cast<std::size_t>(i)] << 8 | frame[i + 1u]);
    }
    std::uint16_t const checksum = htons(static_cast<std::uint16_t>(~((sum & 0xffff) + (sum >> 16))));
    std::memcpy(&frame[24], &checksum, sizeof checksum);
    std::memcpy(&frame[34], udp, sizeof udp);
    std::memcpy(&frame[headers_bytes], &number, sizeof number);
    return frame;
}

// The number in a datagram of ours, or nothing.
inline std::optional<std::uint32_t> number_in(std::uint8_t const* frame, std::size_t bytes) {
    std::uint16_t const port = htons(our_port);
    if (bytes < headers_bytes + 4 || frame[23] != 17 || std::memcmp(&frame[36], &port, sizeof port) != 0) {
        return std::nullopt;
    }
    std::uint32_t number = 0;
    std::memcpy(&number, &frame[headers_bytes], sizeof number);
    return number;
}

// What came, against what was sent: 0, 1, 2...
struct Account {
    std::uint32_t next = 0;
    unsigned wrong = 0;
    void add(std::uint32_t number) {
        wrong += number != next ? 1u : 0u;
        next = number + 1;
    }
};

// Datagrams each way while the guest is switched there and back, by a server that has some frames left when it steers.
class Traffic {
  public:
    static constexpr std::uint32_t total = 20'000;
    static constexpr std::uint32_t kept_back = 30;

    Traffic(lvif_device& ring, int wire, int guest) : ring_(ring), wire_(wire), guest_(guest) {
        threads_.emplace_back([this] { send_from_guest(); });
        threads_.emplace_back([this] { collect_on_wire(); });
        threads_.emplace_back([this] { send_to_guest(); });
        threads_.emplace_back([this] { receive_in_guest(); });
    }
    ~Traffic() {
        stop_.store(true);
        for (auto& thread : threads_) {
            thread.join();
        }
    }

    // So many more are sent each way: the switches set the pace.
    void allow(std::uint32_t datagrams) { allowed_.fetch_add(datagrams); }
    // The NIC's view: from the next frame on.
    void steer(bool to_vf) {
        std::lock_guard const lock(steering_);
        if (to_vf) {
            keep_back_ = true;
            return;
        }
        to_vf_ = false;
        // The wire's frames come one behind the other; here the kernel may still have some of the VF's when the next
        // one is in the ring already.
        EXPECT_TRUE(eventually([this] { return received_.load() + kept_.size() >= sent_to_guest_; }));
    }
    // Whether frames go to the VF now, with older ones still in the server's hands.
    bool has_steered() {
        std::lock_guard const lock(steering_);
        return to_vf_;
    }
    void deliver_kept_back() {
        std::lock_guard const lock(steering_);
        ring_.deliver(std::exchange(kept_, {}));
    }
    bool done() const { return collected_.load() >= total && received_.load() >= total; }
    Account outbound, inbound;

  private:
    bool may_send(std::uint32_t number) const {
        while (number >= allowed_.load() && number < total && !stop_.load()) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        return number < total && !stop_.load();
    }
    void send_from_guest() {
        for (std::uint32_t number = 0; may_send(number); ++number) {
            EXPECT_EQ(::send(guest_, &number, sizeof number, 0), static_cast<ssize_t>(sizeof number));
            std::this_thread::sleep_for(std::chrono::microseconds(number % 8 == 0 ? 200 : 0));
        }
    }
    void collect_on_wire() {
        std::array<std::uint8_t, 2048> frame{};
        auto const take = [this](std::uint8_t const* bytes, std::size_t length) {
            if (auto const number = number_in(bytes, length)) {
                outbound.add(*number);
                collected_.fetch_add(1);
            }
        };
        while (!stop_.load()) {
            std::size_t const in_ring = ring_.waiting();  // what is there now is younger than what the VF has sent
            ssize_t bytes = 0;
            while ((bytes = recv(wire_, frame.data(), frame.size(), MSG_DONTWAIT)) > 0) {
                take(frame.data(), static_cast<std::size_t>(bytes));
            }
            for (std::size_t i = 0; i < in_ring; ++i) {
                RingFrame const taken = ring_.take();
                take(taken.bytes.data(), taken.bytes.size());
            }
            if (in_ring == 0) {
                std::this_thread::sleep_for(std::chrono::microseconds(50));
            }
        }
    }
    void send_to_guest() {
        for (std::uint32_t number = 0; may_send(number); ++number) {
            {
                std::lock_guard const lock(steering_);
                auto frame = datagram(number);
                if (to_vf_) {
                    EXPECT_EQ(::send(wire_, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
                } else if (keep_back_) {
                    kept_.push_back({std::move(frame), {}});
                    to_vf_ = kept_.size() == kept_back;
                    keep_back_ = !to_vf_;
                } else {
                    ring_.deliver({{std::move(frame), {}}});
                }
                sent_to_guest_ = number + 1;
            }
            std::this_thread::sleep_for(std::chrono::microseconds(number % 8 == 0 ? 200 : 0));
        }
    }
    void receive_in_guest() {
        pollfd readable{guest_, POLLIN, 0};
        while (!stop_.load()) {
            std::uint32_t number = 0;
            while (recv(guest_, &number, sizeof number, MSG_DONTWAIT) == sizeof number) {
                inbound.add(number);
                received_.fetch_add(1);
            }
            poll(&readable, 1, 10);
        }
    }

    lvif_device& ring_;
    int const wire_, guest_;
    std::mutex steering_;
    bool to_vf_ = false, keep_back_ = false;
    std::uint32_t sent_to_guest_ = 0;
    std::vector<RingFrame> kept_;
    std::atomic<bool> stop_ = false;
    std::atomic<std::uint32_t> allowed_ = 0;
    std::atomic<std::uint32_t> collected_ = 0, received_ = 0;
    std::vector<std::thread> threads_;
};

}  // namespace librettos::guest
