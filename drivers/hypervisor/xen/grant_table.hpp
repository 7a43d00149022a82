// SPDX-License-Identifier: BSD-2-Clause
// Mapping regions of guest memory that a grant directory names (librettos/grant_directory.h).
//
// A directory page is mapped, copied once and unmapped; what counts is the copy, checked against the size that the
// caller wants. Then all pages of the region are mapped in one batch: gntdev checks each operation's status and undoes
// the whole batch when one of them failed. One thread makes all calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

extern "C" {  // the headers do not say so
#include <xengnttab.h>
}

#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos {

class GrantTable {
  public:
    GrantTable();

    // Mappings must not outlive this object. EINVAL: a grant that the guest did not make for us, or a directory that is
    // not one of a region of this size.
    std::unique_ptr<Mapping> map(DomId domain, RegionRef region, std::size_t size_bytes,
                                 std::optional<LifeSign> life_sign);

  private:
    std::vector<std::uint32_t> read_directory(DomId domain, std::uint32_t grant, std::uint32_t pages);
    void set_life_sign(void* address, LifeSign const& life_sign);

    struct Close {
        void operator()(xengnttab_handle* handle) const { xengnttab_close(handle); }
    };
    std::unique_ptr<xengnttab_handle, Close> handle_;
};

}  // namespace librettos
