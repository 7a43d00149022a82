// SPDX-License-Identifier: BSD-2-Clause
// Whether a VF still sends. Nobody tells a VF's driver that it was reset behind its back or unplugged: its queues just
// stop. So it is looked whether what was sent leaves, and if nothing was sent a frame is that the NIC's switch throws
// away, one from the guest to itself. A second without progress is the VF's end.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <utility>

#include "guest-frontend/process/switch_order.hpp"

namespace librettos::guest {

class VfWatch {
  public:
    static constexpr std::uint32_t frame_to_self_bytes = 60;

    void begin() {
        progress_ = look_again_ = Clock::now();
        seen_sent_ = 0;
    }
    // `sent`: frames so far. makes_progress(): all has left, or more than at the last look. send_to_self() adds to
    // `sent`. To be called every 20 ms or so.
    template <typename MakesProgress, typename SendToSelf>
    bool alive(std::uint64_t const& sent, bool may_send, MakesProgress&& makes_progress, SendToSelf&& send_to_self) {
        auto const now = Clock::now();
        if (now >= look_again_) {
            look_again_ = now + look_every;
            if (makes_progress()) {
                progress_ = now;
            }
            if (std::exchange(seen_sent_, sent) == sent && may_send) {
                send_to_self();
                seen_sent_ = sent;
            }
        }
        return now < progress_ + longest_standstill;
    }

    static void write_frame_to_self(VfMac const& mac, std::span<std::uint8_t> frame) {
        std::fill(frame.begin(), frame.end(), std::uint8_t{0});
        auto const source = std::copy(mac.begin(), mac.end(), frame.begin());
        std::copy(std::begin(loopback_type), std::end(loopback_type), std::copy(mac.begin(), mac.end(), source));
    }

    static bool is_frame_to_self(std::span<std::uint8_t const> frame) {
        return std::equal(std::begin(loopback_type), std::end(loopback_type), frame.begin() + 2 * VfMac{}.size());
    }

  private:
    using Clock = SwitchOrder::Clock;
    static constexpr std::uint8_t loopback_type[] = {0x90, 0x00};  // Ethernet's configuration testing protocol
    static constexpr auto look_every = std::chrono::milliseconds(100);
    static constexpr auto longest_standstill = std::chrono::seconds(1);

    std::uint64_t seen_sent_ = 0;
    Clock::time_point progress_{};
    Clock::time_point look_again_{};
};

}  // namespace librettos::guest
