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

std::unique_ptr<Hypervisor> connect_hypervisor(Config const& config) {
    bool const server_keeps_portmap = config.portmap_authority == "server";
    if (config.hypervisor == "xen")
        return make_xen_hypervisor(server_keeps_portmap);
    return std::make_unique<LocalHypervisor>(config.hypervisor_socket, server_keeps_portmap);
}

}  // namespace

}  // namespace librettos::control

extern "C" int librettos_engine_run(librettos::EngineBoot const* handed_over) noexcept {
    using namespace librettos;
    using namespace librettos::control;
    try {
        EngineBoot boot = *handed_over;
        Config const config = parse_config(boot.config_text, "the configuration");
        boot.config = &config;
        run_control_thread(boot, config, connect_hypervisor);
        return EXIT_SUCCESS;
    } catch (std::exception const& error) {
        spdlog::error("engine: {}", error.what());
    } catch (...) {
        spdlog::error("engine: unknown failure");
    }
    return EXIT_FAILURE;
}
