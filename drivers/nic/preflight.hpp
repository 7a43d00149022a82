// SPDX-License-Identifier: BSD-2-Clause
// What a machine must have before DPDK is started, looked at beforehand because DPDK's own message does not say what to
// do.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <vector>

#include "drivers/machine_addresses.hpp"
#include "drivers/nic/port_options.hpp"
#include "drivers/start_check.hpp"

namespace librettos {

// The machine lacks something; what() says what, and the command that mends it.
class NicError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Those that concern this port: huge pages, a PCI device's presence and binding, whether the addresses that it would be
// given are those of its memory, an interface, /dev/net/tun. `root` is where /sys, /dev and /proc are; `open` gives
// machine addresses where only the hypervisor knows them.
std::vector<StartCheck> check_nic(PortOptions const& port, std::filesystem::path const& root = "/",
                                  OpenMachineAddresses open = nullptr);

// Throws NicError for the first that is bad.
void require_nic_prerequisites(PortOptions const& port, OpenMachineAddresses open = nullptr);

}  // namespace librettos
