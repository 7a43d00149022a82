// SPDX-License-Identifier: BSD-2-Clause
// A rump kernel as the stack of a guest: frames into its interface, by the contract's scheduling rules.
#pragma once

#include <atomic>

#include "guest-frontend/process/stack.hpp"
#include "guest-frontend/rump/contract.h"

namespace librettos::guest {

class RumpStack final : public Stack {
  public:
    using Deliver = void (*)(virtif_sc*, iovec*, std::size_t);
    RumpStack(virtif_sc* kernel_half, Deliver delivers) : kernel_half_(kernel_half), deliver_(delivers) {}

    void receiver_starts() override { rumpuser_component_kthread(); }
    void receiver_ends() override { rumpuser_component_kthread_release(); }
    void burst_begins() override { rumpuser_component_schedule(nullptr); }
    void deliver(lvif_frame const& frame) override {
        if (!dying_.load(std::memory_order_relaxed)) {
            iovec part{const_cast<std::uint8_t*>(frame.bytes), frame.length};
            deliver_(kernel_half_, &part, 1);
        }
    }
    void burst_ends() override { rumpuser_component_unschedule(); }
    void connected(Offer const& offer, FrameLink& frames) override;
    void link(bool up, std::uint16_t mtu_bytes) override;

    void dies() { dying_.store(true, std::memory_order_relaxed); }

  private:
    virtif_sc* const kernel_half_;
    Deliver const deliver_;
    std::atomic<bool> dying_ = false;
    Offer offer_{};  // the control thread's
};

}  // namespace librettos::guest
