// SPDX-License-Identifier: BSD-2-Clause
// What went through a VF, as its user sees it; bytes without CRC. Grows while the VF is there, and begins anew when it,
// or the server's count of it, does.
#pragma once

#include <cstdint>

namespace librettos {

struct VfTraffic {
    std::uint64_t received_frames = 0, received_bytes = 0, sent_frames = 0, sent_bytes = 0;
    bool operator==(VfTraffic const&) const = default;
};

}  // namespace librettos
