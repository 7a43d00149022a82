// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/virtio_header.hpp"

namespace librettos::guest {

namespace {

constexpr std::uint32_t checksum_bytes = 2;
constexpr std::uint32_t tcp_header_bytes = 20;  // the least
constexpr std::uint32_t tcp_data_offset = 12;
constexpr std::uint16_t tcp_checksum_offset = 16;
constexpr std::uint32_t ethernet_bytes = 14;
constexpr std::uint32_t ipv4_header_bytes = 20;
constexpr std::uint32_t ipv6_header_bytes = 40;

bool checksum_fits(std::uint32_t start, std::uint32_t offset, std::uint32_t frame_bytes) {
    return start >= ethernet_bytes && start + offset + checksum_bytes <= frame_bytes;
}

}  // namespace

bool to_ring(VirtioHeader const& header, std::span<std::uint8_t const> frame, lvif_offload& offload) {
    offload = {};
    auto const frame_bytes = static_cast<std::uint32_t>(frame.size());
    if ((header.flags & VirtioHeader::needs_csum) != 0) {
        if (!checksum_fits(header.csum_start, header.csum_offset, frame_bytes)) {
            return false;
        }
        offload.flags = LVIF_CSUM_PARTIAL;
        offload.csum_start = header.csum_start;
        offload.csum_offset = header.csum_offset;
    }
    if (header.gso_type == VirtioHeader::gso_none) {
        return true;
    }
    bool const tcp4 = header.gso_type == VirtioHeader::gso_tcp4;
    if ((!tcp4 && header.gso_type != VirtioHeader::gso_tcp6) || offload.flags == 0 || header.gso_size == 0 ||
        offload.csum_start + tcp_header_bytes > frame_bytes) {
        return false;
    }
    // The kernel's hdr_len is a hint that may cover payload: the TCP header itself says where it ends.
    std::uint32_t const tcp_bytes = (frame[offload.csum_start + tcp_data_offset] >> 4) * 4u;
    if (tcp_bytes < tcp_header_bytes || offload.csum_start + tcp_bytes > frame_bytes) {
        return false;
    }
    offload.flags |= tcp4 ? LVIF_GSO_TCP4 : LVIF_GSO_TCP6;
    offload.gso_size = header.gso_size;
    offload.header_length = static_cast<std::uint16_t>(offload.csum_start + tcp_bytes);
    return true;
}

bool to_kernel(lvif_offload const& offload, std::uint32_t frame_bytes, VirtioHeader& header) {
    header = {};
    bool const partial = (offload.flags & LVIF_CSUM_PARTIAL) != 0;
    unsigned const gso = offload.flags & (LVIF_GSO_TCP4 | LVIF_GSO_TCP6);
    if (partial) {
        if (!checksum_fits(offload.csum_start, offload.csum_offset, frame_bytes)) {
            return false;
        }
        header.flags = VirtioHeader::needs_csum;
        header.csum_start = offload.csum_start;
        header.csum_offset = offload.csum_offset;
    } else if ((offload.flags & LVIF_CSUM_OK) != 0) {
        header.flags = VirtioHeader::data_valid;
    }
    if (gso == 0) {
        header.gso_type = VirtioHeader::gso_none;
        return true;
    }
    std::uint32_t const ip_bytes = gso == LVIF_GSO_TCP4 ? ipv4_header_bytes : ipv6_header_bytes;
    if (gso == (LVIF_GSO_TCP4 | LVIF_GSO_TCP6) || !partial || offload.csum_offset != tcp_checksum_offset ||
        offload.gso_size == 0 || offload.csum_start < ethernet_bytes + ip_bytes ||
        offload.header_length > frame_bytes || offload.header_length < offload.csum_start + tcp_header_bytes) {
        return false;
    }
    header.gso_type = gso == LVIF_GSO_TCP4 ? VirtioHeader::gso_tcp4 : VirtioHeader::gso_tcp6;
    header.gso_size = offload.gso_size;
    header.hdr_len = offload.header_length;
    return true;
}

}  // namespace librettos::guest
