// SPDX-License-Identifier: BSD-2-Clause
// One data thread that a test turns by hand.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <initializer_list>

#include "tests/unit/dataplane/world.hpp"

namespace librettos::test {

class DataThreadTest : public testing::Test {
  protected:
    void SetUp() override {
        world->reset();
        ack_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        network_ = world->network();
    }
    void TearDown() override {
        thread_.reset();
        close(ack_fd_);
    }

    void start() { thread_ = std::make_unique<DataThread>(world->setup(), network_, world->portmap(), ack_fd_); }

    void add(TestGuest& guest, Slot slot) {
        if (thread_ == nullptr) {
            start();
        }
        guests_.push_back(guest.attach(slot));
        thread_->commands.push({DataCommand::Kind::add, slot, guests_.back().get(), nullptr});
        thread_->housekeeping();
        DataAck ack;
        ASSERT_TRUE(thread_->acknowledgements.pop(ack));
        ASSERT_EQ(ack.kind, DataAck::Kind::added);
    }

    // A guest with these ports, in the slot of its domain's number.
    TestGuest& serve(std::uint16_t domain, std::uint32_t features, std::initializer_list<std::uint16_t> ports) {
        served_.push_back(std::make_unique<TestGuest>(domain, features));
        for (std::uint16_t const port : ports) {
            world->own(domain, port);
        }
        add(*served_.back(), domain);
        return *served_.back();
    }

    void turn(int times = 1) {
        for (int i = 0; i < times; ++i) {
            thread_->turn();
        }
    }

    NetworkIdentity network_;
    int ack_fd_ = -1;
    std::vector<std::unique_ptr<TestGuest>> served_;
    std::vector<std::unique_ptr<Guest>> guests_;
    std::unique_ptr<DataThread> thread_;
};

}  // namespace librettos::test
