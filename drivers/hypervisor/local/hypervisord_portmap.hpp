// SPDX-License-Identifier: BSD-2-Clause
// The portmap of librettos-hypervisord, over the server's connection to it.
#pragma once

#include "drivers/hypervisor/xen/portmap_source.hpp"
#include "hypervisord_client.h"

namespace librettos {

class HypervisordPortmap final : public PortmapSource {
  public:
    // The connection is the server's and outlives this object.
    explicit HypervisordPortmap(lvif_hv* hv) : hv_{hv} {}

    std::string_view authority() const override { return "hypervisor"; }
    lvif_portmap const& table() const override;
    PortInfo query(std::uint8_t protocol, std::uint16_t port) override;
    void set_limit(DomId domain, std::uint32_t ports) override;
    void reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) override;

  private:
    lvif_hv* hv_;
};

}  // namespace librettos
