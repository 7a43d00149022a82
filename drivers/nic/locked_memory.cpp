// SPDX-License-Identifier: BSD-2-Clause
// Allocation, pin and layout of memory for devices.
#include "drivers/nic/locked_memory.hpp"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

namespace librettos {
namespace {

std::string reason(int error) {
    return std::generic_category().message(error);
}

std::string mib_text(std::size_t bytes) {
    return std::to_string(bytes >> 20) + " MiB";
}

[[noreturn]] void refuse_memory(std::size_t bytes, char const* call, int error) {
    throw DmaRefused("no " + mib_text(bytes) + " of memory for the NIC (" + call + ": " + reason(error) + ")",
                     error == EPERM || error == EAGAIN
                         ? "let it lock memory: LimitMEMLOCK=infinity in the unit, ulimit -l unlimited in a shell"
                         : "write a smaller port.memory_mib, or give this domain more memory");
}

[[noreturn]] void refuse_pin(char const* call, int error) {
    throw DmaRefused(
        "the memory for the NIC cannot be pinned (" + std::string(call) + ": " + reason(error) + ")",
        "allow io_uring_setup and io_uring_register (SystemCallFilter=, kernel.io_uring_disabled) and lock "
        "memory (LimitMEMLOCK=infinity)");
}

std::size_t map_limit() {
    std::size_t limit = 65530;  // the kernel's default
    std::ifstream("/proc/sys/vm/max_map_count") >> limit;
    return limit;
}

// What the kernel would rather kill processes for than refuse.
std::size_t available_bytes() {
    std::ifstream file("/proc/meminfo");
    for (std::string word; file >> word;) {
        if (std::size_t kib = 0; word == "MemAvailable:" && file >> kib) {
            return kib << 10;
        }
    }
    return 0;
}

}  // namespace

LockedMemory::LockedMemory(std::size_t bytes) : bytes_(bytes) {
    try {
        allocate();
        pin();
    } catch (...) {
        release();
        throw;
    }
}

LockedMemory::~LockedMemory() {
    release();
}

LockedMemory::LockedMemory(LockedMemory&& other) noexcept
    : bytes_(other.bytes_),
      memory_fd_(std::exchange(other.memory_fd_, -1)),
      pin_fd_(std::exchange(other.pin_fd_, -1)),
      allocated_(std::exchange(other.allocated_, nullptr)),
      reserved_(std::exchange(other.reserved_, {})) {
}

void LockedMemory::release() noexcept {
    if (allocated_ != nullptr) {
        munmap(allocated_, bytes_);
    }
    for (auto const part : reserved_) {
        munmap(part.data(), part.size());
    }
    for (int const fd : {memory_fd_, pin_fd_}) {
        if (fd >= 0) {
            close(fd);
        }
    }
}

void LockedMemory::allocate() {
    constexpr std::size_t left_for_others = std::size_t{64} << 20;
    if (bytes_ + left_for_others > available_bytes()) {
        refuse_memory(bytes_, "/proc/meminfo", ENOMEM);
    }
    memory_fd_ = memfd_create("librettos-dma", MFD_CLOEXEC);
    if (memory_fd_ < 0) {
        refuse_memory(bytes_, "memfd_create", errno);
    }
    // Allocates at once: a machine without room says so here, not with a signal later. What io_uring still has to do
    // for an earlier ring interrupts it (met in a dom0); nothing of it is left then.
    int error = 0;
    do {
        error = fallocate(memory_fd_, 0, 0, static_cast<off_t>(bytes_)) == 0 ? 0 : errno;
    } while (error == EINTR);
    if (error != 0) {
        refuse_memory(bytes_, "fallocate", error);
    }
    void* const mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory_fd_, 0);
    if (mapped == MAP_FAILED) {
        refuse_memory(bytes_, "mmap", errno);
    }
    allocated_ = static_cast<std::byte*>(mapped);
}

void LockedMemory::pin() {
    io_uring_params parameters{};
    pin_fd_ = static_cast<int>(syscall(SYS_io_uring_setup, 1, &parameters));
    if (pin_fd_ < 0) {
        refuse_pin("io_uring_setup", errno);
    }
    constexpr std::size_t buffer_bytes = std::size_t{1} << 30;  // the most that one registered buffer has
    std::vector<iovec> buffers;
    for (std::size_t at = 0; at < bytes_; at += buffer_bytes) {
        buffers.push_back({allocated_ + at, std::min(buffer_bytes, bytes_ - at)});
    }
    if (syscall(SYS_io_uring_register, pin_fd_, IORING_REGISTER_BUFFERS, buffers.data(), buffers.size()) != 0) {
        refuse_pin("io_uring_register", errno);
    }
}

std::vector<std::byte*> LockedMemory::lay_out(PageLayout const& layout) {
    constexpr std::size_t room_for_others = 4096;
    std::size_t const needed = mappings_of(layout) + room_for_others;
    if (std::size_t const limit = map_limit(); needed > limit) {
        throw DmaRefused(
            "the pages for the NIC are so scattered that they need " + std::to_string(needed) +
                " mappings, and a process may have " + std::to_string(limit),
            "sysctl -w vm.max_map_count=" + std::to_string(needed) + ", or write a smaller port.memory_mib");
    }
    std::vector<std::byte*> addresses;
    for (auto const& region : layout.contiguous) {
        addresses.push_back(place(region));
    }
    addresses.push_back(place(layout.rest));
    munmap(std::exchange(allocated_, nullptr), bytes_);
    return addresses;
}

std::byte* LockedMemory::place(std::vector<MachinePage> const& region) {
    if (region.empty()) {
        return nullptr;
    }
    std::size_t const bytes = region.size() * page_bytes;
    std::size_t const space = bytes + congruence;
    void* const reserved = mmap(nullptr, space, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) {
        refuse_memory(bytes, "mmap", errno);
    }
    auto* const base = static_cast<std::byte*>(reserved);
    reserved_.emplace_back(base, space);
    auto const wanted = region.front().machine_frame * page_bytes % congruence;
    auto const have = reinterpret_cast<std::uintptr_t>(base) % congruence;
    std::byte* const address = base + (wanted + congruence - have) % congruence;
    for (std::size_t first = 0, i = 1; i <= region.size(); ++i) {
        if (i < region.size() && region[i].page == region[i - 1].page + 1) {
            continue;
        }
        void* const at = mmap(address + first * page_bytes, (i - first) * page_bytes, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_FIXED | MAP_POPULATE, memory_fd_,
                              static_cast<off_t>(region[first].page * page_bytes));
        if (at == MAP_FAILED) {
            refuse_memory(bytes, "mmap", errno);
        }
        first = i;
    }
    if (mlock(address, bytes) != 0) {
        refuse_memory(bytes, "mlock", errno);
    }
    return address;
}

std::vector<std::uint64_t> frames_of(std::byte const* first, std::size_t pages, char const* pagemap) {
    constexpr std::uint64_t present = std::uint64_t{1} << 63;
    constexpr std::uint64_t frame_mask = (std::uint64_t{1} << 55) - 1;
    std::vector<std::uint64_t> frames(pages);
    int const fd = open(pagemap, O_RDONLY | O_CLOEXEC);
    auto const at = reinterpret_cast<std::uintptr_t>(first) / page_bytes * sizeof(std::uint64_t);
    std::size_t const wanted = pages * sizeof(std::uint64_t);
    bool known = fd >= 0 && pread(fd, frames.data(), wanted, static_cast<off_t>(at)) == static_cast<ssize_t>(wanted);
    if (fd >= 0) {
        close(fd);
    }
    for (auto& frame : frames) {
        known = known && (frame & present) != 0 && (frame & frame_mask) != 0;
        frame &= frame_mask;
    }
    if (!known) {
        throw DmaRefused("the kernel does not tell this process where its memory is (/proc/self/pagemap)",
                         "run it as root with CAP_SYS_ADMIN (CapabilityBoundingSet= in the unit)");
    }
    return frames;
}

}  // namespace librettos
