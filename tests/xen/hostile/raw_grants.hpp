// SPDX-License-Identifier: BSD-2-Clause
// Pages of /dev/xen/gntalloc with their references, granted as one likes: any domain, writable or not.
#pragma once

#include <librettos/grant_directory.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace librettos::hostile {

class RawGrants {
  public:
    static constexpr std::uint16_t server = 0;  // the lab's server is in dom0

    // Throws std::system_error.
    RawGrants(std::uint32_t pages, std::uint16_t domain, bool writable);
    ~RawGrants();
    RawGrants(RawGrants const&) = delete;
    RawGrants& operator=(RawGrants const&) = delete;

    std::vector<std::uint32_t> const& references() const { return references_; }
    std::uint32_t reference(std::size_t page) const { return references_.at(page); }
    std::byte* page(std::size_t number) const { return pages_ + number * LVIF_PAGE_BYTES; }
    lvif_grant_directory& directory(std::size_t number) const {
        return *reinterpret_cast<lvif_grant_directory*>(page(number));
    }

  private:
    std::vector<std::uint32_t> references_;
    std::byte* pages_ = nullptr;
    int device_ = -1;
};

// A directory page in `grants` that lists the references as they are.
void write_directory(RawGrants const& grants, std::size_t page, std::vector<std::uint32_t> const& references,
                     std::uint32_t next = 0);

}  // namespace librettos::hostile
