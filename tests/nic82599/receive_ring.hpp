// SPDX-License-Identifier: BSD-2-Clause
// One receive queue: a frame into the buffers of its descriptors, and what the write-back says about it (7.1.5 legacy,
// 7.1.6 advanced with one buffer).
#pragma once

#include <cstdint>
#include <span>

#include "tests/nic82599/headers.hpp"
#include "tests/nic82599/machine.hpp"
#include "tests/nic82599/register_file.hpp"

namespace nic82599 {

// What the write-back tells besides data and length.
struct ReceiveReport {
    std::uint32_t hash = 0;  // RSS, or flow director's id and hash
    std::uint8_t rss_type = 0;
    bool flow_match = false;
    bool looped_back = false;
};

class ReceiveRing {
  public:
    enum class Result { delivered, no_descriptors, disabled, fault };

    ReceiveRing(RegisterFile& registers, Machine& machine, Function owner, unsigned queue)
        : registers_(registers), machine_(machine), owner_(owner), at_(reg::rx_queue(queue)) {}

    bool enabled() const { return registers_.has(at_ + reg::DCTL, reg::DCTL_ENABLE); }
    bool drops_when_full() const { return registers_.has(at_ + reg::SRRCTL, reg::SRRCTL_DROP_EN); }
    // `written`: bytes in memory, when delivered (a stripped tag is not).
    Result deliver(Frame const& frame, Headers const& headers, ReceiveReport const& report, std::size_t& written);

  private:
    RegisterFile& registers_;
    Machine& machine_;
    Function owner_;
    reg::Offset at_;
};

// 7.1.6.2: the packet type, bits 4..15 of an advanced write-back's first word.
std::uint32_t packet_type(Headers const& headers);
// 7.1.11: status (low 20 bits) and errors (the others) of the checksums.
std::uint32_t checksum_status(std::span<std::uint8_t const> frame, Headers const& headers);

}  // namespace nic82599
