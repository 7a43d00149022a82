// SPDX-License-Identifier: BSD-2-Clause
// A rump kernel's interface as guest "first", and another guest "second" beside it.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "guest-frontend/process/stack_device.hpp"
#include "tests/unit/linux/patch_cable.hpp"
#include "tests/unit/local/hypervisord_process.hpp"
#include "tests/unit/rump/kernel_double.hpp"

namespace librettos::test {

// The other guest's stack: keeps what comes, as long as its gate is open.
class Peer final : public guest::Stack {
  public:
    void burst_begins() override {}
    void deliver(lvif_frame const& frame) override {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return open_; });
        frames_.emplace_back(frame.bytes, frame.bytes + frame.length);
        changed_.notify_all();
    }
    void burst_ends() override {}
    void connected(guest::Offer const&, guest::FrameLink&) override {}
    void link(bool, std::uint16_t) override {}

    void set_gate(bool open) {
        std::lock_guard const lock(mutex_);
        open_ = open;
        changed_.notify_all();
    }
    bool wait_for_frames(std::size_t count) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return frames_.size() >= count; });
    }
    std::vector<Frame> frames() {
        std::lock_guard const lock(mutex_);
        return frames_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = true;
    std::vector<Frame> frames_;
};

class RumpGuest : public testing::Test {
  protected:
    void TearDown() override {
        peer_.set_gate(true);
        if (hypervisor_.pid() > 0) {
            hypervisor_.stop(SIGKILL);  // a patch cable does not answer who leaves, which would be waited for
        }
        if (interface_.alive()) {
            InKernel const in_kernel;
            interface_.destroy();
        }
        second_.reset();
        cable_.reset();
        EXPECT_EQ(KernelDouble::instance().reset(), std::vector<std::string>{});
    }

    void plug_in() { cable_.emplace(hypervisor_.socket(), std::array<std::string, 2>{"first", "second"}); }
    void start_second() {
        guest::GuestOptions options;
        options.name = "second";
        options.hypervisor_socket = hypervisor_.socket();
        second_.emplace(options, "test", peer_);
        second_->wait_until_connected(guest::StackDevice::for_ever);
    }
    int create(std::string const& more = "") {
        InKernel const in_kernel;
        return interface_.create("name=first,socket=" + hypervisor_.socket() + more);
    }
    // Both, on one cable.
    void start() {
        plug_in();
        start_second();
        ASSERT_EQ(create(), 0);
    }
    void send_from_second(Frame const& frame) {
        while (second_->frames().send(static_cast<std::uint32_t>(frame.size()), [&](std::uint8_t* bytes) {
            std::copy(frame.begin(), frame.end(), bytes);
        }) == LVIF_EAGAIN) {
            second_->frames().wait_for_room(std::chrono::seconds(1));
        }
    }
    static Frame numbered(unsigned number, std::size_t size = 200) {
        Frame frame(size);
        for (std::size_t i = 0; i < size; ++i) {
            frame[i] = static_cast<std::uint8_t>(number * 31 + i * 7);
        }
        frame[12] = static_cast<std::uint8_t>(number >> 8);
        frame[13] = static_cast<std::uint8_t>(number);
        return frame;
    }

    HypervisordProcess hypervisor_;
    Peer peer_;
    std::optional<guest::PatchCable> cable_;
    std::optional<guest::StackDevice> second_;
    Interface interface_;
};

}  // namespace librettos::test
