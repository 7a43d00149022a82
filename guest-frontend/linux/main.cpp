// SPDX-License-Identifier: BSD-2-Clause
// librettos-guest: gives a Linux program a network interface of the network server, in a namespace of its own.
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include <cstdlib>
#include <memory>
#include <optional>

#include "guest-frontend/linux/bind_filter.hpp"
#include "guest-frontend/linux/command_line.hpp"
#include "guest-frontend/linux/command_tree.hpp"
#include "guest-frontend/linux/guest.hpp"
#include "guest-frontend/linux/hypervisor_ports.hpp"
#include "guest-frontend/linux/interface.hpp"
#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/network_namespace.hpp"
#include "guest-frontend/linux/port_service.hpp"
#include "guest-frontend/linux/tap_device.hpp"

namespace {

using namespace librettos::guest;

struct CloseHypervisor {
    void operator()(lvif_hv* hypervisor) const { lvif_hv_close(hypervisor); }
};
using Hypervisor = std::unique_ptr<lvif_hv, CloseHypervisor>;

void start_log(GuestOptions const& options) {
    auto logger = spdlog::stderr_color_mt("librettos-guest");
    logger->set_pattern("%n[" + options.name + "]: %l: %v");
    logger->set_level(spdlog::level::from_str(options.log_level));
    spdlog::set_default_logger(logger);
}

Descriptor take_over_signals() {
    sigset_t mine;
    sigemptyset(&mine);
    for (int const signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT}) {
        sigaddset(&mine, signal);
    }
    sigprocmask(SIG_BLOCK, &mine, nullptr);
    return checked_descriptor(signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK), "create a signalfd");
}

Hypervisor connect_hypervisor(GuestOptions const& options) {
    char const* const socket = options.hypervisor_socket.empty() ? nullptr : options.hypervisor_socket.c_str();
    lvif_hv* hypervisor = nullptr;
    if (int const result = lvif_hv_connect(socket, LVIF_HV_GUEST, options.name.c_str(), &hypervisor); result < 0) {
        throw_errno(-result, result == -EEXIST
                                 ? "become guest '" + options.name + "' (there is one: choose another --name)"
                                 : "connect to librettos-hypervisord (is it running? see --hypervisor-socket)");
    }
    return Hypervisor(hypervisor);
}

int run(GuestOptions const& options) {
    Descriptor const signals = take_over_signals();
    Hypervisor const hypervisor = connect_hypervisor(options);
    bool const named = !options.network_namespace.empty();
    NetworkNamespace const network(named ? options.network_namespace : "librettos-" + options.name,
                                   named ? NetworkNamespace::Existing::join : NetworkNamespace::Existing::replace);
    bring_up_loopback();
    TapDevice tap(options.interface, options.queues);

    HypervisorPorts authority(hypervisor.get());
    std::optional<BindFilter> filter;
    std::optional<PortService> ports;
    if (!options.dedicated) {
        filter.emplace();
        ports.emplace(authority, options.lease_ports);
    }
    CommandTree programs(options.command, filter ? &*filter : nullptr);  // before there are other threads
    if (ports) {
        ports->start(programs.take_listener());
    }
    return Guest(options, hypervisor.get(), tap, programs, signals.get()).run();
}

}  // namespace

int main(int argc, char** argv) {
    GuestOptions const options = parse_command_line(argc, argv);
    start_log(options);
    try {
        return run(options);
    } catch (std::exception const& error) {
        spdlog::critical("{}", error.what());
        return EXIT_FAILURE;
    }
}
