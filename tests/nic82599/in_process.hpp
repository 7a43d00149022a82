// SPDX-License-Identifier: BSD-2-Clause
// The whole NIC for a test's own process: board, bus, sysfs tree, VFIO. Made before rte_eal_init().
#pragma once

#include <cstdlib>

#include "tests/nic82599/board.hpp"
#include "tests/nic82599/fake_vfio.hpp"
#include "tests/nic82599/function_resets.hpp"
#include "tests/nic82599/libc_calls.hpp"
#include "tests/nic82599/local_bus.hpp"
#include "tests/nic82599/pci_addresses.hpp"
#include "tests/nic82599/sysfs_tree.hpp"

namespace nic82599 {

class InProcess {
  public:
    InProcess(Eeprom::Mac const& mac, unsigned vfs, std::filesystem::path const& sysfs_folder, Board::ToWire to_wire)
        : board_(mac, vfs, std::move(to_wire)),
          bus_(board_),
          vfio_(bus_, vfs),
          sysfs_(sysfs_folder, vfs),
          resets_(sysfs_, board_.nic()) {
        setenv("SYSFS_PCI_DEVICES", sysfs_folder.c_str(), 1);
        route_libc_calls(&vfio_);
    }
    // DPDK must be done with it.
    ~InProcess() { route_libc_calls(nullptr); }
    InProcess(InProcess const&) = delete;
    InProcess& operator=(InProcess const&) = delete;

    Nic& nic() { return board_.nic(); }
    SysfsTree const& sysfs() const { return sysfs_; }

  private:
    Board board_;
    LocalBus bus_;
    FakeVfio vfio_;
    SysfsTree sysfs_;
    FunctionResets resets_;
};

}  // namespace nic82599
