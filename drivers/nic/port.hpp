// SPDX-License-Identifier: BSD-2-Clause
// The one NIC port, set up once by the holder: buffers, queues, offloads, MTU. Engines use its queues after the fork.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "drivers/nic/eal.hpp"
#include "drivers/nic/interface_link.hpp"
#include "drivers/nic/ixgbe_registers.hpp"
#include "drivers/nic/packet_port.hpp"
#include "drivers/nic/port_description.hpp"
#include "drivers/nic/port_losses.hpp"
#include "drivers/nic/port_options.hpp"

struct rte_mempool;

namespace librettos {

class Port {
  public:
    // Sets the port up with that many queue pairs, one per data thread, and starts it. Throws NicError when the port
    // has too few queues or cannot take the MTU, with what to write instead. `eal` outlives the port.
    Port(PortOptions const& options, std::uint16_t queues, Eal const& eal);
    ~Port();
    Port(Port const&) = delete;
    Port& operator=(Port const&) = delete;

    PortDescription const& description() const { return description_; }
    rte_mempool* pool() const { return pool_; }
    // As the NIC has it, or the interface behind a software port. DPDK, where it missed a change, looks again soon
    // after.
    LinkState link() const;
    // Since the port was made. For one caller: what the kernel counts is reset by reading.
    PortLosses losses() const;
    int link_changed_fd() const {
        return link_changed_fd_;
    }  // eventfd; drivers without notice are to be asked once a second
    // Receive frames for this MAC too. A port without room for it becomes promiscuous. 0 or -errno.
    int add_mac(std::array<std::uint8_t, 6> const& mac);
    int remove_mac(std::array<std::uint8_t, 6> const& mac);
    // Of an 82599's PF, where they are seen.
    std::optional<IxgbeRegisters> const& ixgbe_registers() const { return registers_; }
    // See Eal::memory_fault.
    std::string memory_fault(bool all) const { return eal_.memory_fault(all); }

  private:
    void create_pool(PortOptions const& options);
    void configure(PortOptions const& options, std::uint16_t queues);
    void set_up_queues(PortOptions const& options);
    void start(PortOptions const& options);
    int receive_everything() const;
    void come_before_vfs();
    void beside_vfs(std::function<void()> const& change) const;
    void close() noexcept;

    Eal const& eal_;
    PortDescription description_;
    rte_mempool* pool_ = nullptr;
    std::set<std::array<std::uint8_t, 6>> added_;
    std::uint32_t own_pool_ = 0;           // of the NIC's, beside those of its VFs
    std::string interface_;                // of the kernel, behind a software port; empty: none
    std::unique_ptr<PacketPort> packets_;  // where the port is such an interface
    int link_changed_fd_ = -1;
    std::optional<IxgbeRegisters> registers_;
};

}  // namespace librettos
