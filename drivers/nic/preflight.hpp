// SPDX-License-Identifier: BSD-2-Clause
// What a machine must have before DPDK is started, looked at beforehand because DPDK's own message does not say what to
// do.
#pragma once

#include <stdexcept>

#include "drivers/nic/port_options.hpp"

namespace librettos {

// The machine lacks something; what() says what, and the command that mends it.
class NicError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Throws NicError: no huge pages, a PCI device that is absent or bound to a kernel driver, no such interface, no
// /dev/net/tun.
void require_nic_prerequisites(PortOptions const& port);

}  // namespace librettos
