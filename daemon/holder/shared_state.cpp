// SPDX-License-Identifier: BSD-2-Clause
// Anonymous shared memory.
#include "daemon/holder/shared_state.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <system_error>

namespace librettos {

InFlightMemory::InFlightMemory(std::uint16_t data_threads) : bytes_(data_threads * sizeof(InFlight)) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "mmap of the data threads' shared memory");
    }
}

InFlightMemory::~InFlightMemory() {
    munmap(memory_, bytes_);
}

}  // namespace librettos
