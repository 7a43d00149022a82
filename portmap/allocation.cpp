// SPDX-License-Identifier: BSD-2-Clause
// The portmap's authority: single ports, their owners' lists, and the choice of free ones.
#include <netinet/in.h>

#include <algorithm>
#include <atomic>
#include <cassert>

#include "portmap/authority.hpp"

namespace librettos {

namespace {

std::uint32_t& table_word(lvif_portmap& table, std::uint32_t index) {
    return index < LVIF_PORTS ? table.tcp[index] : table.udp[index - LVIF_PORTS];
}

}  // namespace

// The authority is the table's only writer, so what it reads there is what it wrote.
std::uint32_t PortmapAuthority::word(Index index) const {
    return std::atomic_ref{table_word(table_, index)}.load(std::memory_order_relaxed);
}

void PortmapAuthority::set_word(Index index, std::uint32_t word, Time now) {
    since_s_[index] = static_cast<std::uint32_t>(now.count() / 1000);
    changed_.set(index / block_ports);
    std::atomic_ref{table_word(table_, index)}.store(word, std::memory_order_relaxed);
}

lvif_port_state PortmapAuthority::state(Index index) const {
    return static_cast<lvif_port_state>((word(index) & LVIF_PORT_STATE_MASK) >> LVIF_PORT_STATE_SHIFT);
}

bool PortmapAuthority::is_ephemeral(Index index) const {
    Index const port = index % LVIF_PORTS;
    return port >= settings_.ephemeral_first && port <= settings_.ephemeral_last;
}

PortmapAuthority::Free& PortmapAuthority::free_of(Index index) {
    return free_[index / LVIF_PORTS][index % LVIF_PORTS >= middle_ ? 1 : 0];
}

void PortmapAuthority::add_free(Index index) {
    if (!is_ephemeral(index))
        return;
    Free& free = free_of(index);
    position_[index] = static_cast<std::uint32_t>(free.ports.size());
    free.ports.push_back(index);
}

void PortmapAuthority::take_free(Index index) {
    if (!is_ephemeral(index))
        return;
    Free& free = free_of(index);
    Index const last = free.ports.back();
    assert(free.ports[position_[index]] == index);
    free.ports[position_[index]] = last;
    position_[last] = position_[index];
    free.ports.pop_back();
}

void PortmapAuthority::link(Owner& owner, Index index) {
    next_[index] = owner.first;
    previous_[index] = none;
    if (owner.first != none)
        previous_[owner.first] = index;
    owner.first = index;
    owner.ports++;
}

void PortmapAuthority::unlink(Owner& owner, Index index) {
    if (previous_[index] != none)
        next_[previous_[index]] = next_[index];
    else
        owner.first = next_[index];
    if (next_[index] != none)
        previous_[next_[index]] = previous_[index];
    owner.ports--;
}

bool PortmapAuthority::may_claim(Owner const& owner, Index index) const {
    switch (state(index)) {
        case LVIF_PORT_FREE:
            return true;
        case LVIF_PORT_QUARANTINED:
            return owners_.at(static_cast<std::uint16_t>(word(index) & LVIF_PORT_OWNER_MASK)).name == owner.name;
        case LVIF_PORT_BOUND:
        case LVIF_PORT_RESERVED:
            break;
    }
    return false;
}

void PortmapAuthority::claim(DomId domain, Owner& owner, Index index, std::uint32_t flags, Time now) {
    take_from_owner(index);
    take_free(index);
    link(owner, index);
    totals_.bound++;
    set_word(index, lvif_port_entry(LVIF_PORT_BOUND, domain.value, flags), now);
}

// A bound or quarantined port becomes free.
void PortmapAuthority::free(Index index, Time now) {
    take_from_owner(index);
    set_word(index, lvif_port_entry(LVIF_PORT_FREE, 0, 0), now);
}

// Takes a port out of its owner's list and puts it among the free ones; a free port stays as it is. The table's word is
// the caller's business. A removed domain is forgotten with its last port.
void PortmapAuthority::take_from_owner(Index index) {
    bool const quarantined = state(index) == LVIF_PORT_QUARANTINED;
    if (!quarantined && state(index) != LVIF_PORT_BOUND)
        return;
    auto const found = owners_.find(static_cast<std::uint16_t>(word(index) & LVIF_PORT_OWNER_MASK));
    assert(found != owners_.end());
    unlink(found->second, index);
    (quarantined ? totals_.quarantined : totals_.bound)--;
    add_free(index);
    if (!quarantined)
        return;
    auto const account = accounts_.find(found->second.account);
    assert(account != accounts_.end());
    account->second.ports--;
    if (found->second.ports != 0)
        return;
    quarantines_.erase(found->second.quarantine);
    account->second.quarantines.erase(found->second.quarantine);
    if (account->second.quarantines.empty())
        accounts_.erase(account);
    owners_.erase(found);
}

// Uniform below `bound`: the low part of the range that would favour some results is drawn again.
std::uint32_t PortmapAuthority::below(std::uint32_t bound) {
    std::uint32_t const unfair = -bound % bound;
    for (;;) {
        std::uint32_t const drawn = random_();
        if (drawn >= unfair)
            return drawn % bound;
    }
}

std::optional<PortmapAuthority::Index> PortmapAuthority::draw(Index base) {
    auto& halves = free_[base / LVIF_PORTS];
    for (Free const* free : {&halves[1], &halves[0]})
        if (!free->ports.empty())
            return free->ports[below(static_cast<std::uint32_t>(free->ports.size()))];
    return std::nullopt;
}

// On false *taken is the last port of the block that is not free: no block that contains it can do.
bool PortmapAuthority::block_free(std::uint8_t protocol, std::uint32_t first, std::uint32_t count,
                                  std::uint32_t* taken) const {
    for (std::uint32_t port = first + count; port-- > first;) {
        bool const tcp_free = protocol == IPPROTO_UDP || state(port) == LVIF_PORT_FREE;
        bool const udp_free = protocol == IPPROTO_TCP || state(LVIF_PORTS + port) == LVIF_PORT_FREE;
        if (!tcp_free || !udp_free) {
            *taken = port;
            return false;
        }
    }
    return true;
}

// First an aligned block, from a random one on, lower half first, so that blocks of one size leave no gaps between
// them; then any.
std::optional<std::uint32_t> PortmapAuthority::find_block(std::uint8_t protocol, std::uint32_t count) {
    std::uint32_t const first = settings_.ephemeral_first;
    std::uint32_t const range = settings_.ephemeral_last - first + 1u;
    if (count > range)
        return std::nullopt;
    std::uint32_t taken = 0;
    std::uint32_t const slots = range / count;
    std::uint32_t const lower = std::max<std::uint32_t>(1, (middle_ - first) / count);
    std::uint32_t const start = below(lower);
    for (std::uint32_t i = 0; i < slots; i++) {
        std::uint32_t const slot = i < lower ? (start + i) % lower : i;
        if (block_free(protocol, first + slot * count, count, &taken))
            return first + slot * count;
    }
    for (std::uint32_t at = first; at + count - 1 <= settings_.ephemeral_last; at = taken + 1)
        if (block_free(protocol, at, count, &taken))
            return at;
    return std::nullopt;
}

}  // namespace librettos
