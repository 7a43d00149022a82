// SPDX-License-Identifier: BSD-2-Clause
// The portmap as text for a store.
#include "drivers/hypervisor/xen/portmap_text.hpp"

#include <algorithm>
#include <charconv>

#include "portmap/reader.hpp"

namespace librettos {

namespace {

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t entry_chars = 3;
constexpr std::size_t name_max = 255;

enum class Kind : std::uint32_t { none = 0, bound = 1, leased = 2, quarantined = 3 };
constexpr std::uint32_t host = 1;  // owner of kind none

std::uint32_t packed(PortEntry entry) {
    auto const pack = [&](Kind kind, std::uint32_t owner) { return static_cast<std::uint32_t>(kind) << 16 | owner; };
    switch (entry.state()) {
        case LVIF_PORT_BOUND:
            return pack(entry.leased() ? Kind::leased : Kind::bound, entry.owner().value);
        case LVIF_PORT_QUARANTINED:
            return pack(Kind::quarantined, entry.owner().value);
        case LVIF_PORT_RESERVED:
            return pack(Kind::none, host);
        case LVIF_PORT_FREE:
            break;
    }
    return 0;
}

std::optional<std::uint32_t> unpacked(std::uint32_t bits) {
    auto const owner = static_cast<std::uint16_t>(bits);
    auto const kind = static_cast<Kind>(bits >> 16);
    if (kind == Kind::none && owner <= host)
        return lvif_port_entry(owner == host ? LVIF_PORT_RESERVED : LVIF_PORT_FREE, 0, 0);
    if (kind == Kind::none || owner == 0)
        return std::nullopt;
    if (kind == Kind::quarantined)
        return lvif_port_entry(LVIF_PORT_QUARANTINED, owner, 0);
    return lvif_port_entry(LVIF_PORT_BOUND, owner, kind == Kind::leased ? LVIF_PORT_LEASED : 0);
}

}  // namespace

PortBlock read_block(lvif_portmap const& table, std::size_t block) {
    PortBlock entries;
    constexpr std::size_t blocks = LVIF_PORTS / PortmapAuthority::block_ports;
    std::uint8_t const protocol = block < blocks ? IPPROTO_TCP : IPPROTO_UDP;
    for (std::size_t i = 0; i < entries.size(); i++)
        entries[i] = read_port(table, protocol, static_cast<std::uint16_t>(block % blocks * entries.size() + i)).word();
    return entries;
}

std::string block_text(PortBlock const& entries) {
    if (std::all_of(entries.begin(), entries.end(), [](std::uint32_t word) { return word == 0; }))
        return {};
    std::string text;
    text.reserve(entries.size() * entry_chars);
    for (std::uint32_t const word : entries) {
        std::uint32_t const bits = packed(PortEntry{word});
        for (unsigned const shift : {12U, 6U, 0U})
            text.push_back(digits[bits >> shift & 63U]);
    }
    return text;
}

std::optional<PortBlock> parse_block(std::string_view text) {
    PortBlock entries;
    if (text.size() != entries.size() * entry_chars)
        return std::nullopt;
    for (std::size_t i = 0; i < entries.size(); i++) {
        std::uint32_t bits = 0;
        for (char const c : text.substr(i * entry_chars, entry_chars)) {
            auto const digit = digits.find(c);
            if (digit == std::string_view::npos)
                return std::nullopt;
            bits = bits << 6 | static_cast<std::uint32_t>(digit);
        }
        auto const word = unpacked(bits);
        if (!word)
            return std::nullopt;
        entries[i] = *word;
    }
    return entries;
}

std::string owner_text(PortOwner const& owner) {
    return std::to_string(owner.quarantine_end.count()) + " " + owner.name;
}

std::optional<PortOwner> parse_owner(std::string_view text) {
    PortOwner owner;
    std::int64_t end = 0;
    auto const [rest, error] = std::from_chars(text.data(), text.data() + text.size(), end);
    auto const used = static_cast<std::size_t>(rest - text.data());
    if (error != std::errc{} || end < 0 || used == text.size() || *rest != ' ')
        return std::nullopt;
    owner.name = text.substr(used + 1);
    owner.quarantine_end = std::chrono::milliseconds{end};
    if (owner.name.empty() || owner.name.size() > name_max)
        return std::nullopt;
    return owner;
}

}  // namespace librettos
