// SPDX-License-Identifier: BSD-2-Clause
// Attaching: making a guest's device, which on Xen is the host's to do.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "drivers/hypervisor/xen/xen_store.hpp"

namespace librettos {

// Makes both directories in one transaction, with the rights that xl gives its own devices: the guest owns its
// frontend, the server the backend, each may read the other's. `backend_keys` are written to the backend directory.
// Throws std::system_error: ENOENT without such a domain, EEXIST when it has the device.
void make_device_directories(XenStore& store, DomId server, DomId guest,
                             std::vector<std::pair<std::string, std::string>> const& backend_keys);

}  // namespace librettos
