// SPDX-License-Identifier: BSD-2-Clause
// librettos-netserver: sets the NIC up, then holds it while engines come and go.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <utility>

#include <spdlog/spdlog.h>

#include "daemon/api/api_socket.hpp"
#include "daemon/holder/holder.hpp"
#include "daemon/holder/logging.hpp"
#include "daemon/holder/options.hpp"
#include "daemon/holder/sole_holder.hpp"
#include "drivers/hypervisor/xen/open_machine_addresses.hpp"
#include "drivers/kernel_check.hpp"
#include "drivers/nic/eal.hpp"
#include "drivers/nic/ixgbe_steering.hpp"
#include "drivers/nic/port.hpp"
#include "drivers/steering/bridge_steering.hpp"
#include "drivers/steering/kernel_pf_steering.hpp"

namespace {

using namespace librettos;

void check_configuration(std::string const& path) {
    if (path == "-") {
        parse_config(std::string(std::istreambuf_iterator<char>(std::cin), {}), "standard input");
    } else {
        load_config(path);
    }
    std::cout << path << ": ok\n";
}

std::unique_ptr<Steering> make_steering(Config const& config, Port const& port) {
    auto const& direct = config.direct;
    if (direct.steering == "none") {
        return nullptr;
    }
    if (direct.steering == "ixgbe") {
        return std::make_unique<IxgbeSteering>(IxgbeOptions{port.description().port_id, port.description().device,
                                                            direct.vfs, direct.rate_mbps, config.network.vlan,
                                                            port.ixgbe_registers()});
    }
    if (direct.steering == "kernel") {
        return std::make_unique<KernelPfSteering>(
            KernelPfOptions{.pf = direct.pf, .vfs = direct.vfs, .vlan = config.network.vlan});
    }
    return std::make_unique<BridgeSteering>(
        BridgeOptions{direct.bridge, direct.server_port, direct.vfs, config.network.vlan});
}

int hold(Options const& options) {
    LoadedConfig loaded = load_config(options.config_path);
    Config const& config = loaded.config;
    set_up_logging(options.log_level.empty() ? config.log.level : options.log_level, "");
    Holder::block_signals();
    if (auto const kernel = check_kernel(); kernel.verdict == StartCheck::Verdict::bad) {
        throw std::runtime_error(kernel.found + "; " + kernel.mend);
    }
    SoleHolder const sole(config.paths);
    check_api_socket(config.paths.api_socket, config.paths.api_group);
    std::string const engine_path = options.engine_path.empty() ? installed_engine_path() : options.engine_path;
    EngineImage engine(engine_path);
    Eal const eal(config.port, config.data.threads, open_machine_addresses);
    Port port(config.port, config.data.threads, eal);
    auto steering = make_steering(config, port);
    return Holder({options.config_path, options.log_level, engine_path}, std::move(loaded), std::move(engine), port,
                  std::move(steering))
        .run();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        auto const [options, exit_status] = parse_command_line(argc, argv);
        if (exit_status) {
            return *exit_status;
        }
        if (options.check_config) {
            check_configuration(options.config_path);
            return EXIT_SUCCESS;
        }
        return hold(options);
    } catch (std::exception const& error) {
        std::cerr << "librettos-netserver: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
