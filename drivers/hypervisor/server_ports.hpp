// SPDX-License-Identifier: BSD-2-Clause
// The portmap's operations for guests, where the server itself is the authority (an unpatched Xen): what a hypervisor
// would do by hypercall, the control thread does for messages of the control ring.
//
// One thread makes all calls. What is claimed is written down before the call returns, so that the next server knows
// it; where that is impossible the claim is taken back.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include "portmap/domain_id.hpp"

namespace librettos {

class ServerPorts {
  public:
    virtual ~ServerPorts() = default;

    // A guest that may own ports from now on; one that is known under that name already stays as it is. Throws
    // std::system_error: EBUSY when ports are quarantined for an earlier domain of this number.
    virtual void add_domain(DomId domain, std::string_view name) = 0;
    // The domain is gone: its ports are quarantined.
    virtual void remove_domain(DomId domain) = 0;
    // Those added and not removed, by this server or the ones before it, with their names.
    struct Known {
        DomId domain;
        std::string_view name;  // valid until the next call
    };
    virtual std::vector<Known> domains() const = 0;

    // Results are those of librettos/portmap.h; -EIO: it could not be written down, nothing was claimed.
    virtual int bind(DomId domain, std::uint8_t protocol, std::uint16_t port, std::uint16_t& bound) = 0;
    virtual int lease(DomId domain, std::uint8_t protocol, std::uint16_t count, std::uint16_t& first) = 0;
    virtual int release(DomId domain, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) = 0;

    // Ends quarantines and writes down what is still to be written, a bounded amount. Returns after which time it wants
    // to be called again; max(): not before another call.
    virtual std::chrono::milliseconds handle_time() = 0;
};

}  // namespace librettos
