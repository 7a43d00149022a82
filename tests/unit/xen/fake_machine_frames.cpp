// SPDX-License-Identifier: BSD-2-Clause
// libxencall and libxenforeignmemory on a machine's frames: the table is mapped from DOMID_XEN, memory from DOMID_SELF.
#include "tests/unit/xen/fake_machine_frames.hpp"

extern "C" {  // the headers do not say so
#include <xencall.h>
#include <xenforeignmemory.h>
}

#include <sys/mman.h>
#include <xen/memory.h>
#include <xen/xen.h>

#include <cerrno>
#include <cstdlib>

using librettos::test::FakeMachineFrames;

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::uint64_t entries_per_page = page_bytes / sizeof(std::uint64_t);
constexpr std::uint64_t table_pages_per_extent = 512;
constexpr std::uint64_t table_at = 0x700'0000;  // the machine frame of the table's first page

int open_handle;

// 0 or -errno: what Xen says about mapping this frame of that domain.
int fill(std::uint32_t domain, std::uint64_t frame, std::uint64_t* page) {
    auto& machine = FakeMachineFrames::machine();
    if (domain == DOMID_SELF) {
        auto const found = machine.own.find(frame);
        if (found == machine.own.end())
            return -EINVAL;
        page[0] = found->second;
        return 0;
    }
    auto const in_table = frame - table_at;
    if (domain != DOMID_XEN || frame < table_at || in_table >= machine.extents * table_pages_per_extent ||
        machine.holes.contains(in_table / table_pages_per_extent))
        return -EINVAL;
    for (std::uint64_t i = 0; i < entries_per_page; ++i) {
        auto const found = machine.table.find(in_table * entries_per_page + i);
        page[i] = found == machine.table.end() ? FakeMachineFrames::nobody : found->second;
    }
    return 0;
}

int list_table(xen_machphys_mfn_list& list) {
    auto& machine = FakeMachineFrames::machine();
    for (list.nr_extents = 0; list.nr_extents < machine.extents && list.nr_extents < list.max_extents;
         ++list.nr_extents) {
        std::uint64_t const extent = list.nr_extents;
        list.extent_start[extent] = machine.holes.contains(extent) ? 0 : table_at + extent * table_pages_per_extent;
    }
    return 0;
}

}  // namespace

namespace librettos::test {

FakeMachineFrames& FakeMachineFrames::machine() {
    static FakeMachineFrames frames;
    return frames;
}

bool FakeMachineFrames::fault() {
    if (++calls != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

}  // namespace librettos::test

extern "C" {

xencall_handle* xencall_open(xentoollog_logger*, unsigned) {
    if (FakeMachineFrames::machine().fault())
        return nullptr;
    ++FakeMachineFrames::machine().handles;
    return reinterpret_cast<xencall_handle*>(&open_handle);
}

int xencall_close(xencall_handle* handle) {
    if (handle != nullptr)
        --FakeMachineFrames::machine().handles;
    return 0;
}

void* xencall_alloc_buffer(xencall_handle*, size_t bytes) {
    if (FakeMachineFrames::machine().fault())
        return nullptr;
    ++FakeMachineFrames::machine().buffers;
    return std::malloc(bytes);
}

void xencall_free_buffer(xencall_handle*, void* buffer) {
    --FakeMachineFrames::machine().buffers;
    std::free(buffer);
}

long xencall2L(xencall_handle*, unsigned call, uint64_t operation, uint64_t) {
    auto& machine = FakeMachineFrames::machine();
    if (machine.fault())
        return -1;
    if (call != __HYPERVISOR_memory_op || operation != XENMEM_maximum_ram_page) {
        errno = ENOSYS;
        return -1;
    }
    return static_cast<long>(machine.extents * FakeMachineFrames::frames_per_extent - 1);
}

int xencall2(xencall_handle*, unsigned call, uint64_t operation, uint64_t argument) {
    if (FakeMachineFrames::machine().fault())
        return -1;
    if (call != __HYPERVISOR_memory_op || operation != XENMEM_machphys_mfn_list) {
        errno = ENOSYS;
        return -1;
    }
    return list_table(*reinterpret_cast<xen_machphys_mfn_list*>(argument));
}

xenforeignmemory_handle* xenforeignmemory_open(xentoollog_logger*, unsigned) {
    if (FakeMachineFrames::machine().fault())
        return nullptr;
    ++FakeMachineFrames::machine().handles;
    return reinterpret_cast<xenforeignmemory_handle*>(&open_handle);
}

int xenforeignmemory_close(xenforeignmemory_handle* handle) {
    if (handle != nullptr)
        --FakeMachineFrames::machine().handles;
    return 0;
}

void* xenforeignmemory_map(xenforeignmemory_handle*, uint32_t domain, int protection, size_t pages,
                           xen_pfn_t const* frames, int* errors) {
    auto& machine = FakeMachineFrames::machine();
    if (machine.fault())
        return nullptr;
    if (domain == DOMID_XEN && !machine.control_domain) {
        errno = EPERM;
        return nullptr;
    }
    if (protection != PROT_READ || pages == 0 || errors == nullptr) {
        errno = EINVAL;
        return nullptr;
    }
    auto* const memory = static_cast<std::byte*>(
        mmap(nullptr, pages * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (size_t i = 0; i < pages; ++i) {
        auto* const page = memory + i * page_bytes;
        errors[i] = fill(domain, frames[i], reinterpret_cast<std::uint64_t*>(page));
        if (errors[i] != 0)
            mprotect(page, page_bytes, PROT_NONE);  // touching it is a bug
    }
    ++machine.mappings;
    return memory;
}

int xenforeignmemory_unmap(xenforeignmemory_handle*, void* memory, size_t pages) {
    --FakeMachineFrames::machine().mappings;
    return munmap(memory, pages * page_bytes);
}
}
