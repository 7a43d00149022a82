// SPDX-License-Identifier: BSD-2-Clause
// Which addresses the network never sees: loopback. Addresses are in network byte order, any alignment.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace librettos::guest {

inline bool is_loopback4(void const* address) {
    std::uint8_t first = 0;
    std::memcpy(&first, address, 1);
    return first == 127;
}

// ::1, and 127.0.0.0/8 as an IPv4-mapped address.
inline bool is_loopback6(void const* address) {
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), address, bytes.size());
    if (!std::all_of(bytes.begin(), bytes.begin() + 10, [](std::uint8_t byte) { return byte == 0; })) {
        return false;
    }
    bool const mapped = bytes[10] == 0xff && bytes[11] == 0xff;
    bool const one =
        std::all_of(bytes.begin() + 10, bytes.end() - 1, [](std::uint8_t byte) { return byte == 0; }) && bytes[15] == 1;
    return one || (mapped && bytes[12] == 127);
}

}  // namespace librettos::guest
