// SPDX-License-Identifier: BSD-2-Clause
// VFIO as DPDK uses it (container, groups, devices; <linux/vfio.h>) without a kernel's: over a Bus. Its descriptors are
// memfds: a device's has the PCI configuration space where programs read it; what they write passes by pwrite().
#pragma once

#include <array>
#include <atomic>
#include <optional>
#include <string_view>
#include <vector>

#include "tests/nic82599/bus.hpp"

namespace nic82599 {

class FakeVfio {
  public:
    FakeVfio(Bus& bus, unsigned vfs) : bus_(bus), vfs_(vfs) {}

    // Empty: the path, descriptor or request is not VFIO's here; else what the system call returns, with errno.
    std::optional<int> open(std::string_view path);
    std::optional<int> ioctl(int fd, unsigned long request, void* argument);
    std::optional<void*> mmap(void* address, std::size_t size, int flags, int fd, std::uint64_t offset);
    std::optional<ssize_t> pwrite(int fd, void const* bytes, std::size_t size, std::uint64_t offset);
    void close(int fd);
    // Kernel modules that DPDK asks for.
    static bool is_module(std::string_view path);

    // The one that the calls of this process go to (libc_calls.cpp); nullptr: the kernel.
    static void serve(FakeVfio* vfio);
    static FakeVfio* serving();

  private:
    int container_ioctl(unsigned long request, void* argument);
    int group_ioctl(Function function, unsigned long request, void* argument);
    int device_ioctl(Function function, unsigned long request, void* argument);
    int region_info(Function function, void* argument) const;
    int set_irqs(Function function, void* argument);
    int open_device(Function function);

    // What a descriptor is, without a lock: a forked child must find none taken.
    enum class Kind : std::uint8_t { none, container, group, device };
    struct alignas(2) Descriptor {  // as its atomic is: clang calls a library for one that may lie askew
        Kind kind = Kind::none;
        std::int8_t function = 0;
    };
    Descriptor find(int fd) const;
    int remember(int fd, Kind kind, Function function);
    static Function function_of(Descriptor descriptor) {
        return descriptor.function < 0 ? Function::pf() : Function::vf(static_cast<unsigned>(descriptor.function));
    }

    static constexpr std::size_t most_descriptors = 16384;
    Bus& bus_;
    unsigned vfs_;
    std::vector<std::atomic<Descriptor>> descriptors_{most_descriptors};
    std::array<std::atomic<bool>, 65> in_container_{};  // by function number + 1
};

}  // namespace nic82599
