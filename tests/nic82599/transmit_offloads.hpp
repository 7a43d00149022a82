// SPDX-License-Identifier: BSD-2-Clause
// What the NIC does to a frame on its way out: checksums (7.2.5), segmentation (7.2.4), VLAN tag (7.4), padding.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tests/nic82599/machine.hpp"

namespace nic82599 {

// A context descriptor (7.2.3.2.3).
struct TransmitContext {
    std::uint16_t vlan_tci = 0;
    std::uint8_t mac_bytes = 0, l4_bytes = 0;
    std::uint16_t ip_bytes = 0, segment_bytes = 0;
    bool ipv4 = false;
    enum class Transport : std::uint8_t { udp, tcp, sctp, reserved } transport = Transport::udp;
};

// A data descriptor's requests (7.2.3.2.4).
struct TransmitRequest {
    bool ip_checksum = false, l4_checksum = false, segment = false;
    std::optional<std::uint16_t> insert_vlan;
};

// Masks of TCP flags for first, middle and last segments (8.2.3.9.3).
struct TcpFlagMasks {
    std::uint16_t first = 0xFF6, middle = 0xFF6, last = 0xF7F;
};

// The frames that go out, tagged and at least 60 bytes. Empty: the request contradicts the frame.
std::vector<Frame> apply_offloads(Frame frame, TransmitRequest const& request, TransmitContext const& context,
                                  TcpFlagMasks const& masks);

}  // namespace nic82599
