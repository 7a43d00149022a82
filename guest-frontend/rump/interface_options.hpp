// SPDX-License-Identifier: BSD-2-Clause
// What the user asks of the interface: environment variables, or the interface's link string.
#pragma once

#include <string>

#include "guest-frontend/linux/guest_options.hpp"

namespace librettos::guest {

// From $LIBRETTOS_GUEST_NAME (default: the program's name and pid), $LIBRETTOS_GUEST_MODE (shared, dedicated),
// $LIBRETTOS_RING_BYTES, $LIBRETTOS_VF (a PCI address, or none), $LIBRETTOS_HYPERVISOR_SOCKET. `device` is a unit's
// number or a link string, which goes before the environment: "name=web,mode=dedicated,ring=1048576,vf=0000:01:10.0,
// socket=/run/hv.sock", each part optional. Throws std::runtime_error.
GuestOptions interface_options(std::string const& device);

}  // namespace librettos::guest
