// SPDX-License-Identifier: BSD-2-Clause
// A domain's number, as the hypervisor gives it (Xen: domid_t). 0 is the control domain.
#pragma once

#include <compare>
#include <cstdint>

namespace librettos {

struct DomId {
    std::uint16_t value = 0;
    friend auto operator<=>(DomId, DomId) = default;
};

}  // namespace librettos
