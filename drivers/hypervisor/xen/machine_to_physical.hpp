// SPDX-License-Identifier: BSD-2-Clause
// Xen's machine-to-physical table, read a part at a time: 2 MiB of it describe 1 GiB of the machine.
#pragma once

#include <memory>
#include <vector>

extern "C" {  // the headers do not say so
#include <xencall.h>
#include <xenforeignmemory.h>
}

#include "drivers/machine_addresses.hpp"

namespace librettos {

class MachineToPhysical final : public MachineAddresses {
  public:
    // Throws std::system_error: no hypercalls, or this domain may not see the table (EPERM: it is not dom0).
    MachineToPhysical();
    ~MachineToPhysical() override;
    MachineToPhysical(MachineToPhysical const&) = delete;
    MachineToPhysical& operator=(MachineToPhysical const&) = delete;

    std::vector<MachineCandidate> candidates(std::span<std::uint64_t const> frames) override;
    std::vector<std::optional<std::uint64_t>> first_words(std::span<std::uint64_t const> machine_frames) override;
    std::vector<std::uint64_t> frames_at(std::span<std::uint64_t const> machine_frames) override;

  private:
    void list_extents();
    std::uint64_t table_page(std::uint64_t machine_frame) const;

    std::unique_ptr<xencall_handle, int (*)(xencall_handle*)> calls_;
    std::unique_ptr<xenforeignmemory_handle, int (*)(xenforeignmemory_handle*)> memory_;
    std::vector<std::uint64_t> extents_;  // machine frame of each 2 MiB of the table; 0: a hole
};

}  // namespace librettos
