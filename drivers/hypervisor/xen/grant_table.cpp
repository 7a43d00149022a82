// SPDX-License-Identifier: BSD-2-Clause
// Mapping granted memory.
#include "drivers/hypervisor/xen/grant_table.hpp"

#include <librettos/grant_directory.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/gntdev.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <system_error>

#include "drivers/hypervisor/xen/quiet_log.hpp"

namespace librettos {

namespace {

constexpr std::size_t page_bytes = LVIF_PAGE_BYTES;

// Pages mapped from one guest, while the object lives.
class GrantMapping final : public Mapping {
  public:
    GrantMapping(xengnttab_handle* handle, void* address, std::uint32_t pages)
        : handle_(handle), address_(address), pages_(pages) {}
    ~GrantMapping() override {
        [[maybe_unused]] int const failed = xengnttab_unmap(handle_, address_, pages_);
        assert(failed == 0);  // it takes back what it gave
    }
    GrantMapping(GrantMapping const&) = delete;
    GrantMapping& operator=(GrantMapping const&) = delete;
    std::span<std::byte> bytes() const override {
        return {static_cast<std::byte*>(address_), std::size_t{pages_} * page_bytes};
    }

  private:
    xengnttab_handle* handle_;
    void* address_;
    std::uint32_t pages_;
};

[[noreturn]] void refuse(DomId domain, std::uint32_t grant, std::string const& why) {
    throw std::system_error(
        EINVAL, std::generic_category(),
        "grant directory " + std::to_string(grant) + " of domain " + std::to_string(domain.value) + ": " + why);
}

std::string grants_of(DomId domain, std::uint32_t count) {
    return std::to_string(count) + (count == 1 ? " grant" : " grants") + " of domain " + std::to_string(domain.value);
}

lvif_grant_directory copy_directory(xengnttab_handle* handle, DomId domain, std::uint32_t grant) {
    void* const page = xengnttab_map_grant_ref(handle, domain.value, grant, PROT_READ);
    if (page == nullptr)
        throw std::system_error(
            errno, std::generic_category(),
            "mapping grant directory " + std::to_string(grant) + " of domain " + std::to_string(domain.value));
    GrantMapping const mapping(handle, page, 1);
    lvif_grant_directory copy;
    std::memcpy(&copy, mapping.bytes().data(), sizeof copy);
    return copy;
}

}  // namespace

GrantTable::GrantTable() : handle_(xengnttab_open(quiet_log(), 0)) {
    if (!handle_)
        throw std::system_error(errno, std::generic_category(),
                                "opening /dev/xen/gntdev (modprobe xen-gntdev; only root may)");
}

std::vector<std::uint32_t> GrantTable::read_directory(DomId domain, std::uint32_t grant, std::uint32_t pages) {
    std::vector<std::uint32_t> grants;
    grants.reserve(pages);
    std::uint32_t const directories = lvif_directory_pages(pages);
    for (std::uint32_t index = 0; index < directories; ++index) {
        auto const directory = copy_directory(handle_.get(), domain, grant);
        if (directory.magic != LVIF_DIRECTORY_MAGIC || directory.version != LVIF_DIRECTORY_VERSION)
            refuse(domain, grant, "no directory of version " + std::to_string(LVIF_DIRECTORY_VERSION));
        std::uint32_t const count = lvif_directory_count(pages, index);
        if (directory.count != count)
            refuse(domain, grant, "lists " + std::to_string(directory.count) + " pages, not " + std::to_string(count));
        bool const is_last = index + 1 == directories;
        if ((directory.next == 0) != is_last)
            refuse(domain, grant, is_last ? "goes on after the region's last page" : "ends too early");
        grants.insert(grants.end(), directory.grant, directory.grant + count);
        grant = directory.next;
    }
    return grants;
}

// xengnttab can do this for a mapping of one page only; the driver underneath does it for any.
void GrantTable::set_life_sign(void* address, LifeSign const& life_sign) {
    int const fd = xengnttab_fd(handle_.get());
    ioctl_gntdev_get_offset_for_vaddr place{};
    place.vaddr = reinterpret_cast<std::uintptr_t>(address);
    ioctl_gntdev_unmap_notify notify{};
    bool const found = ioctl(fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &place) == 0;
    notify.index = place.offset + life_sign.offset_bytes;
    notify.action = UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT;
    notify.event_channel_port = life_sign.port.value;
    if (!found || ioctl(fd, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &notify) != 0)
        throw std::system_error(errno, std::generic_category(), "setting the unmap notification of granted memory");
}

std::unique_ptr<Mapping> GrantTable::map(DomId domain, RegionRef region, std::size_t size_bytes,
                                         std::optional<LifeSign> life_sign) {
    assert(size_bytes > 0 && size_bytes % page_bytes == 0 && size_bytes <= page_bytes + LVIF_RING_MAX_CAPACITY);
    auto grants = read_directory(domain, region.value, static_cast<std::uint32_t>(size_bytes / page_bytes));
    auto const count = static_cast<std::uint32_t>(grants.size());
    void* const address =
        xengnttab_map_domain_grant_refs(handle_.get(), count, domain.value, grants.data(), PROT_READ | PROT_WRITE);
    if (address == nullptr)
        throw std::system_error(errno, std::generic_category(), "mapping " + grants_of(domain, count));
    auto mapping = std::make_unique<GrantMapping>(handle_.get(), address, count);
    if (life_sign) {
        assert(life_sign->offset_bytes < size_bytes);
        set_life_sign(address, *life_sign);
    }
    return mapping;
}

}  // namespace librettos
