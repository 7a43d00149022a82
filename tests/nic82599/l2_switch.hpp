// SPDX-License-Identifier: BSD-2-Clause
// Who gets a frame: the MAC's filters (7.1.1) and, with virtualization, the switch between pools and wire (7.10.3).
#pragma once

#include <cstdint>
#include <span>

#include "tests/nic82599/headers.hpp"
#include "tests/nic82599/register_file.hpp"

namespace nic82599 {

using PoolSet = std::uint64_t;

class L2Switch {
  public:
    struct Route {
        PoolSet pools = 0;  // without virtualization pool 0 stands for the host
        bool wire = false;
    };

    explicit L2Switch(RegisterFile const& registers) : registers_(registers) {}

    Route from_wire(std::span<std::uint8_t const> frame, Headers const& headers) const;
    // `pool` sends; with virtualization only.
    Route from_pool(unsigned pool, std::span<std::uint8_t const> frame, Headers const& headers) const;
    // 7.10.3.9.2: the frame bears an address or a tag that its pool may not use.
    bool spoofed(unsigned pool, std::span<std::uint8_t const> frame, Headers const& headers) const;

  private:
    bool passes_mac_filter(std::span<std::uint8_t const> frame, Headers const& headers) const;
    PoolSet pools_with_address(std::uint8_t const* mac) const;
    PoolSet pools_with_vlan(std::uint16_t vlan) const;
    PoolSet pools_with(std::uint32_t filter_bits) const;
    PoolSet addressed_pools(std::span<std::uint8_t const> frame) const;
    PoolSet vlan_admits(Headers const& headers) const;
    bool in_multicast_table(std::uint8_t const* mac) const;

    RegisterFile const& registers_;
};

}  // namespace nic82599
