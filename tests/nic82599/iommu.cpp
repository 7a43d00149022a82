// SPDX-License-Identifier: BSD-2-Clause
// Look-up in the I/O mappings.
#include "tests/nic82599/iommu.hpp"

#include <cerrno>
#include <iterator>
#include <utility>

namespace nic82599 {

int Iommu::map(unsigned domain, std::uint64_t address, Memory memory, std::size_t size) {
    if (size == 0 || address + size < address) {
        return EINVAL;
    }
    auto& mappings = domains_[domain];
    auto const next = mappings.lower_bound(address);
    if (next != mappings.end() && next->first < address + size) {
        return EEXIST;
    }
    if (next != mappings.begin() && std::prev(next)->first + std::prev(next)->second.size > address) {
        return EEXIST;
    }
    mappings.emplace(address, Mapping{std::move(memory), size});
    return 0;
}

std::size_t Iommu::unmap(unsigned domain, std::uint64_t address, std::size_t size) {
    std::size_t gone = 0;
    auto& mappings = domains_[domain];
    for (auto at = mappings.lower_bound(address);
         at != mappings.end() && at->first + at->second.size <= address + size;) {
        gone += at->second.size;
        at = mappings.erase(at);
    }
    return gone;
}

void Iommu::forget(unsigned domain) {
    domains_.erase(domain);
}

std::uint8_t* Iommu::translate(unsigned domain, std::uint64_t address, std::size_t size) const {
    auto const mappings = domains_.find(domain);
    if (mappings == domains_.end()) {
        return nullptr;
    }
    auto const after = mappings->second.upper_bound(address);
    if (after == mappings->second.begin()) {
        return nullptr;
    }
    auto const& [first, mapping] = *std::prev(after);
    std::uint64_t const within = address - first;
    if (within > mapping.size || size > mapping.size - within) {
        return nullptr;
    }
    return mapping.memory.get() + within;
}

}  // namespace nic82599
