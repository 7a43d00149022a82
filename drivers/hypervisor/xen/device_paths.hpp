// SPDX-License-Identifier: BSD-2-Clause
// Where the handshake of a guest's device 0 takes place in xenstore (librettos/handshake.h).
#pragma once

#include <string>

#include <librettos/handshake.h>

#include "portmap/domain_id.hpp"

namespace librettos {

inline constexpr char domains_path[] = "/local/domain";

inline std::string domain_path(DomId domain) {
    return domains_path + ("/" + std::to_string(domain.value));
}

inline std::string frontend_path(DomId guest) {
    return domain_path(guest) + "/device/" LVIF_DEVICE_CLASS "/0";
}

// Of all guests of this server
inline std::string backends_path(DomId server) {
    return domain_path(server) + "/backend/" LVIF_DEVICE_CLASS;
}

inline std::string backend_path(DomId server, DomId guest) {
    return backends_path(server) + "/" + std::to_string(guest.value) + "/0";
}

}  // namespace librettos
