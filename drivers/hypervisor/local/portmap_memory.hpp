// SPDX-License-Identifier: BSD-2-Clause
// The portmap's memory: writable through this object's mapping and through nothing else, for ever.
#pragma once

#include <librettos/portmap.h>

#include "drivers/unique_fd.hpp"

namespace librettos {

class PortmapMemory {
  public:
    PortmapMemory();
    ~PortmapMemory();
    PortmapMemory(PortmapMemory const&) = delete;
    PortmapMemory& operator=(PortmapMemory const&) = delete;

    lvif_portmap& table() { return *table_; }
    // A description of the sealed memfd for reading.
    int reader_fd() const { return reader_.get(); }

  private:
    lvif_portmap* table_;
    UniqueFd reader_;
};

}  // namespace librettos
