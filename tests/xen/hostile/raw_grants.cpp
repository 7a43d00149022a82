// SPDX-License-Identifier: BSD-2-Clause
// Granting pages by hand.
#include "tests/xen/hostile/raw_grants.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/sys/gntalloc.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace librettos::hostile {

RawGrants::RawGrants(std::uint32_t pages, std::uint16_t domain, bool writable)
    : references_(pages), device_(open("/dev/xen/gntalloc", O_RDWR | O_CLOEXEC)) {
    std::vector<std::uint64_t> words(sizeof(ioctl_gntalloc_alloc_gref) / 8 + pages);
    auto& wanted = *reinterpret_cast<ioctl_gntalloc_alloc_gref*>(words.data());
    wanted.domid = domain;
    wanted.flags = writable ? GNTALLOC_FLAG_WRITABLE : 0;
    wanted.count = pages;
    void* mapped = MAP_FAILED;
    if (device_ >= 0 && ioctl(device_, IOCTL_GNTALLOC_ALLOC_GREF, &wanted) == 0)
        mapped = mmap(nullptr, std::size_t{pages} * LVIF_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, device_,
                      static_cast<off_t>(wanted.index));
    if (mapped == MAP_FAILED) {
        int const error = errno;
        close(device_);
        throw std::system_error(error, std::generic_category(), "granting pages of /dev/xen/gntalloc");
    }
    std::memcpy(references_.data(), wanted.gref_ids, pages * sizeof(std::uint32_t));
    pages_ = static_cast<std::byte*>(mapped);
}

RawGrants::~RawGrants() {
    munmap(pages_, references_.size() * LVIF_PAGE_BYTES);
    close(device_);  // ends the grants, once nobody maps them any more
}

void write_directory(RawGrants const& grants, std::size_t page, std::vector<std::uint32_t> const& references,
                     std::uint32_t next) {
    auto& directory = grants.directory(page);
    directory.magic = LVIF_DIRECTORY_MAGIC;
    directory.version = LVIF_DIRECTORY_VERSION;
    directory.count = static_cast<std::uint32_t>(references.size());
    directory.next = next;
    std::copy_n(references.begin(), std::min<std::size_t>(references.size(), LVIF_GRANTS_PER_DIRECTORY),
                directory.grant);
}

}  // namespace librettos::hostile
