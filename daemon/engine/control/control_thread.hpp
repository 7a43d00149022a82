// SPDX-License-Identifier: BSD-2-Clause
// The engine's control thread: one sd-event loop over the hypervisor's watches, the guests' control channels, the data
// plane's answers, the API and the holder.
#pragma once

#include <functional>
#include <memory>

#include "daemon/engine/boot.hpp"
#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos::control {

// Connects to the hypervisor, or throws std::system_error when it is not there (yet).
using HypervisorConnector = std::function<std::unique_ptr<Hypervisor>(Config const&)>;

// Runs until the holder says stop, its socket ends, or SIGTERM or SIGINT comes. Throws std::system_error when the
// hypervisor is lost or the environment fails otherwise: guests stay as they are, for the next engine.
void run_control_thread(EngineBoot const& boot, Config const& config, HypervisorConnector const& connect);

}  // namespace librettos::control
