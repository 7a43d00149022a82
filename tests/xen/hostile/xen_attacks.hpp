// SPDX-License-Identifier: BSD-2-Clause
// Attacks that only a domain on Xen can make.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "tests/hostile/attacks.hpp"

namespace librettos::hostile {

// On Xen the first argument of hostile_guest is the number of an honest guest's domain.
inline std::uint16_t victim(Setting const& setting) {
    return static_cast<std::uint16_t>(std::atoi(setting.socket.c_str()));
}

std::vector<Attack> grant_attacks();
std::vector<Attack> event_attacks();

}  // namespace librettos::hostile
