// SPDX-License-Identifier: BSD-2-Clause
// Frames that came from the wire and that no engine has seen.
#pragma once

#include <cstdint>

namespace librettos {

struct PortLosses {
    std::uint64_t missed = 0;  // came while the receive queue was full, or no buffer was free
    std::uint64_t merged = 0;  // a Linux interface: merged by the kernel into more than 64 KiB, or into what is not TCP
    bool operator==(PortLosses const&) const = default;
};

}  // namespace librettos
