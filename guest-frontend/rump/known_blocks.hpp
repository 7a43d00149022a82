// SPDX-License-Identifier: BSD-2-Clause
// The stack's control blocks that are there, and what is known of them.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "guest-frontend/linux/port_authority.hpp"

namespace librettos::guest {

// Held only for a look-up: also scheduled threads may call.
class KnownBlocks {
  public:
    void add(void* block, Protocol protocol) {
        std::lock_guard const lock(mutex_);
        blocks_[block] = {protocol, 0};
    }
    void set_port(void* block, std::uint16_t port) {
        std::lock_guard const lock(mutex_);
        if (auto const known = blocks_.find(block); known != blocks_.end()) {
            known->second.port = port;
        }
    }
    std::optional<Protocol> protocol(void* block) const {
        std::lock_guard const lock(mutex_);
        auto const known = blocks_.find(block);
        return known == blocks_.end() ? std::nullopt : std::optional(known->second.protocol);
    }
    std::optional<Protocol> remove(void* block) {
        std::lock_guard const lock(mutex_);
        auto const known = blocks_.extract(block);
        return known.empty() ? std::nullopt : std::optional(known.mapped().protocol);
    }
    // Ports to be claimed that sockets have.
    std::vector<std::pair<Protocol, std::uint16_t>> ports() const {
        std::lock_guard const lock(mutex_);
        std::vector<std::pair<Protocol, std::uint16_t>> result;
        for (auto const& [block, known] : blocks_) {
            if (known.port != 0) {
                result.emplace_back(known.protocol, known.port);
            }
        }
        return result;
    }

  private:
    struct Known {
        Protocol protocol;
        std::uint16_t port;
    };
    mutable std::mutex mutex_;
    std::unordered_map<void*, Known> blocks_;
};

}  // namespace librettos::guest
