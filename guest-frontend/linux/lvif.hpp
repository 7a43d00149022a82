// SPDX-License-Identifier: BSD-2-Clause
// The frontend library and the hypervisord client for C++, where a function may not bear a struct's name unnoticed.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include <librettos/frontend.h>

#include "guest-frontend/local/hypervisord_client.h"
#pragma GCC diagnostic pop

namespace librettos::guest {

using Offer = struct ::lvif_offer;
using DeviceStatistics = struct ::lvif_statistics;

}  // namespace librettos::guest
