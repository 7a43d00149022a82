// SPDX-License-Identifier: BSD-2-Clause
// The machine: its domains, and who may ask for what.
#include "drivers/hypervisor/local/machine.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace librettos {

namespace {

std::uint32_t random_number() {
    std::uint32_t number;
    if (::getrandom(&number, sizeof(number), 0) != sizeof(number))
        throw std::system_error{errno, std::generic_category(), "getrandom"};
    return number;
}

bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_domain_name(std::string_view name) {
    return !name.empty() && name.size() <= LVIF_HV_NAME_MAX && is_letter_or_digit(name.front()) &&
           std::all_of(name.begin(), name.end(),
                       [](char c) { return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

std::string home_of(DomId domain) {
    return "/local/domain/" + std::to_string(domain.value);
}

}  // namespace

Machine::Machine(Settings const& settings)
    : settings_{settings}, authority_{portmap_.table(), settings.ports, random_number} {
    store_.write(DomId{0}, "/local/domain/0/name", "control");
}

PortmapAuthority::Time Machine::now() {
    return std::chrono::duration_cast<PortmapAuthority::Time>(std::chrono::steady_clock::now().time_since_epoch());
}

void Machine::join(Peer&) {
    peers_++;
}

void Machine::leave(Peer& peer) {
    std::vector<std::string> paths;
    peer.watches.each([&](std::string_view path) { paths.emplace_back(path); });
    for (std::string const& path : paths)
        unwatch(peer, path);
    if (Guest* guest = peer.role == LVIF_HV_GUEST ? find_guest(peer.domain.value) : nullptr)
        destroy_guest(*guest, peer.domain);
    if (server_ == &peer)
        end_server();
    std::erase(peers_with_events_, &peer);
    peers_--;
}

Reply Machine::handle(Peer& peer, Request& request) {
    Reply reply;
    reply.status = check_privilege(peer, request.operation);
    if (reply.status == 0)
        reply = dispatch(peer, request);
    if (reply.status != 0)
        refused_requests_++;
    return reply;
}

int Machine::check_privilege(Peer const& peer, lvif_hvp_operation operation) const {
    if (operation == LVIF_HVP_HELLO)
        return peer.role ? -EINVAL : 0;
    if (!peer.role)
        return -EPERM;
    switch (privilege_of(operation)) {
        case Privilege::any:
            return 0;
        case Privilege::guest:
            return *peer.role == LVIF_HV_GUEST ? 0 : -EPERM;
        case Privilege::server:
            return *peer.role == LVIF_HV_SERVER ? 0 : -EPERM;
        case Privilege::control:
            return *peer.role != LVIF_HV_GUEST ? 0 : -EPERM;
    }
    return -EPERM;
}

Reply Machine::dispatch(Peer& peer, Request& request) {
    auto const status = [](int value) {
        Reply reply;
        reply.status = value;
        return reply;
    };
    auto const& argument = request.argument;
    auto const& text = request.text;
    switch (request.operation) {
        case LVIF_HVP_HELLO:
            return hello(peer, request);
        case LVIF_HVP_READ:
            return store_read(peer, text[0]);
        case LVIF_HVP_WRITE:
            return status(store_write(peer, text[0], text[1]));
        case LVIF_HVP_REMOVE:
            return status(store_remove(peer, text[0]));
        case LVIF_HVP_LIST:
            return store_list(peer, text[0], text[1]);
        case LVIF_HVP_PERMIT:
            return status(store_permit(request));
        case LVIF_HVP_WATCH:
            return status(watch(peer, text[0]));
        case LVIF_HVP_UNWATCH:
            return status(unwatch(peer, text[0]));
        case LVIF_HVP_SHARE:
            return share(peer, request);
        case LVIF_HVP_UNSHARE:
            return status(unshare(peer, argument[0]));
        case LVIF_HVP_MAP:
            return map(request);
        case LVIF_HVP_UNMAP:
            return status(unmap(argument[0], argument[1]));
        case LVIF_HVP_ALLOCATE:
            return allocate(peer, argument[0]);
        case LVIF_HVP_BIND:
            return bind(request);
        case LVIF_HVP_FREE:
            return status(free_port(peer, argument[0]));
        case LVIF_HVP_PORTMAP:
            return portmap_descriptor();
        case LVIF_HVP_STATISTICS: {
            Reply reply;
            lvif_hv_totals const numbers = statistics();
            reply.payload.assign(reinterpret_cast<char const*>(&numbers), sizeof(numbers));
            return reply;
        }
        default:
            return ports(peer, request);
    }
}

Reply Machine::hello(Peer& peer, Request const& request) {
    Reply reply;
    std::uint64_t const role = request.argument[0];
    bool const trusted = peer.uid == 0 || peer.uid == ::geteuid();
    if (role == LVIF_HV_GUEST) {
        reply.status = create_guest(peer, request.text[0]);
    } else if ((role != LVIF_HV_SERVER && role != LVIF_HV_CONTROL) || !request.text[0].empty()) {
        reply.status = -EINVAL;
    } else if (!trusted) {
        reply.status = -EACCES;
    } else if (role == LVIF_HV_SERVER && server_ != nullptr) {
        reply.status = -EBUSY;
    } else {
        peer.role = static_cast<lvif_hv_role>(role);
        peer.domain = DomId{0};
        peer.watches = Watches{server_watches_max};
        if (role == LVIF_HV_SERVER)
            server_ = &peer;
    }
    reply.result[0] = peer.domain.value;
    return reply;
}

Peer* Machine::rival(Request const& request) {
    if (request.operation != LVIF_HVP_HELLO)
        return nullptr;
    if (request.argument[0] == LVIF_HV_SERVER)
        return server_;
    auto const guest = guests_by_name_.find(std::string{request.text[0]});
    return guest == guests_by_name_.end() ? nullptr : guests_.at(guest->second).peer;
}

int Machine::create_guest(Peer& peer, std::string_view name) {
    if (!is_domain_name(name))
        return -EINVAL;
    if (guests_by_name_.contains(std::string{name}))
        return -EEXIST;
    if (guests_.size() >= settings_.domains_max)
        return -ENOSPC;
    std::optional<DomId> const domain = free_domain_id();
    if (!domain)
        return -ENOSPC;
    peer.role = LVIF_HV_GUEST;
    peer.domain = *domain;
    Guest& guest = guests_[domain->value];
    guest.name = name;
    guest.peer = &peer;
    guest.channels.emplace_back();
    guests_by_name_.emplace(name, domain->value);
    authority_.add_domain(*domain, name, peer.uid);

    std::string const home = home_of(*domain);
    store_.permit(home, {*domain, *domain});
    store_.permit(home + "/name", {DomId{0}, *domain});
    store_.write(DomId{0}, home + "/name", name);
    fire(home);
    return 0;
}

void Machine::destroy_guest(Guest& guest, DomId domain) {
    for (auto& [number, region] : guest.regions) {
        mappings_ -= region.mapped ? 1 : 0;
        regions_--;
    }
    for (ChannelPtr const& channel : guest.channels)
        channels_ -= channel ? 1 : 0;
    authority_.remove_domain(domain, now());
    guests_by_name_.erase(guest.name);
    guests_.erase(domain.value);
    std::string const home = home_of(domain);
    fire_removal(home);
    store_.remove(home);
}

// The next id that is neither in use nor remembered by a quarantined port.
std::optional<DomId> Machine::free_domain_id() {
    for (std::uint32_t tries = 0; tries < domain_id_max; tries++) {
        last_domain_ = last_domain_ == domain_id_max ? 1 : last_domain_ + 1;
        if (!guests_.contains(last_domain_) && !authority_.knows(DomId{last_domain_}))
            return DomId{last_domain_};
    }
    return std::nullopt;
}

Machine::Guest* Machine::find_guest(std::uint64_t domain) {
    auto const found = domain <= domain_id_max ? guests_.find(static_cast<std::uint16_t>(domain)) : guests_.end();
    return found == guests_.end() ? nullptr : &found->second;
}

std::string Machine::name_of(DomId domain) const {
    auto const found = guests_.find(domain.value);
    return found == guests_.end() ? "control" : found->second.name;
}

std::vector<Peer*> Machine::take_peers_with_events() {
    return std::exchange(peers_with_events_, {});
}

lvif_hv_totals Machine::statistics() const {
    lvif_hv_totals numbers{};
    numbers.domains = guests_.size();
    numbers.connections = peers_;
    numbers.store_nodes = store_.nodes();
    numbers.watches = watches_;
    std::vector<Peer const*> counted;
    for (auto const& [path, peers] : watchers_)
        counted.insert(counted.end(), peers.begin(), peers.end());
    std::sort(counted.begin(), counted.end());
    counted.erase(std::unique(counted.begin(), counted.end()), counted.end());
    for (Peer const* peer : counted)
        numbers.queued_events += peer->watches.events();
    numbers.regions = regions_;
    numbers.mappings = mappings_;
    numbers.channels = channels_;
    numbers.bound_channels = bound_channels_;
    numbers.owned_ports = authority_.totals().bound;
    numbers.quarantined_ports = authority_.totals().quarantined;
    numbers.refused_requests = refused_requests_;
    numbers.broken_peers = broken_peers_;
    return numbers;
}

}  // namespace librettos
