// SPDX-License-Identifier: BSD-2-Clause
// liblvif's calls for a switch (lvif_environment::vf), made to an object. They have no context of their own, and are
// made within lvif_poll() and lvif_close(): by the control thread, which serves one device.
#pragma once

#include <algorithm>
#include <cstdint>

#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/process/switch_order.hpp"

namespace librettos::guest {

// `Switch` has the functions of SwitchOrder.
template <typename Switch>
struct SwitchCalls {
    // Of the calling thread.
    static inline thread_local Switch* to = nullptr;
    static inline thread_local lvif_device* device = nullptr;

    static int open(void* /*host*/, std::uint8_t const* mac, std::uint16_t vlan) {
        VfMac address{};
        std::copy_n(mac, address.size(), address.begin());
        std::uint16_t const mtu = lvif_mtu(device);
        return to->open(address, vlan, mtu != 0 ? mtu : lvif_offer(device)->mtu);
    }

    static constexpr lvif_vf_operations operations = {
        .open = open,
        .begin = [](void*) { return to->begin(); },
        .end = [](void*) { to->end(); },
        .close = [](void*) { to->close(); },
    };
};

}  // namespace librettos::guest
