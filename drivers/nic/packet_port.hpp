// SPDX-License-Identifier: BSD-2-Clause
// A Linux interface as the port, through packet sockets, one per queue. DPDK's port is a net_null, which receives
// nothing and frees what is sent; the callbacks of its queues do the work.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "drivers/nic/port_losses.hpp"
#include "drivers/nic/port_options.hpp"
#include "drivers/unique_fd.hpp"

struct rte_mempool;
struct rte_eth_rxtx_callback;

namespace librettos {

class PacketQueue;

class PacketPort {
  public:
    // Gives the interface its MTU and opens the sockets. What arrives from then on waits in them, as many frames as a
    // queue has descriptors or more. Throws NicError.
    PacketPort(std::string const& interface, PortOptions const& options, std::uint16_t queues, rte_mempool* pool);
    ~PacketPort();
    PacketPort(PacketPort const&) = delete;
    PacketPort& operator=(PacketPort const&) = delete;

    // rte_eth_rx_burst and rte_eth_tx_burst of this DPDK port, which has as many queues, are the interface's until
    // release().
    void take_over(std::uint16_t port_id);
    void release() noexcept;

    // Of each queue: readable when a frame waits.
    std::vector<int> sockets() const;
    std::array<std::uint8_t, 6> mac() const { return mac_; }
    // What the interface hands to us, until the sockets are closed. 0 or -errno.
    int receive_all_multicast() const;
    int receive_everything() const;
    PortLosses losses();

  private:
    struct Callbacks {
        rte_eth_rxtx_callback const* receive;
        rte_eth_rxtx_callback const* send;
    };

    struct FreeQueue {
        void operator()(PacketQueue* queue) const;
    };

    UniqueFd open(std::string const& interface, PortOptions const& options);
    int join(int membership) const;

    int index_ = 0;  // of the interface
    std::array<std::uint8_t, 6> mac_{};
    std::vector<UniqueFd> sockets_;
    std::vector<std::unique_ptr<PacketQueue, FreeQueue>> queues_;
    std::uint64_t dropped_ = 0;  // by the kernel, for want of room in the sockets
    std::uint16_t port_id_ = 0;
    std::vector<Callbacks> callbacks_;
};

}  // namespace librettos
