// SPDX-License-Identifier: BSD-2-Clause
// What a domain must have to be the server's, looked at one by one: without a header of Xen's, and also in a build
// without Xen.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "drivers/start_check.hpp"

namespace librettos {

// What all guests together may take, by the configuration.
struct XenNeeds {
    std::uint32_t guests = 0;
    std::uint32_t queues = 0;      // of each
    std::uint32_t ring_bytes = 0;  // of each ring
};

// `keeps_portmap` is asked whether the hypervisor has our hypercall; `root` is where /sys, /dev and /proc are. Looks at
// nothing else where there is no Xen.
std::vector<StartCheck> check_xen(XenNeeds const& needs, bool (*keeps_portmap)(),
                                  std::filesystem::path const& root = "/");

}  // namespace librettos
