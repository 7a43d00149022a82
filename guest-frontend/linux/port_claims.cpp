// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/port_claims.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>

#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

namespace {

constexpr auto warning_interval = std::chrono::seconds(10);

}  // namespace

PortClaims::PortClaims(PortAuthority& authority, std::uint16_t block_ports)
    : authority_(authority), block_ports_(block_ports) {
    begin_anew();
}

void PortClaims::begin_anew() {
    std::uint16_t first = 0;
    if (int const result = authority_.lease(block_ports_, first); result < 0) {
        throw_errno(-result, "lease " + std::to_string(block_ports_) +
                                 " TCP and UDP ports (ask for fewer with --lease-ports, or raise the guest's limit)");
    }
    leased_ = {{first, static_cast<std::uint16_t>(first + block_ports_ - 1)}};
    for (PortSet* const ports : {&tcp_, &udp_, &refused_tcp_, &refused_udp_}) {
        ports->reset();
    }
    set_ephemeral_range(leased_);
}

PortClaims::Outcome PortClaims::claim(Protocol protocol, std::uint16_t port) {
    if (owns(protocol, port)) {
        return {0, false};
    }
    int const result = authority_.bind(protocol, port);
    if (result == 0) {
        single(protocol).set(port);
        return {0, true};
    }
    if (result == -EDQUOT) {
        warn(fmt::format("{} port {} refused: the guest's limit of ports is reached", name_of(protocol), port));
    }
    return {result == -EADDRINUSE || result == -EDQUOT ? EADDRINUSE : ENETDOWN, false};
}

void PortClaims::give_back(Protocol protocol, std::uint16_t port) {
    if (single(protocol).test(port) && authority_.release(protocol, port) == 0) {
        single(protocol).reset(port);
    }
}

bool PortClaims::lease_more() {
    std::uint16_t first = 0;
    if (int const result = authority_.lease(block_ports_, first); result < 0) {
        warn(fmt::format("no more ports for outgoing connections: lease of {} refused: {}", block_ports_,
                         std::generic_category().message(-result)));
        return false;
    }
    leased_.push_back({first, static_cast<std::uint16_t>(first + block_ports_ - 1)});
    for (unsigned port = first; port < first + unsigned{block_ports_}; ++port) {
        tcp_.reset(port);
        udp_.reset(port);
    }
    set_ephemeral_range(leased_);
    spdlog::info("leased ports {}-{} too", leased_.back().first, leased_.back().last);
    return true;
}

void PortClaims::settle(UsedPorts const& used) {
    unsettled_ = false;
    for (Protocol const protocol : {Protocol::tcp, Protocol::udp}) {
        release_unused(protocol, used.of(protocol));
        claim_late(protocol, used.of(protocol));
    }
    if (lease_is_tight(used.tcp) || lease_is_tight(used.udp)) {
        lease_more();
    }
}

bool PortClaims::owns(Protocol protocol, std::uint16_t port) const {
    return single(protocol).test(port) || is_leased(port);
}

bool PortClaims::is_leased(std::uint16_t port) const {
    return std::any_of(leased_.begin(), leased_.end(),
                       [port](PortBlock const& block) { return block.first <= port && port <= block.last; });
}

void PortClaims::release_unused(Protocol protocol, PortSet const& used) {
    PortSet const idle = single(protocol) & ~used;
    for (auto port = idle._Find_first(); port < idle.size(); port = idle._Find_next(port)) {
        auto const number = static_cast<std::uint16_t>(port);
        if (port_in_use(protocol, number)) {
            unsettled_ = true;  // bound but neither listening nor connected, or on a loopback address
        } else if (authority_.release(protocol, number) == 0) {
            single(protocol).reset(port);
            spdlog::debug("released {} port {}", name_of(protocol), port);
        }
    }
}

void PortClaims::claim_late(Protocol protocol, PortSet const& used) {
    PortSet& refused = protocol == Protocol::tcp ? refused_tcp_ : refused_udp_;
    refused &= used;
    PortSet const strange = used & ~single(protocol) & ~refused;
    unsigned claimed = 0;
    unsigned denied = 0;
    std::uint16_t example = 0;
    for (auto port = strange._Find_first(); port < strange.size(); port = strange._Find_next(port)) {
        auto const number = static_cast<std::uint16_t>(port);
        if (number == 0 || is_leased(number)) {
            continue;
        }
        if (claim(protocol, number).error == 0) {
            ++claimed;
        } else {
            refused.set(port);
            ++denied;
            example = number;
        }
    }
    if (claimed > 0) {
        spdlog::warn(
            "{} {} port(s) were in use here without being owned (inherited sockets, another portmap?) and have been "
            "claimed late",
            claimed, name_of(protocol));
    }
    if (denied > 0) {
        spdlog::warn("{} {} port(s) are used here but belong to others, {} for one: their frames do not come here",
                     denied, name_of(protocol), example);
    }
}

bool PortClaims::lease_is_tight(PortSet const& used) const {
    std::size_t total = 0;
    std::size_t taken = 0;
    for (PortBlock const& block : leased_) {
        total += block.last - block.first + 1u;
        for (unsigned port = block.first; port <= block.last; ++port) {
            taken += used.test(port) ? 1 : 0;
        }
    }
    return taken * 4 > total * 3;
}

// What a program can cause at will is said at most once in a while.
void PortClaims::warn(std::string const& text) {
    auto const now = std::chrono::steady_clock::now();
    if (now >= quiet_until_) {
        quiet_until_ = now + warning_interval;
        spdlog::warn("{}", text);
    }
}

}  // namespace librettos::guest
