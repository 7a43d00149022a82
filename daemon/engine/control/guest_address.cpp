// SPDX-License-Identifier: BSD-2-Clause
// Which address a guest is offered: what it asks for, what the operator assigned, what is free.
#include <fnmatch.h>

#include <algorithm>

#include "daemon/engine/control/guest.hpp"
#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

namespace {

bool matches_any(std::vector<std::string> const& patterns, std::string const& name) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](std::string const& pattern) { return fnmatch(pattern.c_str(), name.c_str(), 0) == 0; });
}

}  // namespace

std::string Guest::read_wish() {
    return around_.hypervisor.read(frontend_ + "/" LVIF_KEY_REQUEST_MODE).value_or("shared");
}

GuestMode Guest::wanted_mode(Assignment const& assigned, std::string const& wish) {
    return assigned.mode.value_or(wish == "dedicated" ? GuestMode::dedicated : GuestMode::shared);
}

// What the guest asks for and may have. A dedicated guest keeps its address while its domain lives.
std::string Guest::choose_address() {
    auto const assigned = read_assignment(around_.hypervisor, backend_);
    auto const wish = wish_ = read_wish();
    if (wish != "shared" && wish != "dedicated")
        return "request-mode is neither shared nor dedicated";
    if (pool_index_) {
        around_.pool.give_back(*pool_index_);
        pool_index_.reset();
    }
    offer_ = shared_offer(around_.config, around_.network);
    if (wanted_mode(assigned, wish) == GuestMode::shared)
        return offer_.ipv4.is_set() || offer_.ipv6.is_set() ? "" : "the server has no shared address";
    offer_.mode = GuestMode::dedicated;
    offer_.mac = {};  // what it cannot have is not shown as the shared one either
    offer_.ipv4 = {};
    offer_.ipv6 = {};
    if (!assigned.mode && !matches_any(around_.config.attach.dedicated, name_))
        return "no dedicated address: not in attach.dedicated";
    auto const address = around_.pool.take(name_, assigned.ipv4);
    if (!address && assigned.ipv4.is_set())
        return "no dedicated address: " + to_text(assigned.ipv4) + " is not free";
    if (!address)
        return "no dedicated address: all " + std::to_string(around_.pool.size()) + " are in use";
    pool_index_ = address->index;
    offer_.mac = address->mac;
    offer_.ipv4 = address->ipv4;
    offer_.ipv6 = address->ipv6;
    return "";
}

// Does the offer give what the operator assigned?
bool Guest::assignment_is_current() const {
    auto const assigned = read_assignment(around_.hypervisor, backend_);
    return (!assigned.mode || *assigned.mode == offer_.mode) &&
           (!assigned.ipv4.is_set() || assigned.ipv4 == offer_.ipv4);
}

// Is what the guest was offered still what the configuration gives? A shared guest's address may have been
// changed, a dedicated one's may have left the pool, while no engine was there.
bool Guest::identity_is_current() const {
    if (offer_.mode == GuestMode::dedicated)
        return pool_index_.has_value();
    auto const& network = around_.network;
    return offer_.mac == network.mac && offer_.ipv4 == network.ipv4 && offer_.ipv6 == network.ipv6;
}

}  // namespace librettos::control
