// SPDX-License-Identifier: BSD-2-Clause
// libxengnttab and the driver's unmap notification on the fake machine: pages are really mapped, a batch wholly or not
// at all.
extern "C" {  // the headers do not say so
#include <xengnttab.h>
}

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/gntdev.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <memory>

#include "tests/unit/xen/fake_handles.hpp"
#include "tests/unit/xen/fake_xen.hpp"

using librettos::test::FakeXen;

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr int fake_fd = 1 << 20;  // no real one
constexpr std::uint64_t first_index = 1ULL << 20;

struct Mapped {
    std::vector<std::pair<std::uint16_t, std::uint32_t>> grants;
    std::uint64_t index = 0;  // where the driver says that it begins
    std::uint64_t notify_index = 0;
    std::uint32_t notify_port = 0;
};

}  // namespace

struct xengntdev_handle {
    std::map<std::byte*, Mapped> mappings;
    std::uint64_t next_index = first_index;
};

namespace {

xengnttab_handle* only_handle = nullptr;

void end_mapping(std::byte* address, Mapped const& mapped) {
    auto& xen = FakeXen::machine();
    if (mapped.notify_index != 0) {
        address[mapped.notify_index - mapped.index] = std::byte{0};
        for (auto& [at, end] : xen.events) {
            if (end.server_port != 0 && static_cast<std::uint32_t>(end.server_port) == mapped.notify_port)
                ++end.received;
        }
    }
    for (auto const& grant : mapped.grants)
        --xen.grants.at(grant).mapped;
    xen.mapped_pages -= static_cast<int>(mapped.grants.size());
    munmap(address, mapped.grants.size() * page_bytes);
}

// The status that the hypervisor gives one operation.
bool grantable(std::uint16_t domain, std::uint32_t reference, bool write) {
    auto& xen = FakeXen::machine();
    auto const found = xen.grants.find({domain, reference});
    return xen.domains.contains(domain) && found != xen.grants.end() && found->second.to == xen.server &&
           !(write && found->second.read_only);
}

std::byte* map_pages(FakeXen& xen, std::vector<std::pair<std::uint16_t, std::uint32_t>> const& grants, int prot) {
    std::size_t const bytes = grants.size() * page_bytes;
    auto* const base = static_cast<std::byte*>(mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (std::size_t i = 0; i < grants.size(); ++i) {
        mmap(base + i * page_bytes, page_bytes, prot, MAP_SHARED | MAP_FIXED, xen.memory_fd,
             static_cast<off_t>(xen.grants.at(grants[i]).page * page_bytes));
    }
    return base;
}

}  // namespace

extern "C" {

xengnttab_handle* xengnttab_open(xentoollog_logger*, unsigned) {
    if (FakeXen::machine().fault("xengnttab_open"))
        return nullptr;
    FakeXen::machine().open_grant_tables++;
    return only_handle = new xengntdev_handle;
}

int xengnttab_close(xengnttab_handle* handle) {
    for (auto const& [address, mapped] : handle->mappings)
        end_mapping(address, mapped);
    FakeXen::machine().open_grant_tables--;
    delete handle;
    only_handle = nullptr;
    return 0;
}

int xengnttab_fd(xengnttab_handle*) {
    return fake_fd;
}

void* xengnttab_map_domain_grant_refs(xengnttab_handle* handle, std::uint32_t count, std::uint32_t domain,
                                      std::uint32_t* references, int prot) {
    auto& xen = FakeXen::machine();
    if (xen.fault("xengnttab_map_domain_grant_refs"))
        return nullptr;
    std::vector<std::pair<std::uint16_t, std::uint32_t>> grants;
    for (std::uint32_t i = 0; i < count; ++i) {
        grants.emplace_back(static_cast<std::uint16_t>(domain), references[i]);
        if (!grantable(grants.back().first, references[i], (prot & PROT_WRITE) != 0)) {
            errno = EINVAL;
            return nullptr;
        }
    }
    auto* const address = map_pages(xen, grants, prot);
    for (auto const& grant : grants)
        ++xen.grants.at(grant).mapped;
    xen.mapped_pages += static_cast<int>(count);
    xen.largest_batch = std::max(xen.largest_batch, std::size_t{count});
    handle->mappings[address] = {std::move(grants), handle->next_index, 0, 0};
    handle->next_index += (std::uint64_t{count} + 1) * page_bytes;
    return address;
}

void* xengnttab_map_grant_ref(xengnttab_handle* handle, std::uint32_t domain, std::uint32_t reference, int prot) {
    return xengnttab_map_domain_grant_refs(handle, 1, domain, &reference, prot);
}

int xengnttab_unmap(xengnttab_handle* handle, void* address, std::uint32_t count) {
    auto const found = handle->mappings.find(static_cast<std::byte*>(address));
    if (found == handle->mappings.end() || found->second.grants.size() != count) {
        errno = EINVAL;
        return -1;
    }
    end_mapping(found->first, found->second);
    handle->mappings.erase(found);
    return 0;
}

// ld --wrap=ioctl: the driver's calls that the library does not make for a mapping of several pages.
int __real_ioctl(int fd, unsigned long request, void* argument);
int __wrap_ioctl(int fd, unsigned long request, ...) {
    std::va_list arguments;
    va_start(arguments, request);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);
    if (fd != fake_fd)
        return __real_ioctl(fd, request, argument);
    auto& xen = FakeXen::machine();
    if (xen.fault("ioctl"))
        return -1;
    if (request == IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR) {
        auto& place = *static_cast<ioctl_gntdev_get_offset_for_vaddr*>(argument);
        auto const found = only_handle->mappings.find(reinterpret_cast<std::byte*>(place.vaddr));
        if (found != only_handle->mappings.end()) {
            place.offset = found->second.index;
            place.count = static_cast<std::uint32_t>(found->second.grants.size());
            return 0;
        }
    } else if (request == IOCTL_GNTDEV_SET_UNMAP_NOTIFY) {
        auto const& notify = *static_cast<ioctl_gntdev_unmap_notify const*>(argument);
        bool const known_port = std::any_of(xen.events.begin(), xen.events.end(), [&](auto const& each) {
            return each.second.server_port == static_cast<int>(notify.event_channel_port);
        });
        for (auto& [address, mapped] : only_handle->mappings) {
            bool const inside =
                notify.index >= mapped.index && notify.index < mapped.index + mapped.grants.size() * page_bytes;
            if (inside && known_port && notify.action == (UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT)) {
                mapped.notify_index = notify.index;
                mapped.notify_port = notify.event_channel_port;
                return 0;
            }
        }
    }
    errno = EINVAL;
    return -1;
}
}
