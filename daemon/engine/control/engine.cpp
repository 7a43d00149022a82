// SPDX-License-Identifier: BSD-2-Clause
// The engine: what the holder's child runs.
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <exception>

#include "daemon/config/config.hpp"
#include "daemon/engine/boot.hpp"
#include "daemon/engine/control/control_thread.hpp"
#include "drivers/hypervisor/local/local_hypervisor.hpp"
#include "drivers/hypervisor/xen/make_xen_hypervisor.hpp"

namespace librettos::control {

namespace {

// The configuration as it is now; as the holder read it when it has been spoiled since: a server that runs is worth
// more than one that waits for an edit to be finished.
Config current_config(EngineBoot const& boot) {
    try {
        return boot.config_path.empty() ? *boot.config : load_config(boot.config_path);
    } catch (std::exception const& error) {
        spdlog::error("{}; going on with the configuration of the holder's start", error.what());
        return *boot.config;
    }
}

std::unique_ptr<Hypervisor> connect_hypervisor(Config const& config) {
    bool const server_keeps_portmap = config.portmap_authority == "server";
    if (config.hypervisor == "xen")
        return make_xen_hypervisor(server_keeps_portmap);
    return std::make_unique<LocalHypervisor>(config.hypervisor_socket, server_keeps_portmap);
}

}  // namespace

}  // namespace librettos::control

extern "C" int librettos_engine_run(librettos::EngineBoot const* boot) noexcept {
    using namespace librettos;
    using namespace librettos::control;
    try {
        auto const config = current_config(*boot);
        spdlog::set_level(spdlog::level::from_str(config.log.level));
        run_control_thread(*boot, config, connect_hypervisor);
        return EXIT_SUCCESS;
    } catch (std::exception const& error) {
        spdlog::error("engine: {}", error.what());
    } catch (...) {
        spdlog::error("engine: unknown failure");
    }
    return EXIT_FAILURE;
}
