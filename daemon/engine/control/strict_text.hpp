// SPDX-License-Identifier: BSD-2-Clause
// Text of the store, as numbers and addresses: strict, because the other side may write anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/engine/datapath/addresses.hpp"

namespace librettos::control {

// Decimal without sign, leading zero or blank, 0 .. max.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max);

std::optional<MacAddress> parse_mac(std::string_view text);
std::optional<Ipv4Address> parse_ipv4(std::string const& text);
std::optional<Ipv6Address> parse_ipv6(std::string const& text);

std::string to_text(MacAddress const& mac);
std::string to_text(Ipv4Address address);
std::string to_text(Ipv6Address const& address);

// What may be shown to an operator: at most `max` bytes, anything but printable ASCII as '?'.
std::string printable(std::string_view text, std::size_t max);

// A domain's name as hypervisord allows it: 1 .. 63 of [A-Za-z0-9._-], the first one a letter or digit.
bool is_domain_name(std::string_view text);

}  // namespace librettos::control
