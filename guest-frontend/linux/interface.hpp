// SPDX-License-Identifier: BSD-2-Clause
// Network configuration by netlink: what the server offers becomes addresses and routes of an interface.
#pragma once

#include <cstdint>
#include <string>

#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/netlink_objects.hpp"

namespace librettos::guest {

// An interface of the network namespace in which the object was constructed. Functions throw std::runtime_error that
// says what was tried.
class Interface {
  public:
    explicit Interface(std::string name);
    ~Interface();
    Interface(Interface const&) = delete;
    Interface& operator=(Interface const&) = delete;

    // Takes the interface down and gives it MAC, MTU and the longest frame that the kernel may leave to segmentation
    // off-load; router advertisements and addresses by itself are switched off. All addresses that it had are removed.
    void prepare(Offer const& offer, std::uint32_t longest_frame);
    // Brings it up with addresses (no duplicate address detection: the server answers for them) and default routes,
    // "onlink" where the gateway is outside the subnet.
    void bring_up(Offer const& offer);
    void take_down();
    void set_mtu(std::uint16_t mtu_bytes);

  private:
    void remove_addresses();
    void add_address(int family, void const* address, std::uint8_t prefix);
    void add_default_route(int family, void const* gateway, bool onlink);
    void set_up(bool up);

    std::string name_;
    NetlinkSocket netlink_;
    int index_;
};

// In the calling thread's network namespace.
void bring_up_loopback();

}  // namespace librettos::guest
