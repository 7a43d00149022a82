// SPDX-License-Identifier: BSD-2-Clause
// The port as its users see it: plain values, no DPDK.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace librettos {

// What the port can do and where it sleeps.
struct PortDescription {
    std::uint16_t port_id = 0;
    std::string device;  // as in the configuration
    std::string driver;  // net_ixgbe, net_tap, ..
    std::array<std::uint8_t, 6> mac{};
    std::uint16_t queues = 1;  // rx and tx queues; data thread t polls queue t
    std::uint16_t mtu_bytes = 1500;
    bool tx_ip_checksum = false;
    bool tx_tcp_checksum = false;  // TCP and UDP, IPv4 and IPv6
    bool tx_tso = false;           // of frames of 64 KB, in buffers of the pool
    bool rx_checksum = false;      // mbuf says whether it is good
    bool rx_lro = false;           // frames may be larger than the MTU, and say what they were merged of
    bool rx_interrupt = false;     // rte_eth_dev_rx_intr_* works
    // Per queue: a descriptor that polls readable when a frame waits, for ports without rx_interrupt; -1: none, the
    // thread then looks once a millisecond.
    std::vector<int> wait_fds;
    // The queues can be used on when a process was killed while it used them. False: only a new start mends them.
    bool survives_kills = true;
};

}  // namespace librettos
