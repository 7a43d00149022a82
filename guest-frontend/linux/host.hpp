// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor as librettos-guest needs it: librettos-hypervisord, or Xen.
#pragma once

#include <memory>
#include <string>

#include "guest-frontend/linux/event_source.hpp"
#include "guest-frontend/linux/guest_options.hpp"
#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/port_authority.hpp"

namespace librettos::guest {

class Host : public EventSource {
  public:
    // The guest's, as the toolstack (Xen) or the user (local) named it.
    virtual std::string domain_name() const = 0;
    // Valid as long as this object; `quiesce` is left to the caller.
    virtual lvif_environment environment() = 0;
    // Readable when the store has changed or the hypervisor is gone; -1: nothing is watched yet.
    virtual int watch_fd() = 0;
    // False: the hypervisor is gone.
    virtual bool take_events() = 0;
    // The hypervisor's own portmap. Throws std::runtime_error that says why it cannot be asked.
    virtual PortAuthority& ports() = 0;
    // The domain is there before this program and after it: what it claims it has to give back.
    virtual bool domain_outlives_program() const = 0;
    // The host has made the domain's device.
    virtual bool has_device() = 0;
    // Why sharing memory failed lately, in words; "".
    virtual std::string trouble() const = 0;
};

// Throws std::system_error, std::runtime_error.
std::unique_ptr<Host> connect_host(GuestOptions const& options);
std::unique_ptr<Host> connect_local_host(GuestOptions const& options);
std::unique_ptr<Host> connect_xen_host();

}  // namespace librettos::guest
