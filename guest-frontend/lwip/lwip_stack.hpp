// SPDX-License-Identifier: BSD-2-Clause
// lwIP as the stack of a guest: its netif over a FrameLink.
#pragma once

#include "guest-frontend/lwip/lvif_netif.h"
#include "guest-frontend/process/frame_link.hpp"
#include "guest-frontend/process/stack_ports.hpp"

struct pbuf;

namespace librettos::guest {

// Calls come from the device's threads, without lwIP's core lock.
class LwipStack final : public Stack {
  public:
    explicit LwipStack(netif& interface) : interface_(interface) {}

    void burst_begins() override;
    void deliver(lvif_frame const& frame) override;
    void burst_ends() override;
    void room() override;
    void connected(Offer const& offer, FrameLink& frames) override;
    void link(bool up, std::uint16_t mtu_bytes) override;

    // From now on nothing is sent: the device may go, while lwIP's timers still run.
    void leave();
    // With the core lock, and the device's threads at an end.
    void remove();

  private:
    static err_t prepare(netif* interface);
    static err_t output(netif* interface, pbuf* packet);
    void set_ipv6(Offer const& offer);

    netif& interface_;
    FrameLink* frames_ = nullptr;  // with the core lock
    bool added_ = false;
    bool leaving_ = false;
};

// Gives back what was claimed 5 s ago and no PCB has now. With the core lock.
void give_back_unused_ports(StackPorts& ports);

}  // namespace librettos::guest
