// SPDX-License-Identifier: BSD-2-Clause
// A started net_null device: a port id whose burst functions MemoryPort takes over.
#pragma once

#include <cstdint>

struct rte_mempool;

namespace librettos::bench {

class NullPort {
  public:
    // Throws std::runtime_error.
    explicit NullPort(rte_mempool* pool);
    ~NullPort();
    NullPort(NullPort const&) = delete;
    NullPort& operator=(NullPort const&) = delete;
    std::uint16_t id() const { return id_; }

  private:
    std::uint16_t id_ = 0;
};

}  // namespace librettos::bench
