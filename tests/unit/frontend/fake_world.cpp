// SPDX-License-Identifier: BSD-2-Clause
#include "fake_world.hpp"

#include <cstdlib>
#include <cstring>

namespace {

bool at_or_below(std::string const& path, std::string const& top) {
    return path == top || (path.starts_with(top) && path[top.size()] == '/');
}

}  // namespace

struct FakeWorld::Calls {
    static FakeWorld& world(void* context) { return *static_cast<FakeWorld*>(context); }

    static void* pages_allocate(void* context, std::size_t bytes) {
        auto& w = world(context);
        if (bytes == 0 || bytes % LVIF_PAGE_BYTES != 0)
            w.violation("pages_allocate of no whole pages");
        if (w.fails())
            return nullptr;
        void* const pages = std::aligned_alloc(LVIF_PAGE_BYTES, bytes);
        std::memset(pages, 0, bytes);
        w.pages_[pages] = bytes;
        return pages;
    }
    static void pages_free(void* context, void* pages, std::size_t bytes) {
        auto& w = world(context);
        auto const found = w.pages_.find(pages);
        if (found == w.pages_.end() || found->second != bytes)
            return w.violation("pages_free of what was not allocated");
        for (auto const& [reference, region] : w.regions_) {
            if (region.pages == pages)
                return w.violation("pages_free of shared pages");
        }
        w.pages_.erase(found);
        std::free(pages);
    }
    static int share(void* context, void* pages, std::size_t bytes, std::uint16_t domain, std::uint32_t* region) {
        auto& w = world(context);
        if (!w.pages_.contains(pages) || w.pages_[pages] != bytes)
            w.violation("share of what was not allocated");
        if (domain != server)
            w.violation("share with another domain than the server");
        if (w.fails())
            return LVIF_ENOMEM;
        *region = w.next_reference_++;
        w.regions_[*region] = {pages, bytes, domain};
        return 0;
    }
    static int unshare(void* context, std::uint32_t region) {
        auto& w = world(context);
        auto const found = w.regions_.find(region);
        if (found == w.regions_.end()) {
            w.violation("unshare of no region");
            return LVIF_ENOENT;
        }
        if (found->second.mapped > 0)
            return LVIF_EBUSY;
        if (w.fails())
            return LVIF_EIO;
        w.regions_.erase(found);
        return 0;
    }
    static int event_allocate(void* context, std::uint16_t domain, std::uint32_t* port) {
        auto& w = world(context);
        if (domain != server)
            w.violation("event for another domain than the server");
        if (w.fails())
            return LVIF_ENOMEM;
        *port = w.next_reference_++;
        w.events_.insert(*port);
        return 0;
    }
    static void event_free(void* context, std::uint32_t port) {
        if (world(context).events_.erase(port) != 1)
            world(context).violation("event_free of no event");
    }
    static void event_notify(void* context, std::uint32_t port) {
        auto& w = world(context);
        if (!w.events_.contains(port))
            w.violation("event_notify of no event");
        w.notifications++;
    }
    static int store_read(void* context, char const* path, char* value, std::size_t size) {
        auto& w = world(context);
        if (w.fails())
            return LVIF_EIO;
        auto const found = w.store_.find(path);
        if (found == w.store_.end())
            return LVIF_ENOENT;
        if (found->second.size() + 1 > size)
            return LVIF_EMSGSIZE;
        std::memcpy(value, found->second.c_str(), found->second.size() + 1);
        return static_cast<int>(found->second.size());
    }
    static int store_write(void* context, char const* path, char const* value) {
        auto& w = world(context);
        if (!std::string_view(path).starts_with("/local/domain/7/device/lvif/"))
            w.violation(std::string("store_write outside the device: ") + path);
        if (w.fails())
            return LVIF_EIO;
        w.write(path, value);
        return 0;
    }
    static int store_watch(void* context, char const* path) {
        auto& w = world(context);
        if (w.fails())
            return LVIF_EIO;
        if (w.watches_.contains(path))
            w.violation(std::string("second watch on ") + path);
        w.watches_.insert(path);
        w.watch_fired = true;
        return 0;
    }
    static void store_unwatch(void* context, char const* path) {
        auto& w = world(context);
        if (w.watches_.erase(path) == 0)
            w.violation(std::string("unwatch of no watch: ") + path);
    }
    static std::uint64_t now_us(void* context) { return world(context).now_us; }
    static void yield(void* context) {
        world(context).now_us += 1000;
        world(context).on_yield();
    }
    static void quiesce(void* context) { world(context).on_quiesce(); }
};

FakeWorld::~FakeWorld() {
    for (auto const& [pages, bytes] : pages_)
        std::free(pages);
}

lvif_environment FakeWorld::environment() {
    return {.context = this,
            .self = guest,
            .pages_allocate = Calls::pages_allocate,
            .pages_free = Calls::pages_free,
            .share = Calls::share,
            .unshare = Calls::unshare,
            .event_allocate = Calls::event_allocate,
            .event_free = Calls::event_free,
            .event_notify = Calls::event_notify,
            .store_read = Calls::store_read,
            .store_write = Calls::store_write,
            .store_watch = Calls::store_watch,
            .store_unwatch = Calls::store_unwatch,
            .now_us = Calls::now_us,
            .yield = Calls::yield,
            .quiesce = Calls::quiesce,
            .vf = vf};
}

bool FakeWorld::fails() {
    if (fault_rate <= 0 || std::uniform_real_distribution<>(0, 1)(random_) >= fault_rate)
        return false;
    faults++;
    return true;
}

void FakeWorld::write(std::string const& path, std::string const& value) {
    store_[path] = value;
    for (auto const& watched : watches_)
        watch_fired |= at_or_below(path, watched);
}

void FakeWorld::remove(std::string const& path) {
    for (auto const& watched : watches_)
        watch_fired |= at_or_below(watched, path) || at_or_below(path, watched);
    std::erase_if(store_, [&](auto const& entry) { return at_or_below(entry.first, path); });
}

std::string FakeWorld::read(std::string const& path) const {
    auto const found = store_.find(path);
    return found == store_.end() ? "" : found->second;
}

std::string FakeWorld::held() const {
    return std::to_string(pages_.size()) + " pages, " + std::to_string(regions_.size()) + " regions, " +
           std::to_string(events_.size()) + " events, " + std::to_string(watches_.size()) + " watches";
}

std::uint64_t FakeWorld::shared_bytes() const {
    std::uint64_t sum = 0;
    for (auto const& [reference, region] : regions_)
        sum += region.bytes;
    return sum;
}
