// SPDX-License-Identifier: BSD-2-Clause
// Small readers of text that a configuration holds: addresses, and the nearest of several words.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace librettos {

// An IP address of either family in network byte order; length is 4 or 16.
struct IpBytes {
    std::array<std::uint8_t, 16> bytes{};
    std::uint8_t length = 0;
    bool operator==(IpBytes const&) const = default;
};

std::optional<IpBytes> parse_ipv4(std::string_view text);
std::optional<IpBytes> parse_ipv6(std::string_view text);
// True when the first `prefix` bits agree. Both are of one family.
bool same_subnet(IpBytes const& a, IpBytes const& b, unsigned prefix);
// The bits after `prefix` are all 0, or all 1: a network's or a broadcast address.
bool host_bits_are(IpBytes const& address, unsigned prefix, bool ones);

// `count` bytes as "02:4c:52"; false when it is not exactly that.
bool parse_hex_bytes(std::string_view text, std::span<std::uint8_t> bytes);

// The word of `words` with the fewest edits from `word`, when they are few enough to be a slip; else empty.
std::string_view nearest_word(std::string_view word, std::span<std::string_view const> words);

}  // namespace librettos
