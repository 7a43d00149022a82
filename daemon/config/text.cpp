// SPDX-License-Identifier: BSD-2-Clause
// Readers of addresses and edit distance.
#include "daemon/config/text.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <vector>

namespace librettos {
namespace {

std::optional<IpBytes> parse_ip(std::string_view text, int family, std::uint8_t length) {
    IpBytes ip;
    ip.length = length;
    if (text.find('\0') != std::string_view::npos ||
        inet_pton(family, std::string(text).c_str(), ip.bytes.data()) != 1) {
        return std::nullopt;
    }
    return ip;
}

bool bit(IpBytes const& ip, unsigned index) {
    return (ip.bytes[index / 8] >> (7 - index % 8) & 1) != 0;
}

std::size_t edits(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            std::size_t const replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
        }
    }
    return row.back();
}

}  // namespace

std::optional<IpBytes> parse_ipv4(std::string_view text) {
    return parse_ip(text, AF_INET, 4);
}

std::optional<IpBytes> parse_ipv6(std::string_view text) {
    return parse_ip(text, AF_INET6, 16);
}

bool same_subnet(IpBytes const& a, IpBytes const& b, unsigned prefix) {
    for (unsigned i = 0; i < prefix; ++i) {
        if (bit(a, i) != bit(b, i)) {
            return false;
        }
    }
    return true;
}

bool host_bits_are(IpBytes const& address, unsigned prefix, bool ones) {
    for (unsigned i = prefix; i < address.length * 8U; ++i) {
        if (bit(address, i) != ones) {
            return false;
        }
    }
    return true;
}

bool parse_hex_bytes(std::string_view text, std::span<std::uint8_t> bytes) {
    if (text.size() != bytes.size() * 3 - 1) {
        return false;
    }
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        char const* const first = text.data() + i * 3;
        auto const [end, error] = std::from_chars(first, first + 2, bytes[i], 16);
        if (error != std::errc{} || end != first + 2 || (i + 1 < bytes.size() && *end != ':')) {
            return false;
        }
    }
    return true;
}

std::string_view nearest_word(std::string_view word, std::span<std::string_view const> words) {
    constexpr std::size_t longest_sensible = 64;  // keeps the cost of a hostile key small
    if (word.size() > longest_sensible) {
        return {};
    }
    std::string_view best;
    std::size_t fewest = std::max<std::size_t>(2, word.size() / 3) + 1;
    for (std::string_view const candidate : words) {
        if (std::size_t const n = edits(word, candidate); n < fewest) {
            fewest = n;
            best = candidate;
        }
    }
    return best;
}

}  // namespace librettos
