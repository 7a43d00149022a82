// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor seam on Xen.
#include "drivers/hypervisor/xen/xen_hypervisor.hpp"

#include "drivers/hypervisor/xen/attach_device.hpp"
#include "drivers/hypervisor/xen/device_paths.hpp"
#include "drivers/hypervisor/xen/xen_event_channel.hpp"

namespace librettos {

namespace {

constexpr std::size_t events_per_call = 256;
// Of a backend directory: a driver domain may not read /local/domain/<guest>/name.
constexpr char name_key[] = "domain";

}  // namespace

XenHypervisor::XenHypervisor(std::unique_ptr<PortmapSource> portmap)
    : self_(store_.own_domain()), portmap_(std::move(portmap)) {
}

std::vector<DomId> XenHypervisor::domains() {
    auto names = store_.list(domains_path);
    if (names.empty())  // hidden from a driver domain: those that were attached to it
        names = store_.list(backends_path(self_));
    std::vector<DomId> domains;
    for (auto const& name : names) {
        if (auto const domain = parse_domain_id(name))
            domains.push_back(*domain);
    }
    return domains;
}

// A driver domain is told of no domain's end. What it sees is that the frontend directory goes, some time before
// xenstored knows of the end.
bool XenHypervisor::domain_exists(DomId domain) {
    return store_.is_introduced(domain) &&
           (self_.value == 0 || store_.read(frontend_path(domain) + "/" LVIF_KEY_STATE).has_value());
}

std::optional<std::string> XenHypervisor::domain_name(DomId domain) {
    if (auto name = store_.read(domain_path(domain) + "/name"))
        return name;
    return store_.read(backend_path(self_, domain) + "/" + name_key);
}

void XenHypervisor::make_device(DomId guest, std::vector<std::pair<std::string, std::string>> const& backend_keys) {
    make_device_directories(store_, self_, guest, backend_keys);
}

void XenHypervisor::watch(std::string const& path) {
    if (path == domains_path) {
        devices_.emplace(store_, self_);
        return;
    }
    store_.watch(path, path);
    watched_.insert(path);
}

void XenHypervisor::unwatch(std::string const& path) {
    if (path == domains_path) {
        devices_.reset();
        return;
    }
    store_.unwatch(path, path);
    watched_.erase(path);
}

std::vector<WatchEvent> XenHypervisor::take_watch_events() {
    std::vector<WatchEvent> events;
    for (std::size_t taken = 0; taken < events_per_call; ++taken) {
        auto const event = store_.next_event();
        if (!event)
            break;
        if (watched_.contains(event->token)) {
            events.push_back({event->token, event->path});
        } else if (devices_) {
            if (auto translated = devices_->translate(*event))
                events.push_back(std::move(*translated));
        }
    }
    return events;
}

void XenHypervisor::set_port_limit(DomId domain, std::uint32_t ports) {
    portmap_->set_limit(domain, ports);
    if (auto const name = domain_name(domain))
        portmap_->set_name(domain, *name);
}

std::unique_ptr<Mapping> XenHypervisor::map(DomId domain, RegionRef region, std::size_t size_bytes,
                                            std::optional<LifeSign> life_sign) {
    return grants_.map(domain, region, size_bytes, life_sign);
}

std::unique_ptr<EventChannel> XenHypervisor::bind_event(DomId domain, EventPort guest_port) {
    return std::make_unique<XenEventChannel>(domain, guest_port);
}

}  // namespace librettos
