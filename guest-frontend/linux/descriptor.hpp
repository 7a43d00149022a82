// SPDX-License-Identifier: BSD-2-Clause
// A file descriptor with one owner, and the exception for a system call that failed.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace librettos::guest {

class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        if (this != &other) {
            reset(std::exchange(other.fd_, -1));
        }
        return *this;
    }
    Descriptor(Descriptor const&) = delete;
    Descriptor& operator=(Descriptor const&) = delete;
    ~Descriptor() { reset(); }

    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    void reset(int fd = -1) noexcept {
        if (fd_ >= 0) {
            ::close(fd_);
        }
        fd_ = fd;
    }

  private:
    int fd_ = -1;
};

// `tried` says what was tried, and where it helps, what mends it.
[[noreturn]] inline void throw_errno(int error, std::string const& tried) {
    throw std::system_error(error, std::generic_category(), tried);
}

// The descriptor that a system call returned; throws with errno when it is -1.
inline Descriptor checked_descriptor(int fd, std::string const& tried) {
    if (fd < 0) {
        throw_errno(errno, tried);
    }
    return Descriptor(fd);
}

}  // namespace librettos::guest
