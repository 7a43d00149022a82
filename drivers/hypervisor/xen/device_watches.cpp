// SPDX-License-Identifier: BSD-2-Clause
// Watching domains, backend directories and the frontends that belong to them.
#include "drivers/hypervisor/xen/device_watches.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <system_error>

#include "drivers/hypervisor/xen/device_paths.hpp"

namespace librettos {

namespace {

constexpr char domain_came[] = "@introduceDomain";
constexpr char domain_went[] = "@releaseDomain";
constexpr std::string_view device_zero = "/0";
constexpr std::string_view device_zero_link = "/0/" LVIF_KEY_FRONTEND;

std::string state_path(DomId guest) {
    return frontend_path(guest) + "/" LVIF_KEY_STATE;
}

}  // namespace

DeviceWatches::DeviceWatches(XenStore& store, DomId self) : store_(store), backends_(backends_path(self)) {
    watch_domains(domain_came);
    watch_domains(domain_went);
    store_.watch(backends_, backends_);
    tokens_.insert(backends_);
}

DeviceWatches::~DeviceWatches() {
    auto const end = [&](std::string const& path) {
        try {
            store_.unwatch(path, path);
        } catch (std::system_error const&) {  // the connection is lost, and with it the watch
        }
    };
    for (auto const& token : tokens_)
        end(token);
    for (auto const guest : followed_)
        end(state_path(guest));
}

// A driver domain learns of a guest's end by its frontend's, where it is not told of domains.
void DeviceWatches::watch_domains(char const* event) try {
    store_.watch(event, event);
    tokens_.insert(event);
} catch (std::system_error const& error) {
    if (error.code() != std::errc::permission_denied && error.code() != std::errc::operation_not_permitted)
        throw;
}

std::optional<WatchEvent> DeviceWatches::translate(XenStore::Event const& event) {
    if (event.token == domain_came || event.token == domain_went)
        return WatchEvent{domains_path, domains_path};
    if (event.token != backends_)
        return WatchEvent{domains_path, event.path};
    if (!event.path.starts_with(backends_))
        return std::nullopt;
    return backends_changed(std::string_view(event.path).substr(backends_.size()));
}

// Most of these are the server's own writing, below the level that matters here.
std::optional<WatchEvent> DeviceWatches::backends_changed(std::string_view below) {
    if (below.empty()) {
        for (auto const& name : store_.list(backends_)) {
            if (auto const guest = parse_domain_id(name))
                follow(*guest);
        }
        auto const known = followed_;
        for (auto const guest : known)
            follow(guest);
        return WatchEvent{domains_path, domains_path};
    }
    below.remove_prefix(1);
    auto const slash = std::min(below.find('/'), below.size());
    auto const guest = parse_domain_id(below.substr(0, slash));
    auto const rest = below.substr(slash);
    bool const matters = rest.empty() || rest == device_zero || rest == device_zero_link;
    if (!guest || !(matters || !followed_.contains(*guest)) || !follow(*guest))
        return std::nullopt;
    return WatchEvent{domains_path, domain_path(*guest)};
}

// True: it has begun, or ended. What xenstored refuses is tried again with the next change in the directory, our own
// writing included.
bool DeviceWatches::follow(DomId guest) try {
    auto const directory = backends_ + "/" + std::to_string(guest.value);
    bool const is_ours = store_.read(directory + std::string(device_zero_link)) == frontend_path(guest);
    if (is_ours == followed_.contains(guest))
        return false;
    auto const path = state_path(guest);
    if (is_ours) {
        store_.watch(path, path);
        followed_.insert(guest);
    } else {
        store_.unwatch(path, path);
        followed_.erase(guest);
    }
    return true;
} catch (std::system_error const& error) {
    if (error.code() == std::errc::connection_reset)
        throw;
    spdlog::warn("{} (a driver domain may have as many watches as xenstored's quota says)", error.what());
    return false;
}

std::size_t DeviceWatches::size() const {
    return tokens_.size() + followed_.size();
}

}  // namespace librettos
