// SPDX-License-Identifier: BSD-2-Clause
// The portmap's memory. F_SEAL_FUTURE_WRITE (Linux 5.1) leaves the one writable mapping that exists before it, and
// refuses every later one and every write(2), also to who opens the memfd anew through /proc.
#include "drivers/hypervisor/local/portmap_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace librettos {

namespace {

[[noreturn]] void fail(char const* what) {
    throw std::system_error{errno, std::generic_category(), what};
}

}  // namespace

PortmapMemory::PortmapMemory() {
    UniqueFd const memory{::memfd_create("portmap", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!memory || ::ftruncate(memory.get(), LVIF_PORTMAP_BYTES) != 0)
        fail("memfd of the portmap");
    void* address = ::mmap(nullptr, LVIF_PORTMAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    if (address == MAP_FAILED)
        fail("mapping of the portmap");
    table_ = static_cast<lvif_portmap*>(address);
    int const seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    if (::fcntl(memory.get(), F_ADD_SEALS, seals) != 0)
        fail("sealing of the portmap (needs Linux 5.1)");
    reader_ = UniqueFd{::open(("/proc/self/fd/" + std::to_string(memory.get())).c_str(), O_RDONLY | O_CLOEXEC)};
    if (!reader_)
        fail("opening the portmap for reading through /proc/self/fd (is /proc mounted?)");
}

PortmapMemory::~PortmapMemory() {
    ::munmap(table_, LVIF_PORTMAP_BYTES);
}

}  // namespace librettos
