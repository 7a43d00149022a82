// SPDX-License-Identifier: BSD-2-Clause
// DPDK's ixgbe driver on the model, both in this process.
#pragma once

#include <mutex>

#include "tests/nic82599/in_process.hpp"
#include "tests/unit/nic82599/dpdk_ports.hpp"

namespace nic82599 {

// Made before EAL and gone after it.
class Model {
  public:
    Nic& nic() { return model_.nic(); }

    // What left through the port since the last call.
    std::vector<Frame> wire() {
        std::lock_guard const lock(mutex_);
        return std::exchange(wire_, {});
    }

  protected:
    Model(unsigned vfs, std::function<void(Nic&)> const& before)
        : model_(pf_mac, vfs, testing::TempDir() + "nic82599-test." + std::to_string(getpid()),
                 [this](std::span<std::uint8_t const> frame) {
                     std::lock_guard const lock(mutex_);
                     wire_.emplace_back(frame.begin(), frame.end());
                 }) {
        if (before) {
            before(model_.nic());
        }
    }
    SysfsTree const& sysfs() const { return model_.sysfs(); }

  private:
    std::mutex mutex_;
    std::vector<Frame> wire_;
    InProcess model_;
};

// Ports are configured by the test.
class Laboratory : public Model, public DpdkPorts {
  public:
    explicit Laboratory(unsigned vfs = 0, std::function<void(Nic&)> const& before = {}) : Model(vfs, before) {}

    // The VF becomes a DPDK port; its number, or negative.
    int add_vf(unsigned vf) {
        sysfs().show(Function::vf(vf));
        std::string const address = pci_address(Function::vf(vf));
        if (int const error = rte_eal_hotplug_add("pci", address.c_str(), ""); error != 0) {
            return error;
        }
        std::uint16_t port = 0;
        int const error = rte_eth_dev_get_port_by_name(address.c_str(), &port);
        return error != 0 ? error : port;
    }
};

}  // namespace nic82599
