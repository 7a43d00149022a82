// SPDX-License-Identifier: BSD-2-Clause
// Memory that a device may read and write: all that a rump kernel has, since any of its buffers may become a frame's.
//
// Chunks of a memory file, one after the other at addresses that were reserved at first, so that a bus address is an
// address less a constant, small enough for any IOMMU. A chunk is mapped for the device when it is made, and stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

class DmaMemory {
  public:
    // Makes bytes at an address visible to the device at a bus address; throws when it cannot.
    using MapForDevice = std::function<void(void* memory, std::uint64_t bus_address, std::size_t bytes)>;

    static constexpr std::size_t chunk_bytes = std::size_t{16} << 20;
    static constexpr std::size_t most_bytes = std::size_t{16} << 30;
    static constexpr std::uint64_t first_bus_address = std::uint64_t{1} << 32;  // above what PCs keep for themselves

    // Throws std::system_error.
    DmaMemory();
    ~DmaMemory();
    DmaMemory(DmaMemory const&) = delete;
    DmaMemory& operator=(DmaMemory const&) = delete;

    // `alignment`: a power of two, at most a chunk's size. Null: there is no more, or the device cannot be given more.
    void* allocate(std::size_t bytes, std::size_t alignment);
    void free(void* memory, std::size_t bytes);
    bool owns(void const* memory) const;
    // Of what it owns.
    std::uint64_t bus_address(void const* memory) const;
    // For all that there is, and for what will be; null: for nothing more.
    void show_to(MapForDevice map);

  private:
    std::size_t offset_of(void const* memory) const {
        return static_cast<std::size_t>(static_cast<std::byte const*>(memory) - base_);
    }
    void* take(std::size_t bytes, std::size_t alignment);
    void add_free(std::size_t offset, std::size_t bytes);
    bool grow(std::size_t bytes);

    std::byte* base_ = nullptr;
    Descriptor file_;
    std::mutex mutex_;
    std::size_t size_ = 0;
    std::map<std::size_t, std::size_t> free_;  // bytes by offset; neighbours are joined
    MapForDevice map_;
};

}  // namespace librettos::guest
