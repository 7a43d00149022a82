// SPDX-License-Identifier: BSD-2-Clause
// The watches that tell the server of its guests: together they are what the seam calls watching /local/domain.
//
// Watching that directory itself would wake the server for whatever any domain writes anywhere. Three things matter:
// domains that come and go, backend directories that somebody makes for us (attach, also by the toolstack for
// a driver domain), and the state of the frontend that each of these belongs to. So there is a watch for each backend
// directory, made and ended with it: what a guest writes elsewhere costs nothing, and watches cannot leak. A driver
// domain may have 128 watches (xenstored's default quota), hence that many guests.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "drivers/hypervisor/hypervisor.hpp"
#include "drivers/hypervisor/xen/xen_store.hpp"

namespace librettos {

class DeviceWatches {
  public:
    // The store outlives this object.
    DeviceWatches(XenStore& store, DomId self);
    ~DeviceWatches();
    DeviceWatches(DeviceWatches const&) = delete;
    DeviceWatches& operator=(DeviceWatches const&) = delete;

    // What an event of the store says in the seam's terms; null when it says nothing to others.
    std::optional<WatchEvent> translate(XenStore::Event const& event);
    std::size_t size() const;

  private:
    void watch_domains(char const* event);
    std::optional<WatchEvent> backends_changed(std::string_view below);
    bool follow(DomId guest);

    XenStore& store_;
    std::string backends_;
    std::set<std::string> tokens_;
    std::set<DomId> followed_;
};

}  // namespace librettos
