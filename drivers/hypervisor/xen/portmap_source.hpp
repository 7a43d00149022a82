// SPDX-License-Identifier: BSD-2-Clause
// Where XenHypervisor has its portmap from: the hypervisor itself when it has our hypercall, else the server's own
// table.
//
// One thread makes all calls. Failures are thrown as std::system_error that says what was tried.
#pragma once

#include <cstdint>
#include <string_view>

#include <librettos/portmap.h>

#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos {

class PortmapSource {
  public:
    virtual ~PortmapSource() = default;

    virtual std::string_view authority() const = 0;  // "hypervisor" or "server", for status
    virtual lvif_portmap const& table() const = 0;   // valid while this object lives
    virtual PortInfo query(std::uint8_t protocol, std::uint16_t port) = 0;
    virtual void set_limit(DomId domain, std::uint32_t ports) = 0;
    virtual void reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) = 0;
    // The name by which a domain may take its ports out of quarantine, where the source cannot know it otherwise.
    virtual void set_name(DomId, std::string_view) {}
    // Null: guests ask the hypervisor. Valid while this object lives.
    virtual ServerPorts* server_ports() { return nullptr; }
};

}  // namespace librettos
