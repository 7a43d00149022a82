// SPDX-License-Identifier: BSD-2-Clause
// The portmap as text for a store: a block of 256 ports in one value, and what is to be known of an owner.
//
// A block is 256 entries of three characters, 18 bits each in base 64 (A-Z a-z 0-9 - _), most significant first: two
// bits of kind, 16 of owner. It has the same size whatever guests do, and fits any store's limit.
//
//   kind   0  free, owner 0; kept for the host, owner 1     1  bound     2  leased     3  quarantined
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <librettos/portmap.h>

#include "portmap/authority.hpp"

namespace librettos {

using PortBlock = std::array<std::uint32_t, PortmapAuthority::block_ports>;  // entries as in the table

PortBlock read_block(lvif_portmap const& table, std::size_t block);
// Empty: all ports are free, nothing needs to be kept.
std::string block_text(PortBlock const& entries);
// Nothing when the text is none that block_text() makes.
std::optional<PortBlock> parse_block(std::string_view text);

struct PortOwner {
    std::string name;
    std::chrono::milliseconds quarantine_end{0};  // 0: it lives
};

std::string owner_text(PortOwner const& owner);
std::optional<PortOwner> parse_owner(std::string_view text);

}  // namespace librettos
