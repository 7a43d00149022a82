// SPDX-License-Identifier: BSD-2-Clause
// The port as the configuration writes it: a Linux interface, "eth1", or a device of DPDK's, "0000:03:00.0" or
// "net_tap0,iface=lvif0".
#pragma once

#include <string>
#include <string_view>

namespace librettos {

struct Device {
    explicit Device(std::string_view text);

    std::string text;       // as configured, a short PCI address completed by its domain
    std::string name;       // the port's name in DPDK: "net_tap0", "0000:03:00.0"
    std::string driver;     // name without its number: "net_tap"; of a PCI device and of an interface empty
    std::string interface;  // the Linux interface that it is; empty: it is DPDK's
    bool pci = false;

    // The value of "key=value" among the device's arguments; empty when absent.
    std::string argument(std::string_view key) const;
};

}  // namespace librettos
