// SPDX-License-Identifier: BSD-2-Clause
// Receive side scaling (7.1.2.8): the Toeplitz hash over addresses and ports, and the redirection table.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "tests/nic82599/headers.hpp"
#include "tests/nic82599/register_file.hpp"

namespace nic82599 {

struct RssHash {
    std::uint32_t value = 0;
    std::uint8_t type = 0;  // as the descriptor reports it: 0 none, 1 TCP/IPv4, 2 IPv4, 3 TCP/IPv6, 5, 7, 8
};

std::uint32_t toeplitz(std::span<std::uint8_t const> key, std::span<std::uint8_t const> input);

// Empty: MRQC selects no RSS. A frame that no selected field fits has hash 0, type 0.
std::optional<RssHash> rss_hash(RegisterFile const& registers, std::span<std::uint8_t const> frame,
                                Headers const& headers);
// The queue, counted within its pool.
unsigned rss_queue(RegisterFile const& registers, RssHash const& hash);

}  // namespace nic82599
