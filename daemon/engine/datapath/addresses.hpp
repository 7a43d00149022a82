// SPDX-License-Identifier: BSD-2-Clause
// Link and network addresses as small values, in network byte order, and port numbers in host order.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

namespace librettos {

struct MacAddress {
    std::array<std::uint8_t, 6> bytes{};
    friend auto operator<=>(MacAddress const&, MacAddress const&) = default;
};

struct Ipv4Address {
    std::uint32_t be = 0;  // as it lies in a header
    friend auto operator<=>(Ipv4Address, Ipv4Address) = default;
    bool is_set() const { return be != 0; }
};

struct Ipv6Address {
    std::array<std::uint8_t, 16> bytes{};
    friend auto operator<=>(Ipv6Address const&, Ipv6Address const&) = default;
    bool is_set() const { return *this != Ipv6Address{}; }
};

}  // namespace librettos
