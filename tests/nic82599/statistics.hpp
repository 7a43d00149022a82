// SPDX-License-Identifier: BSD-2-Clause
// Counters (8.2.3.23): cleared by reading, and stuck at their largest value when nobody reads them in time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/nic82599/machine.hpp"
#include "tests/nic82599/register_file.hpp"

namespace nic82599 {

class Statistics {
  public:
    explicit Statistics(RegisterFile& registers) : registers_(registers) {}

    static bool clears_on_read(reg::Offset offset);

    void received(Frame const& frame);                 // by the MAC, whatever becomes of it
    void accepted(Frame const& frame);                 // passed a filter, and a host took it
    void to_queue(unsigned queue, std::size_t bytes);  // in host memory
    void queue_dropped(unsigned queue);                // no descriptors, drop enabled
    void missed();                                     // packet buffer full
    void wrong_length(bool too_long);
    void from_queue(unsigned queue, std::size_t bytes);  // taken from host memory
    void sent(Frame const& frame);
    void spoofed();

  private:
    void add(reg::Offset offset, std::uint32_t amount = 1);
    void add_36_bits(reg::Offset low, reg::Offset high, std::uint64_t amount);

    RegisterFile& registers_;
};

}  // namespace nic82599
