// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/sysctl.hpp"

#include <fcntl.h>

#include <array>

#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

void write_sysctl(std::string const& name, std::string const& value) {
    std::string const path = "/proc/sys/" + name;
    Descriptor const file = checked_descriptor(open(path.c_str(), O_WRONLY | O_CLOEXEC), "open " + path);
    if (write(file.get(), value.data(), value.size()) < 0) {
        throw_errno(errno, "write '" + value + "' to " + path);
    }
}

std::string read_sysctl(std::string const& name) {
    std::string const path = "/proc/sys/" + name;
    Descriptor const file = checked_descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC), "open " + path);
    std::array<char, 4096> text{};
    ssize_t const length = read(file.get(), text.data(), text.size());
    if (length < 0) {
        throw_errno(errno, "read " + path);
    }
    return {text.data(), static_cast<std::size_t>(length)};
}

}  // namespace librettos::guest
