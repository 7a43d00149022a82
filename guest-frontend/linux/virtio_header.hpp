// SPDX-License-Identifier: BSD-2-Clause
// Translates between the virtio-net header of a TAP frame and the off-load fields of a ring record.
#pragma once

#include <cstdint>
#include <span>

#include "guest-frontend/linux/lvif.hpp"

namespace librettos::guest {

// Virtio 1.2, section 5.1.6, in the machine's byte order (linux/virtio_net.h cannot be included from C++).
struct VirtioHeader {
    static constexpr std::uint8_t needs_csum = 1;
    static constexpr std::uint8_t data_valid = 2;
    static constexpr std::uint8_t gso_none = 0;
    static constexpr std::uint8_t gso_tcp4 = 1;
    static constexpr std::uint8_t gso_tcp6 = 4;

    std::uint8_t flags;
    std::uint8_t gso_type;
    std::uint16_t hdr_len;
    std::uint16_t gso_size;
    std::uint16_t csum_start;
    std::uint16_t csum_offset;
};
static_assert(sizeof(VirtioHeader) == 10);

// What the kernel handed out. false: a kind of off-load that was not agreed or fields that do not fit the frame (the
// frame is to be dropped; the kernel does not do that).
bool to_ring(VirtioHeader const& header, std::span<std::uint8_t const> frame, lvif_offload& offload);

// What the server handed out: hostile, although already copied. false: fields that do not fit the frame.
bool to_kernel(lvif_offload const& offload, std::uint32_t frame_bytes, VirtioHeader& header);

}  // namespace librettos::guest
