// SPDX-License-Identifier: BSD-2-Clause
// One transmit queue: takes frames from its descriptors (7.2.3), legacy and advanced, and reports what is done.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "tests/nic82599/machine.hpp"
#include "tests/nic82599/register_file.hpp"
#include "tests/nic82599/transmit_offloads.hpp"

namespace nic82599 {

class TransmitRing {
  public:
    void reset() { *this = TransmitRing(); }

    struct Sent {
        std::vector<Frame> frames;
        std::uint64_t taken_bytes = 0;
        bool faulted = false;   // memory that the IOMMU refuses, or a request that makes no sense
        bool reported = false;  // a descriptor was written back
    };

    // The next whole packet, or empty: none is ready.
    std::optional<Sent> next(RegisterFile& registers, Machine& machine, Function owner, unsigned queue);

  private:
    struct Descriptor {
        std::uint64_t address;
        std::uint32_t command, options;
    };

    void take_context(Descriptor const& descriptor);
    bool gather(Machine& machine, Function owner, Descriptor const& descriptor);
    Sent finish(RegisterFile const& registers, Descriptor const& descriptor);

    std::array<TransmitContext, 2> contexts_{};
    Frame frame_;
    std::optional<Descriptor> first_;  // of a packet: its requests count
    bool faulted_ = false;
};

}  // namespace nic82599
