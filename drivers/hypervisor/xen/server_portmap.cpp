// SPDX-License-Identifier: BSD-2-Clause
// The server as the portmap's authority: operations.
#include "drivers/hypervisor/xen/server_portmap.hpp"

#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "portmap/reader.hpp"

namespace librettos {

namespace {

constexpr std::size_t values_per_turn = 64;
constexpr auto retry_after = std::chrono::seconds{1};

std::uint32_t random_number() {
    std::uint32_t number;
    if (::getrandom(&number, sizeof(number), 0) != sizeof(number))
        throw std::system_error{errno, std::generic_category(), "getrandom"};
    return number;
}

void check(int status, std::string const& what) {
    if (status < 0)
        throw std::system_error{-status, std::generic_category(), "portmap: " + what};
}

}  // namespace

ServerPortmap::ServerPortmap(std::unique_ptr<PortStore> store, DomId server, PortmapAuthority::Settings const& settings,
                             Now now)
    : store_{std::move(store)},
      root_{"/local/domain/" + std::to_string(server.value) + "/data/librettos-ports"},
      settings_{settings},
      now_{std::move(now)},
      table_{std::make_unique<lvif_portmap>()},
      authority_{*table_, settings, random_number} {
    restore();
}

// Fewer quarantined domains than there may be nodes in the store of a driver domain.
PortmapAuthority::Settings ServerPortmap::default_settings() {
    PortmapAuthority::Settings settings;
    settings.quarantined_domains = 192;
    return settings;
}

ServerPortmap::Time ServerPortmap::time_since_boot() {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return std::chrono::duration_cast<Time>(std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec});
}

PortInfo ServerPortmap::query(std::uint8_t protocol, std::uint16_t port) {
    PortmapAuthority::Answer answer;
    authority_.expire(now_());
    note_changes();
    check(authority_.query(protocol, port, now_(), answer), "query of port " + std::to_string(port));
    return {answer.entry,       answer.age_s,       answer.quarantine_left_s,
            answer.owner_ports, answer.owner_limit, answer.owner_name};
}

void ServerPortmap::set_limit(DomId domain, std::uint32_t ports) {
    check(authority_.set_limit(domain, ports), "setting the port limit of domain " + std::to_string(domain.value));
}

void ServerPortmap::reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) {
    check(authority_.reserve(protocol, first, count, reserve, now_()),
          (reserve ? "reserving ports from " : "taking back the reservation of ports from ") + std::to_string(first));
    note_changes();
    write_all();
}

void ServerPortmap::add_domain(DomId domain, std::string_view name) {
    auto const found = owners_.find(domain);
    bool const lives = found != owners_.end() && found->second.quarantine_end == Time{0};
    if (lives && found->second.name == name)
        return;
    if (lives)
        remove_domain(domain);
    if (authority_.knows(domain))
        throw std::system_error{EBUSY, std::generic_category(),
                                "portmap: ports of '" + owners_.at(domain).name + "', which had the number " +
                                    std::to_string(domain.value) + " before, are still quarantined"};
    if (stored_owners_.contains(domain))
        write_all();  // nothing of its predecessor may come back in its name
    authority_.add_domain(domain, name);
    owners_[domain] = {std::string{name}, Time{0}};
}

void ServerPortmap::remove_domain(DomId domain) {
    auto const found = owners_.find(domain);
    if (found == owners_.end() || found->second.quarantine_end != Time{0})
        return;
    found->second.quarantine_end = now_() + settings_.quarantine;
    authority_.remove_domain(domain, now_());
    note_changes();
    forget_owners();
    try {
        if (auto const kept = owners_.find(domain); kept != owners_.end())
            write_owner(domain, kept->second);
    } catch (std::system_error const&) {  // handle_time() does it
    }
}

std::vector<ServerPorts::Known> ServerPortmap::domains() const {
    std::vector<Known> living;
    for (auto const& [domain, owner] : owners_)
        if (owner.quarantine_end == Time{0})
            living.push_back({domain, owner.name});
    return living;
}

int ServerPortmap::bind(DomId domain, std::uint8_t protocol, std::uint16_t port, std::uint16_t& bound) {
    Time const now = now_();
    bool const owned = port != 0 && read_port(*table_, protocol, port).bound_to(domain);
    int const status = authority_.bind(domain, protocol, port, now, &bound);
    if (status == 0 && !owned && !write_claim(domain, protocol, bound, 1)) {
        (void)authority_.release(domain, protocol, bound, 1, now);
        note_changes();
        return -EIO;
    }
    return status;
}

int ServerPortmap::lease(DomId domain, std::uint8_t protocol, std::uint16_t count, std::uint16_t& first) {
    Time const now = now_();
    int const status = authority_.lease(domain, protocol, count, now, &first);
    if (status == 0 && !write_claim(domain, protocol, first, count)) {
        (void)authority_.release(domain, protocol, first, count, now);
        note_changes();
        return -EIO;
    }
    return status;
}

// Stands also when it cannot be written at once: a port that comes back to its last owner harms nobody.
int ServerPortmap::release(DomId domain, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) {
    int const status = authority_.release(domain, protocol, first, count, now_());
    note_changes();
    if (status == 0 && count != 0)
        (void)write_claim(domain, protocol, first, count);
    return status;
}

std::chrono::milliseconds ServerPortmap::handle_time() {
    authority_.expire(now_());
    note_changes();
    try {
        if (!write_some(values_per_turn))
            return Time{1};
    } catch (std::system_error const&) {
        return retry_after;  // a store that is gone for good shows elsewhere
    }
    auto const next = authority_.next_expiry();
    return next ? std::max(*next - now_(), Time{1}) : Time::max();
}

// What the authority did, also by itself.
void ServerPortmap::note_changes() {
    Blocks const changed = authority_.take_changed();
    dirty_ |= changed;
    if (changed.any())
        forget_owners();
}

// Those whose last quarantined port has gone.
void ServerPortmap::forget_owners() {
    std::erase_if(owners_, [this](auto const& each) { return !authority_.knows(each.first); });
}

}  // namespace librettos
