// SPDX-License-Identifier: BSD-2-Clause
// Where a domain's memory is for devices, in a Xen PV domain: only the hypervisor knows. Frames are pages of 4 KiB; the
// domain's own numbers for them (/proc/self/pagemap) are not the machine's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace librettos {

struct MachineCandidate {
    std::size_t index = 0;  // into the frames that were asked for
    std::uint64_t machine_frame = 0;
};

// Every call throws std::system_error that says what was tried.
class MachineAddresses {
  public:
    virtual ~MachineAddresses() = default;

    // Machine frames whose domain calls them by one of `frames`: every domain counts from 0, so most are others'
    // memory.
    virtual std::vector<MachineCandidate> candidates(std::span<std::uint64_t const> frames) = 0;

    // The first eight bytes of each machine frame; none of one that is not this domain's memory.
    virtual std::vector<std::optional<std::uint64_t>> first_words(std::span<std::uint64_t const> machine_frames) = 0;

    // What its domain calls each machine frame now.
    virtual std::vector<std::uint64_t> frames_at(std::span<std::uint64_t const> machine_frames) = 0;
};

using OpenMachineAddresses = std::unique_ptr<MachineAddresses> (*)();

}  // namespace librettos
