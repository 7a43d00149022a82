// SPDX-License-Identifier: BSD-2-Clause
// Messages between the holder and its child, the engine, over a SOCK_SEQPACKET pair. Fixed size; one that has another
// size or an unknown type ends the engine. The engine asks only for NIC control operations that the holder knows.
#pragma once

#include <array>
#include <cstdint>

#include "drivers/steering/vf_traffic.hpp"

namespace librettos {

enum class HolderMessageType : std::uint32_t {
    // engine -> holder
    ready = 1,    // guests of the store are re-adopted, the API answers: systemd may be told
    add_mac = 2,  // receive frames for this MAC (a dedicated guest's); answered by `done`
    remove_mac = 3,
    operate_vf = 4,  // guest, vf, operation, mac, vlan; answered by `done` with all of them, when it is done
    // holder -> engine
    stop = 16,  // end in order; guests stay as they are, for the next engine
    link = 17,  // up, speed_mbps: at start and at each change
    done = 18,  // id, status (0 or -errno)
    // vf, name, present, up, counted, traffic: each VF at start, and at each change, which comes before `done` of its
    // cause. While one is in use its traffic changes twice a second at most.
    vf = 19,
};

// drivers/steering: what can be done with a VF. All of them may be repeated.
enum class VfOperation : std::uint8_t { none, give, steer_to_vf, steer_to_port, take };

struct HolderMessage {
    HolderMessageType type;
    std::uint32_t id = 0;
    std::int32_t status = 0;
    std::uint32_t up = 0;
    std::uint32_t speed_mbps = 0;
    std::array<std::uint8_t, 6> mac{};
    VfOperation operation = VfOperation::none;
    std::uint8_t present = 0;
    std::uint16_t vf = 0;
    std::uint16_t vlan = 0;
    std::uint16_t guest = 0;   // domain id; the engine's own note
    std::uint8_t counted = 0;  // `traffic` means something
    std::uint8_t reserved = 0;
    std::array<char, 28> name{};  // of the VF, NUL-terminated
    VfTraffic traffic{};
};
static_assert(sizeof(HolderMessage) == 96);

}  // namespace librettos
