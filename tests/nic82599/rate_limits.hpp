// SPDX-License-Identifier: BSD-2-Clause
// Transmit rate limit per queue (7.7.2, RTTBCNRC): a frame holds its queue closed for as long as it would take at the
// limited rate.
#pragma once

#include <array>
#include <cstdint>

#include "tests/nic82599/register_file.hpp"

namespace nic82599 {

class RateLimits {
  public:
    void reset() { *this = RateLimits(); }
    void program(unsigned queue, std::uint32_t rttbcnrc) {
        queues_[queue].control = rttbcnrc;
        queues_[queue].opens_at_ns = 0;
    }
    std::uint32_t programmed(unsigned queue) const { return queues_[queue].control; }

    std::uint64_t opens_at_ns(unsigned queue) const { return queues_[queue].opens_at_ns; }
    void sent(unsigned queue, std::uint64_t bytes, std::uint64_t now_ns) {
        Queue& state = queues_[queue];
        if ((state.control & reg::RTTBCNRC_RS_ENA) != 0) {
            // The factor divides the link's rate: 10 bits, and 14 behind the point. 10 Gb/s are 0.8 ns a byte.
            double const factor = static_cast<double>(state.control & 0xFFFFFF) / 16384.0;
            std::uint64_t const from = state.opens_at_ns > now_ns ? state.opens_at_ns : now_ns;
            state.opens_at_ns = from + static_cast<std::uint64_t>(static_cast<double>(bytes) * 0.8 * factor);
        }
    }

  private:
    struct Queue {
        std::uint32_t control = 0;
        std::uint64_t opens_at_ns = 0;
    };
    std::array<Queue, RegisterFile::queues> queues_{};
};

}  // namespace nic82599
