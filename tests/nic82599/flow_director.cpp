// SPDX-License-Identifier: BSD-2-Clause
// Flow director filters and their hash.
#include "tests/nic82599/flow_director.hpp"

#include <algorithm>

namespace nic82599 {
namespace {

constexpr std::uint32_t command_mask = 3, add = 1, remove = 2, query = 3;
constexpr std::uint32_t filter_valid = reg::bit(2), clear_table = reg::bit(8), drop = reg::bit(9);
constexpr std::uint32_t mask_vlan_id = reg::bit(0), mask_vlan_priority = reg::bit(1), mask_l4 = reg::bit(3),
                        mask_flex = reg::bit(4);
constexpr std::uint16_t hash_bits = 0x7FFF;

constexpr std::uint32_t swap_bytes(std::uint32_t value) {
    return value >> 24 | (value >> 8 & 0xFF00) | (value << 8 & 0xFF0000) | value << 24;
}

constexpr std::uint16_t reverse_bits(std::uint32_t value) {
    std::uint16_t reversed = 0;
    for (unsigned i = 0; i < 16; ++i) {
        reversed = static_cast<std::uint16_t>(reversed << 1 | (value >> i & 1));
    }
    return reversed;
}

}  // namespace

void FlowDirector::reset() {
    filters_.clear();
}

// 8.2.3.21: bits of the hash that choose a bucket, by the memory that FDIRCTRL.PBALLOC gives to filters.
std::uint32_t FlowDirector::bucket_mask() const {
    std::uint32_t const allocation = registers_.get(reg::FDIRCTRL) & 3;
    return (perfect() ? 0x400u : 0x1000u) * (1u << allocation) - 1;
}

// 7.1.2.7.4: a flow of 352 bits against a key of 32, both taken cyclically.
std::uint16_t FlowDirector::hash(Fields const& fields, std::uint32_t key) {
    std::uint32_t const common = fields.destination ^ fields.source ^
                                 (std::uint32_t{fields.source_port} << 16 | fields.destination_port) ^
                                 std::uint32_t{fields.flex} << 16;
    std::uint32_t const flow = std::uint32_t{fields.flow_type} << 16 | fields.vlan;
    std::uint32_t high = common ^ flow ^ flow >> 16;
    std::uint32_t low = common >> 16 | common << 16;
    std::uint32_t result = 0;
    for (unsigned i = 0; i < 16; ++i) {
        if ((key >> i & 1) != 0) {
            result ^= low >> i;
        }
        if ((key >> (16 + i) & 1) != 0) {
            result ^= high >> i;
        }
        if (i == 0) {
            low ^= flow ^ flow << 16;  // the flow's own word takes no part in bit 0
        }
    }
    return static_cast<std::uint16_t>(result) & hash_bits;
}

FlowDirector::Fields FlowDirector::programmed(std::uint32_t command) const {
    Fields fields;
    fields.source = swap_bytes(registers_.get(reg::FDIRIPSA));
    fields.destination = swap_bytes(registers_.get(reg::FDIRIPDA));
    fields.source_port = static_cast<std::uint16_t>(registers_.get(reg::FDIRPORT));
    fields.destination_port = static_cast<std::uint16_t>(registers_.get(reg::FDIRPORT) >> 16);
    fields.vlan = static_cast<std::uint16_t>(registers_.get(reg::FDIRVLAN));
    fields.flex = static_cast<std::uint16_t>(registers_.get(reg::FDIRVLAN) >> 16);
    fields.flow_type = static_cast<std::uint8_t>(command >> 5 & 7);
    return fields;
}

std::vector<FlowDirector::Filter>::iterator FlowDirector::find(std::uint32_t hash) {
    constexpr std::uint32_t bucket_valid = reg::bit(15);
    return std::find_if(filters_.begin(), filters_.end(),
                        [hash](Filter const& filter) { return ((filter.hash ^ hash) & ~bucket_valid) == 0; });
}

void FlowDirector::command(std::uint32_t value) {
    std::uint32_t const hash = registers_.get(reg::FDIRHASH);
    auto const found = find(hash);
    if ((value & clear_table) != 0) {
        filters_.clear();
    } else if ((value & command_mask) == add) {
        Filter const filter{programmed(value), hash, value};
        if (found == filters_.end()) {
            filters_.push_back(filter);
            registers_.set(reg::FDIRUSTAT, registers_.get(reg::FDIRUSTAT) + 1);
        } else {
            *found = filter;
        }
    } else if ((value & command_mask) == remove && found != filters_.end()) {
        filters_.erase(found);
        registers_.set(reg::FDIRUSTAT, registers_.get(reg::FDIRUSTAT) + 0x10000);
    } else if ((value & command_mask) == query && found != filters_.end()) {
        value |= filter_valid;
    }
    registers_.set(reg::FDIRCMD, value & ~command_mask);  // done at once
}

void FlowDirector::control(std::uint32_t value) {
    registers_.set(reg::FDIRCTRL, (value & 3) != 0 ? value | reg::FDIRCTRL_INIT_DONE : value);
}

std::optional<FlowDirector::Fields> FlowDirector::of_frame(std::span<std::uint8_t const> frame,
                                                           Headers const& headers) const {
    bool const v4 = headers.network == Headers::Network::ipv4;
    if (headers.network == Headers::Network::none || (perfect() && !v4)) {
        return std::nullopt;
    }
    Fields fields;
    std::size_t const addresses = headers.network_at + (v4 ? 12 : 8), words = v4 ? 1 : 4;
    for (std::size_t i = 0; i < words; ++i) {
        fields.source ^= be32(frame, addresses + 4 * i);
        fields.destination ^= be32(frame, addresses + 4 * (words + i));
    }
    if (v4) {
        fields.source &= ~swap_bytes(registers_.get(reg::FDIRSIP4M));
        fields.destination &= ~swap_bytes(registers_.get(reg::FDIRDIP4M));
    }
    std::uint32_t const mask = registers_.get(reg::FDIRM);
    fields.flow_type = v4 ? 0 : 4;
    bool const ports = headers.transport == Headers::Transport::tcp || headers.transport == Headers::Transport::udp;
    if (headers.transport != Headers::Transport::none && (mask & mask_l4) == 0) {
        fields.flow_type |= headers.transport == Headers::Transport::udp   ? 1
                            : headers.transport == Headers::Transport::tcp ? 2
                                                                           : 3;
    }
    if (ports) {
        std::uint32_t const ignored =
            registers_.get(headers.transport == Headers::Transport::tcp ? reg::FDIRTCPM : reg::FDIRUDPM);
        fields.source_port = be16(frame, headers.transport_at) & static_cast<std::uint16_t>(~reverse_bits(ignored));
        fields.destination_port =
            be16(frame, headers.transport_at + 2) & static_cast<std::uint16_t>(~reverse_bits(ignored >> 16));
    }
    std::uint16_t const vlan_kept = static_cast<std::uint16_t>(((mask & mask_vlan_id) != 0 ? 0 : 0x0FFF) |
                                                               ((mask & mask_vlan_priority) != 0 ? 0 : 0xE000));
    fields.vlan = headers.vlan_tci.value_or(0) & vlan_kept;
    if ((mask & mask_flex) == 0) {
        std::size_t const at = (registers_.get(reg::FDIRCTRL) >> 16 & 0x1F) * 2;  // FDIRCTRL.Flex-Offset, in words
        if (at + 2 <= frame.size()) {
            fields.flex = static_cast<std::uint16_t>(frame[at] | frame[at + 1] << 8);
        }
    }
    return fields;
}

std::optional<FlowDirector::Match> FlowDirector::match(std::span<std::uint8_t const> frame, Headers const& headers) {
    if (!enabled()) {
        return std::nullopt;
    }
    auto const fields = of_frame(frame, headers);
    if (fields) {
        std::uint16_t const full = hash(*fields, registers_.get(reg::FDIRHKEY));
        std::uint32_t const bucket = full & bucket_mask();
        std::uint16_t const signature = hash(*fields, registers_.get(reg::FDIRSKEY));
        for (Filter const& filter : filters_) {
            bool const same = perfect() ? filter.fields == *fields : (filter.hash >> 16 & hash_bits) == signature;
            if ((filter.hash & hash_bits) == bucket && same) {
                registers_.set(reg::FDIRMATCH, registers_.get(reg::FDIRMATCH) + 1);
                return Match{
                    filter.command >> 16 & 0x7F, (filter.command & drop) != 0,
                    static_cast<std::uint16_t>(filter.hash >> 16), full,
                    (registers_.get(reg::FDIRCTRL) & (reg::FDIRCTRL_REPORT | reg::FDIRCTRL_REPORT_ALWAYS)) != 0};
            }
        }
    }
    registers_.set(reg::FDIRMISS, registers_.get(reg::FDIRMISS) + 1);
    return std::nullopt;
}

}  // namespace nic82599
