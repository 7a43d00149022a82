// SPDX-License-Identifier: BSD-2-Clause
// The machine: store and watches.
#include <algorithm>
#include <cerrno>
#include <charconv>

#include "drivers/hypervisor/local/machine.hpp"

namespace librettos {

namespace {

constexpr std::string_view domains_path = "/local/domain";

// "/local/domain/<id>..." -> "<id>"; empty when the path is not of this kind.
std::string_view domain_component(std::string_view path) {
    if (!path.starts_with(domains_path) || path.size() <= domains_path.size() + 1 || path[domains_path.size()] != '/')
        return {};
    path.remove_prefix(domains_path.size() + 1);
    return path.substr(0, path.find('/'));
}

// Nodes that stand for a domain itself: nobody may change or remove them.
bool is_fixed(std::string_view path) {
    if (path == "/" || path == "/local" || path == domains_path)
        return true;
    std::string_view const domain = domain_component(path);
    if (domain.empty())
        return false;
    std::string_view const rest = path.substr(domains_path.size() + 1 + domain.size());
    return rest.empty() || rest == "/name" || rest.starts_with("/name/");
}

}  // namespace

Reply Machine::store_read(Peer const& peer, std::string_view path) const {
    Reply reply;
    if (!is_store_path(path)) {
        reply.status = -EINVAL;
    } else if (!store_.may_read(peer.domain, path)) {
        reply.status = -EACCES;
    } else if (auto const value = store_.read(path)) {
        reply.payload.assign(*value);
        reply.payload.push_back('\0');
    } else {
        reply.status = -ENOENT;
    }
    return reply;
}

// A change may not touch the fixed nodes, nor bring a domain that does not exist into the store.
int Machine::check_change(std::string_view path) const {
    if (!is_store_path(path))
        return -EINVAL;
    if (is_fixed(path))
        return -EACCES;
    std::string_view const text = domain_component(path);
    if (text.empty())
        return 0;
    std::uint16_t id = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    bool const canonical = error == std::errc{} && end == text.data() + text.size() && std::to_string(id) == text;
    return canonical && (id == 0 || guests_.contains(id)) ? 0 : -ENOENT;
}

int Machine::store_write(Peer const& peer, std::string_view path, std::string_view value) {
    if (!is_store_path(path) || value.size() > LVIF_HV_VALUE_MAX)
        return -EINVAL;
    if (!store_.may_write(peer.domain, path))
        return -EACCES;
    int error = check_change(path);
    if (error == 0)
        error = store_.write(peer.domain, path, value);
    if (error == 0)
        fire(path);
    return error;
}

int Machine::store_remove(Peer const& peer, std::string_view path) {
    if (!is_store_path(path))
        return -EINVAL;
    if (!store_.may_write(peer.domain, path) || is_fixed(path))
        return -EACCES;
    if (!store_.exists(path))
        return -ENOENT;
    fire_removal(path);  // before: rights to see the event are those of the nodes that go
    store_.remove(path);
    return 0;
}

Reply Machine::store_list(Peer const& peer, std::string_view path, std::string_view after) const {
    Reply reply;
    if (!is_store_path(path)) {
        reply.status = -EINVAL;
        return reply;
    }
    if (!store_.may_read(peer.domain, path)) {
        reply.status = -EACCES;
        return reply;
    }
    bool const exists = store_.each_child(path, after, [&](std::string_view name) {
        if (reply.payload.size() + name.size() + 1 > LVIF_HVP_PAYLOAD_MAX) {
            reply.result[0] = 1;
            return false;
        }
        reply.payload.append(name);
        reply.payload.push_back('\0');
        return true;
    });
    reply.status = exists ? 0 : -ENOENT;
    return reply;
}

int Machine::store_permit(Request const& request) {
    std::string_view const path = request.text[0];
    auto const exists = [&](std::uint64_t domain) { return domain == 0 || find_guest(domain) != nullptr; };
    int const error = check_change(path);
    if (error != 0)
        return error;
    if (!exists(request.argument[0]) || !exists(request.argument[1]))
        return -ENOENT;
    bool const is_new = !store_.exists(path);
    store_.permit(path, {DomId{static_cast<std::uint16_t>(request.argument[0])},
                         DomId{static_cast<std::uint16_t>(request.argument[1])}});
    if (is_new)
        fire(path);
    return 0;
}

int Machine::watch(Peer& peer, std::string_view path) {
    if (!is_store_path(path))
        return -EINVAL;
    if (!store_.may_read(peer.domain, path))
        return -EACCES;
    int const error = peer.watches.add(path);
    if (error != 0)
        return error;
    watchers_.try_emplace(std::string{path}).first->second.push_back(&peer);
    watches_++;
    peers_with_events_.push_back(&peer);
    return 0;
}

int Machine::unwatch(Peer& peer, std::string_view path) {
    int const error = peer.watches.remove(path);
    if (error != 0)
        return error;
    auto const found = watchers_.find(path);
    std::erase(found->second, &peer);
    if (found->second.empty())
        watchers_.erase(found);
    watches_--;
    return 0;
}

void Machine::queue_event(Peer& peer, std::string_view watched, std::string_view changed) {
    if (!store_.may_read(peer.domain, changed) && watched != domains_path)
        return;
    peer.watches.fire(watched, changed);
    peers_with_events_.push_back(&peer);
}

// Tells who watches the path or something above it.
void Machine::fire(std::string_view path) {
    for (std::string_view top = path;;) {
        if (auto const found = watchers_.find(top); found != watchers_.end())
            for (Peer* peer : found->second)
                queue_event(*peer, top, path);
        if (top == "/")
            return;
        std::size_t const slash = top.rfind('/');
        top = slash == 0 ? "/" : top.substr(0, slash);
    }
}

// And who watches something below it, which goes too.
void Machine::fire_removal(std::string_view path) {
    fire(path);
    std::string const below = std::string{path} + "/";
    for (auto found = watchers_.lower_bound(below); found != watchers_.end() && found->first.starts_with(below);
         ++found)
        for (Peer* peer : found->second)
            queue_event(*peer, found->first, found->first);
}

}  // namespace librettos
