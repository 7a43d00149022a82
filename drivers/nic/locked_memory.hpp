// SPDX-License-Identifier: BSD-2-Clause
// Memory whose pages stay where they are: shared with children, in RAM, and pinned.
//
// Locking (mlock) keeps pages in RAM but lets the kernel move them to make room for large allocations (compaction).
// What forbids that is a pin for the life of the memory, which the kernel gives to whoever registers buffers with
// io_uring. A page in use is neither ballooned away: the balloon driver takes free pages only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "drivers/nic/page_runs.hpp"

namespace librettos {

inline constexpr std::size_t page_bytes = 4096;

// Memory for DMA cannot be had, or its addresses cannot be known.
class DmaRefused : public std::runtime_error {
  public:
    DmaRefused(std::string const& why, std::string way_out) : std::runtime_error(why), mend(std::move(way_out)) {}
    std::string mend;
};

class LockedMemory {
  public:
    // `bytes` are a multiple of the page size. Throws DmaRefused.
    explicit LockedMemory(std::size_t bytes);
    ~LockedMemory();
    LockedMemory(LockedMemory&& other) noexcept;
    LockedMemory& operator=(LockedMemory&&) = delete;

    // As it was allocated; empty once it is laid out.
    std::span<std::byte> bytes() const { return {allocated_, allocated_ == nullptr ? 0 : bytes_}; }

    // Gives the pages new addresses, in that order, and takes those of bytes() away. Each region's address is the
    // machine's modulo `congruence`: what is aligned here, or within a boundary, is so in the machine.
    static constexpr std::size_t congruence = std::size_t{2} << 20;
    std::vector<std::byte*> lay_out(PageLayout const& layout);

    // Held by every process that has it; the pages stay pinned until the last is closed.
    int pin_fd() const { return pin_fd_; }

  private:
    void allocate();
    void pin();
    std::byte* place(std::vector<MachinePage> const& region);
    void release() noexcept;

    std::size_t bytes_ = 0;
    int memory_fd_ = -1;
    int pin_fd_ = -1;
    std::byte* allocated_ = nullptr;
    std::vector<std::span<std::byte>> reserved_;  // address space of the regions
};

// The kernel's frame number of each page from there on. Throws DmaRefused when it does not tell.
std::vector<std::uint64_t> frames_of(std::byte const* first, std::size_t pages,
                                     char const* pagemap = "/proc/self/pagemap");

}  // namespace librettos
