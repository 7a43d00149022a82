// SPDX-License-Identifier: BSD-2-Clause
// librettos-hypervisord as port authority.
#pragma once

#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/port_authority.hpp"

namespace librettos::guest {

class HypervisorPorts final : public PortAuthority {
  public:
    explicit HypervisorPorts(lvif_hv* hypervisor) : hypervisor_(hypervisor) {}

    int bind(Protocol protocol, std::uint16_t port) override {
        return lvif_hv_port_bind(hypervisor_, static_cast<std::uint8_t>(protocol), port, nullptr);
    }
    int bind_any(Protocol protocol, std::uint16_t& port) override {
        return lvif_hv_port_bind(hypervisor_, static_cast<std::uint8_t>(protocol), 0, &port);
    }
    int release(Protocol protocol, std::uint16_t port) override {
        return lvif_hv_port_release(hypervisor_, static_cast<std::uint8_t>(protocol), port, 1);
    }
    int lease(std::uint16_t count, std::uint16_t& first) override {
        return lvif_hv_port_lease(hypervisor_, LVIF_PORT_TCP_AND_UDP, count, &first);
    }

    int release_all() override { return lvif_hv_port_release(hypervisor_, LVIF_PORT_TCP_AND_UDP, 0, 0); }

  private:
    lvif_hv* hypervisor_;
};

}  // namespace librettos::guest
