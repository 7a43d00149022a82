// SPDX-License-Identifier: BSD-2-Clause
// Memory that outlives engines: what their data threads hold at any moment.
#pragma once

#include <cstddef>

#include "daemon/engine/boot.hpp"

namespace librettos {

// One InFlight per data thread, zeroed, shared with every child.
class InFlightMemory {
  public:
    explicit InFlightMemory(std::uint16_t data_threads);  // throws std::system_error
    ~InFlightMemory();
    InFlightMemory(InFlightMemory const&) = delete;
    InFlightMemory& operator=(InFlightMemory const&) = delete;

    InFlight* first() const { return static_cast<InFlight*>(memory_); }

  private:
    std::size_t bytes_;
    void* memory_;
};

}  // namespace librettos
