// SPDX-License-Identifier: BSD-2-Clause
// A DPDK device as the configuration writes it: "net_af_packet0,iface=eth1" or "0000:03:00.0".
#pragma once

#include <string>
#include <string_view>

namespace librettos {

struct Device {
    explicit Device(std::string_view text);

    std::string text;    // as configured, a short PCI address completed by its domain
    std::string name;    // the port's name in DPDK: "net_af_packet0", "0000:03:00.0"
    std::string driver;  // name without its number: "net_af_packet"; of a PCI device empty
    bool pci = false;

    // The value of "key=value" among the device's arguments; empty when absent.
    std::string argument(std::string_view key) const;
};

}  // namespace librettos
