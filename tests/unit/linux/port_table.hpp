// SPDX-License-Identifier: BSD-2-Clause
// A port authority for tests: behaves as the hypervisor's does, for one guest among strangers.
#pragma once

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "guest-frontend/linux/port_authority.hpp"

namespace librettos::guest {

class PortTable final : public PortAuthority {
  public:
    // Leases come from here, in this order.
    explicit PortTable(std::vector<std::uint16_t> blocks = {40000, 45000, 42000}) : blocks_(std::move(blocks)) {}

    int bind(Protocol protocol, std::uint16_t port) override {
        std::unique_lock lock(mutex_);
        ++waiting_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return open_; });
        --waiting_;
        if (strangers_.contains({protocol, port})) {
            return -EADDRINUSE;
        }
        if (ours_.size() >= limit_) {
            return -EDQUOT;
        }
        ours_.insert({protocol, port});
        return 0;
    }
    int bind_any(Protocol protocol, std::uint16_t& port) override {
        std::lock_guard const lock(mutex_);
        if (ours_.size() >= limit_) {
            return -EDQUOT;
        }
        port = next_any_++;
        ours_.insert({protocol, port});
        return 0;
    }
    int release(Protocol protocol, std::uint16_t port) override {
        std::lock_guard const lock(mutex_);
        return ours_.erase({protocol, port}) == 1 ? 0 : -EPERM;
    }
    int release_all() override {
        std::lock_guard const lock(mutex_);
        ++releases_of_all_;
        ours_.clear();
        return 0;
    }
    int lease(std::uint16_t /*count*/, std::uint16_t& first) override {
        std::lock_guard const lock(mutex_);
        if (leases_ == blocks_.size()) {
            return -EADDRINUSE;
        }
        first = blocks_[leases_++];
        return 0;
    }

    void give_to_stranger(Protocol protocol, std::uint16_t port) {
        std::lock_guard const lock(mutex_);
        strangers_.insert({protocol, port});
    }
    // Another portmap, which knows nothing.
    void forget() {
        std::lock_guard const lock(mutex_);
        ours_.clear();
    }
    void limit(std::size_t ports) {
        std::lock_guard const lock(mutex_);
        limit_ = ports;
    }
    bool ours(Protocol protocol, std::uint16_t port) const {
        std::lock_guard const lock(mutex_);
        return ours_.contains({protocol, port});
    }
    std::size_t count() const {
        std::lock_guard const lock(mutex_);
        return ours_.size();
    }
    std::size_t leases() const {
        std::lock_guard const lock(mutex_);
        return leases_;
    }
    std::size_t releases_of_all() const {
        std::lock_guard const lock(mutex_);
        return releases_of_all_;
    }
    // While closed, a bind waits in here, as on a slow hypervisor.
    void close_gate() {
        std::lock_guard const lock(mutex_);
        open_ = false;
    }
    void open_gate() {
        std::lock_guard const lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    void wait_for_a_bind() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return waiting_ > 0; });
    }

  private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = true;
    int waiting_ = 0;
    std::size_t limit_ = 1000;
    std::size_t leases_ = 0;
    std::size_t releases_of_all_ = 0;
    std::uint16_t next_any_ = 50000;
    std::vector<std::uint16_t> blocks_;
    std::set<std::pair<Protocol, std::uint16_t>> ours_;
    std::set<std::pair<Protocol, std::uint16_t>> strangers_;
};

}  // namespace librettos::guest
