// SPDX-License-Identifier: BSD-2-Clause
// A folder that looks like /sys/bus/pci/devices to DPDK (SYSFS_PCI_DEVICES), with the NIC's functions in it.
#pragma once

#include <filesystem>

#include "tests/nic82599/machine.hpp"

namespace nic82599 {

class SysfsTree {
  public:
    // Makes the folder, with the PF; throws std::filesystem::filesystem_error.
    SysfsTree(std::filesystem::path folder, unsigned vfs);
    // Removes it, in the process that made it.
    ~SysfsTree();
    SysfsTree(SysfsTree const&) = delete;
    SysfsTree& operator=(SysfsTree const&) = delete;

    // DPDK probes what it finds: a VF is best shown once its PF has started.
    void show(Function function) const;
    // Of a VF, behind the PF's link to it, whether it is shown or not.
    std::filesystem::path reset_file(unsigned vf) const;
    std::filesystem::path const& folder() const { return folder_; }

  private:
    std::filesystem::path folder_;
    unsigned vfs_;
    int owner_;
};

}  // namespace nic82599
