// SPDX-License-Identifier: BSD-2-Clause
// The "reset" files of a SysfsTree's VFs: what the kernel does when it is asked for a function level reset.
#pragma once

#include <thread>
#include <vector>

#include "tests/nic82599/nic.hpp"
#include "tests/nic82599/sysfs_tree.hpp"

namespace nic82599 {

class FunctionResets {
  public:
    // Both outlive it.
    FunctionResets(SysfsTree const& sysfs, Nic& nic);
    ~FunctionResets();
    FunctionResets(FunctionResets const&) = delete;
    FunctionResets& operator=(FunctionResets const&) = delete;

  private:
    void run();

    Nic& nic_;
    std::vector<int> files_;  // by VF
    int end_ = -1;            // eventfd
    std::thread thread_;
};

}  // namespace nic82599
