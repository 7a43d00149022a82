// SPDX-License-Identifier: BSD-2-Clause
// DPDK's environment (EAL) in the holder. The only place that calls rte_eal_init.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "drivers/nic/port_options.hpp"

namespace librettos {

// The arguments for rte_eal_init, program name first.
std::vector<std::string> eal_arguments(PortOptions const& port);

// True when a forked child's writes to DPDK memory are seen here. EAL must be up. Where memfd_create fails
// DPDK maps its memory privately without a word, and the engine would work on a copy of its own.
bool eal_memory_survives_fork();

// One per process. Throws NicError with what is missing and the command that mends it.
class Eal {
  public:
    explicit Eal(PortOptions const& port);
    ~Eal();
    Eal(Eal const&) = delete;
    Eal& operator=(Eal const&) = delete;

    // Descriptors that were open before DPDK probed its devices.
    std::set<int> const& fds_before() const { return fds_before_; }

  private:
    std::set<int> fds_before_;
};

}  // namespace librettos
