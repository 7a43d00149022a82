// SPDX-License-Identifier: BSD-2-Clause
// I/O mappings: what memory the NIC may reach under which addresses, per domain (a VFIO container).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

namespace nic82599 {

class Iommu {
  public:
    using Memory = std::shared_ptr<std::uint8_t>;  // its deleter ends the mapping

    // Overlaps are refused: EEXIST.
    int map(unsigned domain, std::uint64_t address, Memory memory, std::size_t size);
    // Whole mappings within the range. How many bytes they had.
    std::size_t unmap(unsigned domain, std::uint64_t address, std::size_t size);
    void forget(unsigned domain);
    // nullptr: not mapped as one piece.
    std::uint8_t* translate(unsigned domain, std::uint64_t address, std::size_t size) const;

  private:
    struct Mapping {
        Memory memory;
        std::size_t size;
    };
    std::map<unsigned, std::map<std::uint64_t, Mapping>> domains_;  // by first address
};

}  // namespace nic82599
