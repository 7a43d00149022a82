// SPDX-License-Identifier: BSD-2-Clause
// Xen, however the server was built and whatever keeps the portmap: without a header of Xen's.
#pragma once

#include <memory>

#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos {

// The portmap is the hypervisor's where it has our hypercall, else, or with `server_keeps_portmap`, the server's own.
// Throws std::system_error that says what is missing; EOPNOTSUPP: this build has no Xen.
std::unique_ptr<Hypervisor> make_xen_hypervisor(bool server_keeps_portmap);

// Whether the hypervisor has our hypercall. Throws std::system_error when it has, and does not let us use it.
bool xen_keeps_portmap();

}  // namespace librettos
