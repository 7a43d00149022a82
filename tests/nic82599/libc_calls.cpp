// SPDX-License-Identifier: BSD-2-Clause
// System calls on their way to a FakeVfio or to the kernel. Not from <fcntl.h>: its declarations bind names to others.
#include "tests/nic82599/libc_calls.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <cstring>

#include "tests/nic82599/mmio_trap.hpp"

namespace nic82599 {
namespace {

constexpr int at_current_folder = -100;  // AT_FDCWD

int do_open(char const* path, int flags, unsigned mode) {
    if (FakeVfio* const vfio = FakeVfio::serving(); vfio != nullptr) {
        if (auto const fd = vfio->open(path)) {
            return *fd;
        }
    }
    return static_cast<int>(syscall(SYS_openat, at_current_folder, path, flags, mode));
}

void* do_mmap(void* address, std::size_t size, int protection, int flags, int fd, off_t offset) {
    if (FakeVfio* const vfio = FakeVfio::serving(); vfio != nullptr && fd >= 0) {
        if (auto const place = vfio->mmap(address, size, flags, fd, static_cast<std::uint64_t>(offset))) {
            return *place;
        }
    }
    long const place = syscall(SYS_mmap, address, size, protection, flags, fd, offset);
    return place == -1 ? MAP_FAILED : reinterpret_cast<void*>(place);
}

ssize_t do_pwrite(int fd, void const* bytes, std::size_t size, off_t offset) {
    if (FakeVfio* const vfio = FakeVfio::serving(); vfio != nullptr) {
        if (auto const result = vfio->pwrite(fd, bytes, size, static_cast<std::uint64_t>(offset))) {
            return *result;
        }
    }
    return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

int do_stat(char const* path, void* result) {
    if (FakeVfio::serving() != nullptr && FakeVfio::is_module(path)) {
        auto* const status = static_cast<struct stat*>(result);
        std::memset(status, 0, sizeof *status);
        status->st_mode = S_IFDIR | 0755;
        return 0;
    }
    return static_cast<int>(syscall(SYS_newfstatat, at_current_folder, path, result, 0));
}

}  // namespace

void route_libc_calls(FakeVfio* vfio) {
    if (vfio != nullptr) {
        install_mmio_trap();
    }
    FakeVfio::serve(vfio);
}

}  // namespace nic82599

extern "C" {

int open(char const* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    unsigned const mode = va_arg(rest, unsigned);
    va_end(rest);
    return nic82599::do_open(path, flags, mode);
}

int open64(char const* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    unsigned const mode = va_arg(rest, unsigned);
    va_end(rest);
    return nic82599::do_open(path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...) noexcept {
    va_list rest;
    va_start(rest, request);
    void* const argument = va_arg(rest, void*);
    va_end(rest);
    if (nic82599::FakeVfio* const vfio = nic82599::FakeVfio::serving(); vfio != nullptr) {
        if (auto const result = vfio->ioctl(fd, request, argument)) {
            return *result;
        }
    }
    return static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
}

void* mmap(void* address, std::size_t size, int protection, int flags, int fd, off_t offset) noexcept {
    return nic82599::do_mmap(address, size, protection, flags, fd, offset);
}

void* mmap64(void* address, std::size_t size, int protection, int flags, int fd, off_t offset) noexcept {
    return nic82599::do_mmap(address, size, protection, flags, fd, offset);
}

ssize_t pwrite(int fd, void const* bytes, std::size_t size, off_t offset) {
    return nic82599::do_pwrite(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, void const* bytes, std::size_t size, off64_t offset) {
    return nic82599::do_pwrite(fd, bytes, size, offset);
}

int munmap(void* address, std::size_t size) noexcept {
    if (nic82599::FakeVfio::serving() != nullptr) {
        nic82599::remove_bar(address);
    }
    return static_cast<int>(syscall(SYS_munmap, address, size));
}

int close(int fd) {
    if (nic82599::FakeVfio* const vfio = nic82599::FakeVfio::serving(); vfio != nullptr) {
        vfio->close(fd);
    }
    return static_cast<int>(syscall(SYS_close, fd));
}

int stat(char const* path, struct stat* result) noexcept {
    return nic82599::do_stat(path, result);
}

int stat64(char const* path, struct stat64* result) noexcept {
    return nic82599::do_stat(path, result);
}

}  // extern "C"
