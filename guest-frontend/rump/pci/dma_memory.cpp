// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/pci/dma_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <new>
#include <utility>

#include "guest-frontend/process/say.hpp"

namespace librettos::guest {

namespace {

constexpr std::size_t unit = 64;  // of sizes and addresses: a cache line

std::size_t rounded(std::size_t bytes, std::size_t step) {
    return (bytes + step - 1) / step * step;
}

}  // namespace

DmaMemory::DmaMemory() : file_(checked_descriptor(memfd_create("rump kernel", MFD_CLOEXEC), "make memory for DMA")) {
    // Aligned to a chunk, of which the rest is given back by the same call.
    void* const place =
        mmap(nullptr, most_bytes + chunk_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) {
        throw_errno(errno, "reserve addresses for the rump kernel's memory (ulimit -v?)");
    }
    auto const first = reinterpret_cast<std::uintptr_t>(place);
    std::size_t const before = rounded(first, chunk_bytes) - first;
    base_ = static_cast<std::byte*>(place) + before;
    if (before != 0) {
        munmap(place, before);
    }
    if (before != chunk_bytes) {
        munmap(base_ + most_bytes, chunk_bytes - before);
    }
}

DmaMemory::~DmaMemory() {
    munmap(base_, most_bytes);
}

void* DmaMemory::allocate(std::size_t bytes, std::size_t alignment) {
    if (bytes == 0 || bytes > most_bytes || alignment > chunk_bytes) {
        return nullptr;
    }
    bytes = rounded(bytes, unit);
    alignment = std::max(alignment, unit);
    std::lock_guard const lock(mutex_);
    void* const taken = take(bytes, alignment);
    return taken != nullptr || !grow(bytes) ? taken : take(bytes, alignment);
}

// The first that fits: memory stays dense, and what is at its end is free longest.
void* DmaMemory::take(std::size_t bytes, std::size_t alignment) {
    for (auto at = free_.begin(); at != free_.end(); ++at) {
        auto const [offset, size] = *at;
        std::size_t const start = rounded(offset, alignment);
        if (start + bytes > offset + size) {
            continue;
        }
        std::size_t const after = offset + size - start - bytes;
        if (start == offset) {
            free_.erase(at);
        } else {
            at->second = start - offset;
        }
        if (after != 0) {
            free_.emplace(start + bytes, after);
        }
        return base_ + start;
    }
    return nullptr;
}

void DmaMemory::free(void* memory, std::size_t bytes) {
    std::lock_guard const lock(mutex_);
    add_free(offset_of(memory), rounded(bytes, unit));
}

void DmaMemory::add_free(std::size_t offset, std::size_t bytes) {
    auto next = free_.upper_bound(offset);
    if (next != free_.end() && offset + bytes == next->first) {
        bytes += next->second;
        next = free_.erase(next);
    }
    if (next != free_.begin()) {
        if (auto const before = std::prev(next); before->first + before->second == offset) {
            before->second += bytes;
            return;
        }
    }
    free_.emplace(offset, bytes);
}

bool DmaMemory::grow(std::size_t bytes) {
    std::size_t const more = rounded(bytes, chunk_bytes);
    if (more > most_bytes - size_ || ftruncate(file_.get(), static_cast<off_t>(size_ + more)) != 0) {
        return false;
    }
    void* const chunk = mmap(base_ + size_, more, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file_.get(),
                             static_cast<off_t>(size_));
    if (chunk == MAP_FAILED) {
        return false;
    }
    try {
        if (map_) {
            map_(chunk, first_bus_address + size_, more);
        }
    } catch (std::exception const& error) {
        say(error.what());
        return false;
    }
    add_free(std::exchange(size_, size_ + more), more);
    return true;
}

bool DmaMemory::owns(void const* memory) const {
    return memory >= base_ && memory < base_ + most_bytes;
}

std::uint64_t DmaMemory::bus_address(void const* memory) const {
    return first_bus_address + offset_of(memory);
}

void DmaMemory::show_to(MapForDevice map) {
    std::lock_guard const lock(mutex_);
    if (map && size_ != 0) {
        map(base_, first_bus_address, size_);
    }
    map_ = std::move(map);
}

}  // namespace librettos::guest
