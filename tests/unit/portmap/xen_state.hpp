// SPDX-License-Identifier: BSD-2-Clause
// portmap/xen's state machine for tests: its memory, and the random numbers that it wants.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "portmap/domain_id.hpp"

extern "C" {
#include "portmap/xen/random.h"
#include "portmap/xen/state.h"
}

namespace librettos::test {

// What portmap_random32() returns.
extern std::function<std::uint32_t()> xen_random;

using Uuid = std::array<std::uint8_t, LVIF_PORTMAP_UUID_BYTES>;

class XenState {
  public:
    struct Settings : portmap_settings {
        Settings() : portmap_settings{32768, 60999, 4096, 60000, 16384, 1024} {}
    };

    explicit XenState(Settings const& settings = {});

    // Without UUID.
    void add(DomId domain, std::string_view name);
    // In portions; checks that a portion is no more than it may be.
    void remove(DomId domain, std::uint64_t now_ms, std::uint32_t budget);
    void expire(std::uint64_t now_ms, std::uint32_t budget);

    // Of everything in portions.
    int release(DomId domain, std::uint8_t protocol, std::uint32_t first, std::uint32_t count, std::uint64_t now_ms);

    portmap_state* get() { return state_.get(); }
    lvif_portmap const& table() const { return *table_; }

  private:
    std::unique_ptr<lvif_portmap> table_ = std::make_unique<lvif_portmap>();
    std::unique_ptr<portmap_state> state_ = std::make_unique<portmap_state>();
};

}  // namespace librettos::test
