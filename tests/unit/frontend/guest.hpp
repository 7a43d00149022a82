// SPDX-License-Identifier: BSD-2-Clause
// A guest around one lvif_device: polls when a watch fired or its time has come, and never else, so that a missing
// wake-up shows as a device that stands still.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "fake_server.hpp"
#include "fake_world.hpp"

class Guest {
  public:
    Guest(FakeWorld& world, FakeServer& server) : device(nullptr), world_(world), server_(server) {
        std::size_t const bytes = (lvif_device_bytes() + 63) / 64 * 64;
        memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, bytes)));
        std::fill_n(memory_.get(), bytes, std::byte{0xcd});  // lvif_open takes memory of any content
        device = reinterpret_cast<lvif_device*>(memory_.get());
    }

    static lvif_options options(std::uint16_t queues = 1) {
        lvif_options wanted{};
        wanted.queues = queues;
        wanted.features = LVIF_F_ALL;
        wanted.mode = LVIF_MODE_DEDICATED;
        std::strcpy(wanted.program, "guest 1.0");
        return wanted;
    }

    int open(lvif_options const& wanted = options()) {
        next_us_ = 0;
        auto const environment = world_.environment();
        return lvif_open(device, &environment, &wanted);
    }

    lvif_phase poll() {
        world_.watch_fired = false;
        phase = lvif_poll(device, &next_us_);
        polls++;
        return phase;
    }

    // Lets guest and server act in turn; time passes only while both have nothing to do.
    bool run_until(std::function<bool()> const& reached, int turns = 2000) {
        for (int turn = 0; turn < turns; turn++) {
            if (reached())
                return true;
            step();
        }
        return reached();
    }
    void step() {
        server_.turn();
        if (world_.watch_fired || world_.now_us >= next_us_)
            poll();
        else
            world_.now_us += std::min<std::uint64_t>(next_us_ - world_.now_us, 50000);
    }
    bool connect() {
        return run_until([&] { return phase == LVIF_PHASE_CONNECTED && server_.connected() && lvif_link_up(device); });
    }
    void run_for(std::uint64_t time_us) {
        std::uint64_t const end = world_.now_us + time_us;
        while (world_.now_us < end) {
            step();
            world_.now_us += 100;
        }
    }

    // One frame to the server and back.
    bool echo(std::uint16_t queue = 0, std::uint8_t mark = 0x42) {
        std::vector<std::uint8_t> const sent(64, mark);
        lvif_frame frame{};
        if (lvif_tx_frame(device, queue, sent.data(), 64, nullptr) != 0)
            return false;
        lvif_tx_publish(device, queue);
        server_.turn();
        if (lvif_rx_peek(device, queue, &frame) != 1)
            return false;
        bool const same = frame.length == 64 && std::memcmp(frame.bytes, sent.data(), 64) == 0;
        lvif_rx_release(device, queue);
        lvif_rx_publish(device, queue);
        return same;
    }

    lvif_device* device;
    lvif_phase phase = LVIF_PHASE_WAITING;
    std::uint64_t polls = 0;
    std::uint64_t next_us() const { return next_us_; }

  private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    FakeWorld& world_;
    FakeServer& server_;
    std::unique_ptr<std::byte, Free> memory_;
    std::uint64_t next_us_ = 0;
};

inline struct lvif_statistics statistics(Guest const& guest) {
    struct lvif_statistics sum {};
    lvif_statistics(guest.device, &sum);
    return sum;
}
