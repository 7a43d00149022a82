// SPDX-License-Identifier: BSD-2-Clause
// The addresses for dedicated guests.
#include "daemon/engine/control/address_pool.hpp"

#include <algorithm>
#include <cstdint>
#include <system_error>

#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

namespace {

// FNV-1a: the same in every build, so a name's MAC does not change with an upgrade.
std::uint64_t hash_of(std::string_view text, std::uint64_t salt) {
    std::uint64_t hash = 0xcbf29ce484222325ULL ^ salt;
    for (char const c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return hash ^ (hash >> 32);
}

[[noreturn]] void refuse(std::string const& key, std::string const& text) {
    throw std::system_error(EINVAL, std::generic_category(), key + ": '" + text + "' is not usable");
}

}  // namespace

AddressPool::AddressPool(Config::Dedicated const& pool, MacAddress taken)
    : entries_(std::max(pool.ipv4.size(), pool.ipv6.size())), taken_(taken) {
    for (std::size_t i = 0; i < pool.ipv4.size(); ++i) {
        auto const address = parse_ipv4(pool.ipv4[i]);
        if (!address)
            refuse("dedicated.ipv4", pool.ipv4[i]);
        entries_[i].ipv4 = *address;
    }
    for (std::size_t i = 0; i < pool.ipv6.size(); ++i) {
        auto const address = parse_ipv6(pool.ipv6[i]);
        if (!address)
            refuse("dedicated.ipv6", pool.ipv6[i]);
        entries_[i].ipv6 = *address;
    }
    auto const prefix = parse_mac(pool.mac_prefix + ":00:00:00");
    if (!prefix)
        refuse("dedicated.mac_prefix", pool.mac_prefix);
    prefix_ = *prefix;
}

std::optional<std::size_t> AddressPool::choose(std::string_view name, Ipv4Address ipv4) const {
    std::optional<std::size_t> unused;
    std::optional<std::size_t> forgotten;
    for (std::size_t n = 0, start = hash_of(name, 0) % std::max<std::size_t>(entries_.size(), 1); n < entries_.size();
         ++n) {
        auto const i = (start + n) % entries_.size();
        if (entries_[i].used || (ipv4.is_set() && entries_[i].ipv4 != ipv4))
            continue;
        if (entries_[i].last_holder == name)
            return i;
        if (!unused && entries_[i].last_holder.empty())
            unused = i;
        if (!forgotten)
            forgotten = i;
    }
    return unused ? unused : forgotten;
}

MacAddress AddressPool::mac_for(std::string_view name) const {
    for (std::uint64_t salt = 0;; ++salt) {  // ends: there are 2^24 of them, and fewer entries
        auto const hash = hash_of(name, salt);
        auto mac = prefix_;
        for (std::size_t i = 0; i < 3; ++i)
            mac.bytes[3 + i] = static_cast<std::uint8_t>(hash >> (8 * i));
        auto const clash = [&](Entry const& entry) { return entry.used && entry.mac == mac; };
        if (mac != taken_ && std::none_of(entries_.begin(), entries_.end(), clash))
            return mac;
    }
}

std::optional<DedicatedAddress> AddressPool::take(std::string_view name, Ipv4Address ipv4) {
    auto const index = choose(name, ipv4);
    if (!index)
        return std::nullopt;
    auto const mac = mac_for(name);
    auto& entry = entries_[*index];
    entry.mac = mac;
    entry.last_holder = name;
    entry.used = true;
    return DedicatedAddress{*index, entry.ipv4, entry.ipv6, entry.mac};
}

std::optional<std::size_t> AddressPool::claim(std::string_view name, Ipv4Address ipv4, Ipv6Address const& ipv6,
                                              MacAddress const& mac) {
    auto const found = std::find_if(entries_.begin(), entries_.end(), [&](Entry const& entry) {
        return !entry.used && entry.ipv4 == ipv4 && entry.ipv6 == ipv6;
    });
    auto const clash = [&](Entry const& entry) { return entry.used && entry.mac == mac; };
    if (found == entries_.end() || mac == taken_ || std::any_of(entries_.begin(), entries_.end(), clash))
        return std::nullopt;
    found->mac = mac;
    found->last_holder = name;
    found->used = true;
    return static_cast<std::size_t>(found - entries_.begin());
}

void AddressPool::give_back(std::size_t index) {
    entries_.at(index).used = false;
}

std::size_t AddressPool::in_use() const {
    return static_cast<std::size_t>(
        std::count_if(entries_.begin(), entries_.end(), [](Entry const& entry) { return entry.used; }));
}

}  // namespace librettos::control
