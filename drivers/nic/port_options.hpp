// SPDX-License-Identifier: BSD-2-Clause
// What the operator chooses about the port: section [port] of the configuration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace librettos {

struct PortOptions {
    std::string device;            // "eth1", "net_tap0,iface=lvif0", "0000:03:00.0"
    std::vector<std::string> eal;  // more EAL arguments
    bool huge_pages = false;
    std::uint32_t memory_mib = 256;
    std::uint16_t mtu_bytes = 1500;    // 1280 .. 9000
    std::uint32_t buffers = 16384;     // mbufs
    std::uint16_t descriptors = 1024;  // per queue
    bool promiscuous = false;
};

}  // namespace librettos
