// SPDX-License-Identifier: BSD-2-Clause
// A guest on the fake machine: shares regions by grant directories, answers the handshake. Honest by default.
#pragma once

#include <librettos/control_ring.h>
#include <librettos/frame_ring.h>
#include <librettos/grant_directory.h>
#include <librettos/handshake.h>

#include <string>
#include <vector>

#include "portmap/domain_id.hpp"
#include "tests/unit/xen/fake_xen.hpp"

namespace librettos::test {

// A region as its guest knows it.
struct SharedRegion {
    std::vector<std::size_t> pages;        // of the guests' memory, in order
    std::vector<std::size_t> directories;  // pages likewise
    std::uint32_t reference = 0;           // what the store says
};

class XenGuest {
  public:
    explicit XenGuest(std::string const& name);

    SharedRegion share(std::size_t size_bytes);
    lvif_grant_directory& directory(SharedRegion const& region, std::size_t index = 0) const;

    // Rings, channels and keys of one connection, with one queue pair of the smallest rings; not the state.
    void prepare();
    void set(std::string const& key, std::string const& value) const;
    void set_state(int state) const { set(LVIF_KEY_STATE, std::to_string(state)); }
    int server_state() const;
    std::string offered(std::string const& key) const;
    lvif_ring_header& ring(bool tx) const;
    std::uint64_t notifications() const;
    void destroy() const;

    std::string frontend() const;
    std::string backend() const;

    DomId const domain;

  private:
    SharedRegion tx_;
    SharedRegion rx_;
};

}  // namespace librettos::test
