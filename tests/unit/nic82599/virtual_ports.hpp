// SPDX-License-Identifier: BSD-2-Clause
// DPDK's PF and two VFs on the model, started, for tests of what the NIC does between them.
#pragma once

#include "tests/unit/nic82599/pmd_port.hpp"

extern "C" {
#include <rte_pmd_ixgbe.h>  // has no extern "C" of its own
}

namespace nic82599 {

constexpr unsigned vfs = 2;
constexpr Mac vf_macs[vfs] = {{0x02, 0x11, 0x22, 0x33, 0x44, 0x50}, {0x02, 0x11, 0x22, 0x33, 0x44, 0x51}};

inline rte_ether_addr address(Mac const& mac) {
    rte_ether_addr result;
    std::copy(mac.begin(), mac.end(), result.addr_bytes);
    return result;
}

// Port 0 is the PF, 1 and 2 are VF 0 and VF 1.
class VirtualPorts : public testing::Test {
  protected:
    using Frames = std::vector<Frame>;

    VirtualPorts() : laboratory(vfs), nic(laboratory.nic()) { nic.set_trace(&trace); }
    ~VirtualPorts() override { nic.set_trace(nullptr); }

    void SetUp() override {
        ASSERT_TRUE(laboratory.started());
        ASSERT_EQ(laboratory.start(0), 0);
        for (unsigned vf = 0; vf < vfs; ++vf) {
            rte_ether_addr mac = address(vf_macs[vf]);
            ASSERT_EQ(rte_pmd_ixgbe_set_vf_mac_addr(0, static_cast<std::uint16_t>(vf), &mac), 0);
            ASSERT_EQ(laboratory.add_vf(vf), static_cast<int>(vf + 1));
            ASSERT_EQ(laboratory.start(static_cast<std::uint16_t>(vf + 1)), 0);
        }
        for (std::uint16_t port = 0; port <= vfs; ++port) {
            ASSERT_TRUE(laboratory.link_comes(port));
        }
        trace.take();
    }
    static Frames received(std::uint16_t port) { return Laboratory::received(port); }

    RegisterTrace trace;
    Laboratory laboratory;
    Nic& nic;
};

}  // namespace nic82599
