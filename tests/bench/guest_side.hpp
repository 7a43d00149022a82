// SPDX-License-Identifier: BSD-2-Clause
// All guests as one thread on one core plays them: takes frames out of their rings into memory of its own, or puts
// frames in, through the frontend library.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tests/bench/guest_devices.hpp"
#include "tests/bench/traffic.hpp"

namespace librettos::bench {

class GuestSide {
  public:
    GuestSide(Traffic const& traffic, std::span<std::unique_ptr<GuestDevice> const> guests);

    // One look at every guest's ring.
    void receive_round();
    void send_round();

    // As receive_round, and checks that each frame has its length and its port is the guest's. Returns the number of
    // frames; throws std::runtime_error.
    std::uint64_t receive_and_check();

    std::uint64_t received() const { return __atomic_load_n(&received_, __ATOMIC_RELAXED); }

  private:
    static constexpr unsigned burst = 64;
    static constexpr std::size_t private_bytes = 128 * 1024;

    void check(GuestDevice const& guest, lvif_frame const& frame) const;

    Traffic const& traffic_;
    std::span<std::unique_ptr<GuestDevice> const> guests_;
    std::vector<std::uint8_t> private_;  // where received frames are copied to, used in a circle
    std::vector<std::uint8_t> template_;
    std::vector<std::size_t> steps_;  // of each guest's walk
    std::size_t private_at_ = 0;
    std::uint64_t received_ = 0;
};

}  // namespace librettos::bench
