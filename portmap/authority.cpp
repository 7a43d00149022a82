// SPDX-License-Identifier: BSD-2-Clause
// The portmap's authority: operations.
#include "portmap/authority.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

namespace librettos {

namespace {

bool is_protocol(std::uint8_t protocol) {
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

bool is_protocol_or_both(std::uint8_t protocol) {
    return protocol == LVIF_PORT_TCP_AND_UDP || is_protocol(protocol);
}

bool is_range(std::uint32_t first, std::uint32_t count) {
    return first >= 1 && count >= 1 && first < LVIF_PORTS && count <= LVIF_PORTS - first;
}

std::uint32_t base_of(std::uint8_t protocol) {
    return protocol == IPPROTO_UDP ? LVIF_PORTS : 0;
}

std::uint32_t seconds(PortmapAuthority::Time time) {
    return static_cast<std::uint32_t>(time.count() / 1000);
}

// Calls `f` with the base index of each protocol that `protocol` means.
template <typename F>
void for_each_base(std::uint8_t protocol, F f) {
    if (protocol != IPPROTO_UDP)
        f(std::uint32_t{0});
    if (protocol != IPPROTO_TCP)
        f(std::uint32_t{LVIF_PORTS});
}

}  // namespace

PortmapAuthority::PortmapAuthority(lvif_portmap& table, Settings const& settings, Random random)
    : table_{table},
      settings_{settings},
      middle_{settings.ephemeral_first + (settings.ephemeral_last - settings.ephemeral_first + 1u) / 2},
      random_{std::move(random)},
      since_s_(indices, 0),
      next_(indices, none),
      previous_(indices, none),
      position_(indices, 0) {
    assert(settings.ephemeral_first >= 1 && settings.ephemeral_first <= settings.ephemeral_last);
    std::memset(&table_, 0, sizeof(table_));
    table_.version = LVIF_PORTMAP_VERSION;
    table_.ephemeral_first = settings.ephemeral_first;
    table_.ephemeral_last = settings.ephemeral_last;
    for (Index base : {Index{0}, Index{LVIF_PORTS}})
        for (Index port = settings.ephemeral_first; port <= settings.ephemeral_last; port++)
            add_free(base + port);
    table_.magic = LVIF_PORTMAP_MAGIC;
}

void PortmapAuthority::add_domain(DomId domain, std::string_view name, std::uint32_t account) {
    assert(domain.value != 0 && !knows(domain));
    Owner owner;
    owner.name = name;
    owner.account = account;
    owner.limit = settings_.ports_per_domain;
    owners_.emplace(domain.value, std::move(owner));
}

void PortmapAuthority::remove_domain(DomId domain, Time now) {
    Owner* owner = living(domain);
    if (owner == nullptr)
        return;
    if (owner->ports == 0) {
        owners_.erase(domain.value);
        return;
    }
    owner->alive = false;
    owner->quarantine_end = now + settings_.quarantine;
    for (Index index = owner->first; index != none; index = next_[index])
        set_word(index, lvif_port_entry(LVIF_PORT_QUARANTINED, domain.value, 0), now);
    totals_.bound -= owner->ports;
    totals_.quarantined += owner->ports;
    Account& account = accounts_[owner->account];
    account.ports += owner->ports;
    owner->quarantine = ++last_quarantine_;
    account.quarantines.insert(owner->quarantine);
    quarantines_.emplace(owner->quarantine, domain.value);
    std::uint32_t const number = owner->account;
    expire(now);
    auto const over_budget = [this](Account const& its) {
        return its.ports > settings_.quarantined_ports || its.quarantines.size() > settings_.quarantined_domains;
    };
    for (auto found = accounts_.find(number); found != accounts_.end() && over_budget(found->second);
         found = accounts_.find(number))
        end_quarantine(*found->second.quarantines.begin(), now);
}

int PortmapAuthority::bind(DomId domain, std::uint8_t protocol, std::uint16_t port, Time now, std::uint16_t* bound) {
    if (!is_protocol(protocol))
        return -EINVAL;
    Owner* owner = living(domain);
    if (owner == nullptr)
        return -ENOENT;
    expire(now);
    Index index = base_of(protocol) + port;
    if (port != 0) {
        bool const own = state(index) == LVIF_PORT_BOUND && (word(index) & LVIF_PORT_OWNER_MASK) == domain.value;
        if (!own && !may_claim(*owner, index))
            return -EADDRINUSE;
        if (!own && owner->ports >= owner->limit)
            return -EDQUOT;
        if (!own)
            claim(domain, *owner, index, 0, now);
    } else {
        if (owner->ports >= owner->limit)
            return -EDQUOT;
        std::optional<Index> const drawn = draw(index);
        if (!drawn)
            return -EADDRINUSE;
        index = *drawn;
        claim(domain, *owner, index, 0, now);
    }
    *bound = static_cast<std::uint16_t>(index % LVIF_PORTS);
    return 0;
}

int PortmapAuthority::lease(DomId domain, std::uint8_t protocol, std::uint32_t count, Time now, std::uint16_t* first) {
    if (!is_protocol_or_both(protocol) || count == 0 || count >= LVIF_PORTS)
        return -EINVAL;
    Owner* owner = living(domain);
    if (owner == nullptr)
        return -ENOENT;
    expire(now);
    std::uint32_t const cost = protocol == LVIF_PORT_TCP_AND_UDP ? 2 * count : count;
    if (owner->ports > owner->limit || cost > owner->limit - owner->ports)
        return -EDQUOT;
    std::optional<std::uint32_t> const block = find_block(protocol, count);
    if (!block)
        return -EADDRINUSE;
    for_each_base(protocol, [&](Index base) {
        for (std::uint32_t i = 0; i < count; i++)
            claim(domain, *owner, base + *block + i, LVIF_PORT_LEASED, now);
    });
    *first = static_cast<std::uint16_t>(*block);
    return 0;
}

int PortmapAuthority::release(DomId domain, std::uint8_t protocol, std::uint32_t first, std::uint32_t count, Time now) {
    bool const all = protocol == LVIF_PORT_TCP_AND_UDP && first == 0 && count == 0;
    if (!all && (!is_protocol_or_both(protocol) || !is_range(first, count)))
        return -EINVAL;
    Owner* const owner = living(domain);
    if (owner == nullptr)
        return -ENOENT;
    expire(now);
    while (all && owner->first != none)
        free(owner->first, now);
    if (all)
        return 0;
    bool all_own = true;
    for_each_base(protocol, [&](Index base) {
        for (Index index = base + first; index < base + first + count; index++)
            all_own =
                all_own && state(index) == LVIF_PORT_BOUND && (word(index) & LVIF_PORT_OWNER_MASK) == domain.value;
    });
    if (!all_own)
        return -EPERM;
    for_each_base(protocol, [&](Index base) {
        for (Index index = base + first; index < base + first + count; index++)
            free(index, now);
    });
    return 0;
}

int PortmapAuthority::set_limit(DomId domain, std::uint32_t ports) {
    if (ports > indices)
        return -EINVAL;
    Owner* owner = living(domain);
    if (owner == nullptr)
        return -ENOENT;
    owner->limit = ports;
    return 0;
}

int PortmapAuthority::reserve(std::uint8_t protocol, std::uint32_t first, std::uint32_t count, bool reserve, Time now) {
    if (!is_protocol(protocol) || !is_range(first, count))
        return -EINVAL;
    expire(now);
    Index const begin = base_of(protocol) + first;
    Index const end = begin + count;
    for (Index index = begin; reserve && index < end; index++)
        if (state(index) == LVIF_PORT_BOUND)
            return -EADDRINUSE;
    for (Index index = begin; index < end; index++) {
        bool const reserved = state(index) == LVIF_PORT_RESERVED;
        if (reserve && !reserved) {
            take_from_owner(index);
            take_free(index);
            set_word(index, lvif_port_entry(LVIF_PORT_RESERVED, 0, 0), now);
        } else if (!reserve && reserved) {
            add_free(index);
            set_word(index, lvif_port_entry(LVIF_PORT_FREE, 0, 0), now);
        }
    }
    return 0;
}

int PortmapAuthority::query(std::uint8_t protocol, std::uint16_t port, Time now, Answer& answer) const {
    if (!is_protocol(protocol) || port == 0)
        return -EINVAL;
    Index const index = base_of(protocol) + port;
    answer = Answer{};
    answer.entry = word(index);
    answer.age_s = seconds(now) - std::min(seconds(now), since_s_[index]);
    if (state(index) != LVIF_PORT_BOUND && state(index) != LVIF_PORT_QUARANTINED)
        return 0;
    Owner const& owner = owners_.at(static_cast<std::uint16_t>(word(index) & LVIF_PORT_OWNER_MASK));
    answer.owner_name = owner.name;
    answer.owner_ports = owner.ports;
    answer.owner_limit = owner.limit;
    if (!owner.alive && owner.quarantine_end > now)
        answer.quarantine_left_s = seconds(owner.quarantine_end - now + Time{999});
    return 0;
}

bool PortmapAuthority::restore(DomId domain, std::uint8_t protocol, std::uint16_t port, bool leased, Time now) {
    Owner* const owner = living(domain);
    Index const index = base_of(protocol) + port;
    if (owner == nullptr || port == 0 || !is_protocol(protocol) || state(index) != LVIF_PORT_FREE)
        return false;
    claim(domain, *owner, index, leased ? LVIF_PORT_LEASED : 0, now);
    return true;
}

void PortmapAuthority::expire(Time now) {
    while (!quarantines_.empty() && owners_.at(quarantines_.begin()->second).quarantine_end <= now)
        end_quarantine(quarantines_.begin()->first, now);
}

void PortmapAuthority::end_quarantine(Turn turn, Time now) {
    Owner& owner = owners_.at(quarantines_.at(turn));
    for (std::uint32_t left = owner.ports; left > 0; left--)
        free(owner.first, now);  // the last one forgets the owner
}

std::optional<PortmapAuthority::Time> PortmapAuthority::next_expiry() const {
    return quarantines_.empty() ? std::nullopt : std::optional{owners_.at(quarantines_.begin()->second).quarantine_end};
}

PortmapAuthority::Owner* PortmapAuthority::living(DomId domain) {
    auto const found = owners_.find(domain.value);
    return found == owners_.end() || !found->second.alive ? nullptr : &found->second;
}

}  // namespace librettos
