// SPDX-License-Identifier: BSD-2-Clause
// The watches of one connection.
#include "drivers/hypervisor/local/watches.hpp"

#include <cassert>
#include <cerrno>

namespace librettos {

int Watches::add(std::string_view path) {
    if (watches_.contains(path))
        return -EEXIST;
    if (watches_.size() >= watches_max_)
        return -ENOSPC;
    watches_.emplace(path, Watch{});
    fire(path, path);
    return 0;
}

int Watches::remove(std::string_view path) {
    auto const found = watches_.find(path);
    if (found == watches_.end())
        return -ENOENT;
    drop_events(path);
    watches_.erase(found);
    return 0;
}

void Watches::fire(std::string_view watched, std::string_view changed) {
    auto const found = watches_.find(watched);
    assert(found != watches_.end());
    auto& pending = found->second.pending;
    if (pending.contains(changed) || pending.contains(watched))
        return;  // "something at or below" says it already
    if (changed == watched || pending.size() >= events_per_watch_max) {
        drop_events(watched);
        pending.clear();
        changed = watched;
    }
    pending.emplace(changed);
    queue_.push_back({std::string{watched}, std::string{changed}});
}

void Watches::pop() {
    Event const& event = queue_.front();
    auto& pending = watches_.find(event.watched)->second.pending;
    pending.erase(pending.find(event.changed));
    queue_.pop_front();
}

void Watches::drop_events(std::string_view watched) {
    std::erase_if(queue_, [&](Event const& event) { return event.watched == watched; });
}

}  // namespace librettos
