// SPDX-License-Identifier: BSD-2-Clause
// Anonymous shared memory.
#include "daemon/holder/shared_state.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace librettos {

SharedPages::SharedPages(std::size_t bytes) : bytes_(std::max<std::size_t>(bytes, 1)) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "mmap of the memory that holder and engines share");
    }
}

SharedPages::~SharedPages() {
    munmap(memory_, bytes_);
}

}  // namespace librettos
