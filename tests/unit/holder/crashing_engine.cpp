// SPDX-License-Identifier: BSD-2-Clause
// A release that should not have been made.
#include <cstdlib>

#include "daemon/engine/boot.hpp"

extern "C" int librettos_engine_run(librettos::EngineBoot const*) noexcept {
    std::abort();
}
