// SPDX-License-Identifier: BSD-2-Clause
// The guest's world in one process: a store with watches, pages, regions, event ports, a clock. It behaves: what a
// guest must not do (free pages that are shared, notify a port that is gone) is kept as a violation. Every function may
// be made to fail by chance.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <librettos/frontend.h>

class FakeWorld {
  public:
    static constexpr std::uint16_t guest = 7;
    static constexpr std::uint16_t server = 3;

    struct Region {
        void* pages;
        std::size_t bytes;
        std::uint16_t domain;
        int mapped = 0;  // by the server; > 0: cannot be unshared
    };

    explicit FakeWorld(std::uint64_t seed) : random_(seed) {}
    ~FakeWorld();
    FakeWorld(FakeWorld const&) = delete;
    FakeWorld& operator=(FakeWorld const&) = delete;

    lvif_environment environment();

    // As another domain: changes the store and wakes the guest if it watches there.
    void write(std::string const& path, std::string const& value);
    void remove(std::string const& path);             // with all below
    std::string read(std::string const& path) const;  // "" when there is none

    bool leaks() const { return !pages_.empty() || !regions_.empty() || !events_.empty() || !watches_.empty(); }
    std::string held() const;
    std::uint64_t shared_bytes() const;

    std::map<std::uint32_t, Region>& regions() { return regions_; }
    bool has_event(std::uint32_t port) const { return events_.contains(port); }
    std::size_t quarantined_pages() const { return pages_.size(); }

    std::vector<std::string> violations;
    double fault_rate = 0;     // of every function that can fail
    std::uint64_t faults = 0;  // made so far
    bool watch_fired = true;   // the guest has to poll
    std::uint64_t now_us = 1000000;
    std::uint64_t notifications = 0;
    lvif_vf_operations const* vf = nullptr;  // called with this world as context
    std::function<void()> on_yield = [] {};
    std::function<void()> on_quiesce = [] {};

  private:
    struct Calls;
    bool fails();
    void violation(std::string text) { violations.push_back(std::move(text)); }

    std::mt19937_64 random_;
    std::map<std::string, std::string> store_;
    std::multiset<std::string> watches_;
    std::map<void*, std::size_t> pages_;
    std::map<std::uint32_t, Region> regions_;
    std::set<std::uint32_t> events_;
    std::uint32_t next_reference_ = 1;
};
