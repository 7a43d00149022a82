// SPDX-License-Identifier: BSD-2-Clause
// Parsing and printing of the store's text.
#include "daemon/engine/control/strict_text.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace librettos::control {

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max) {
    if (text.empty() || text.size() > 20 || (text.size() > 1 && text.front() == '0'))
        return std::nullopt;
    if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }))
        return std::nullopt;
    std::uint64_t value = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value > max)
        return std::nullopt;
    return value;
}

std::optional<MacAddress> parse_mac(std::string_view text) {
    if (text.size() != 17)
        return std::nullopt;
    MacAddress mac;
    for (std::size_t i = 0; i < 6; ++i) {
        char const* const at = text.data() + 3 * i;
        auto const [end, error] = std::from_chars(at, at + 2, mac.bytes[i], 16);
        if (error != std::errc{} || end != at + 2 || (i < 5 && at[2] != ':'))
            return std::nullopt;
    }
    return mac;
}

std::optional<Ipv4Address> parse_ipv4(std::string const& text) {
    Ipv4Address address;
    if (inet_pton(AF_INET, text.c_str(), &address.be) != 1)
        return std::nullopt;
    return address;
}

std::optional<Ipv6Address> parse_ipv6(std::string const& text) {
    Ipv6Address address;
    if (inet_pton(AF_INET6, text.c_str(), address.bytes.data()) != 1)
        return std::nullopt;
    return address;
}

std::string to_text(MacAddress const& mac) {
    char text[18];
    auto const& b = mac.bytes;
    std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
    return text;
}

std::string to_text(Ipv4Address address) {
    char text[INET_ADDRSTRLEN];
    return inet_ntop(AF_INET, &address.be, text, sizeof text);
}

std::string to_text(Ipv6Address const& address) {
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(AF_INET6, address.bytes.data(), text, sizeof text);
}

std::string printable(std::string_view text, std::size_t max) {
    std::string shown(text.substr(0, max));
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    return shown;
}

bool is_domain_name(std::string_view text) {
    auto const alphanumeric = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !text.empty() && text.size() <= 63 && alphanumeric(text.front()) &&
           std::all_of(text.begin(), text.end(),
                       [&](char c) { return alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace librettos::control
