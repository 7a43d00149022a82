// SPDX-License-Identifier: BSD-2-Clause
// librettos-guest: gives a Linux program a network interface of the network server, in a namespace of its own.
#include <poll.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>

#include "guest-frontend/linux/bind_filter.hpp"
#include "guest-frontend/linux/command_line.hpp"
#include "guest-frontend/linux/command_tree.hpp"
#include "guest-frontend/linux/guest.hpp"
#include "guest-frontend/linux/host.hpp"
#include "guest-frontend/linux/interface.hpp"
#include "guest-frontend/linux/network_namespace.hpp"
#include "guest-frontend/linux/tap_device.hpp"
#include "guest-frontend/linux/vf_interface.hpp"

namespace {

using namespace librettos::guest;

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

// On Xen the host makes the device when it likes. 0, or the signal that came first.
int wait_for_device(Host& host, Descriptor const& signals, std::uint32_t wait_s) {
    auto const give_up = std::chrono::steady_clock::now() + std::chrono::seconds(wait_s);
    for (bool said = false; !host.has_device(); said = true) {
        if (!said) {
            spdlog::info("waiting for the host to attach this domain (librettosctl attach {})", host.domain_name());
        }
        if (wait_s != 0 && std::chrono::steady_clock::now() >= give_up) {
            throw std::runtime_error(fmt::format("nobody attached this domain within {} s: librettosctl attach {}",
                                                 wait_s, host.domain_name()));
        }
        pollfd watched{signals.get(), POLLIN, 0};
        signalfd_siginfo signal{};
        if (poll(&watched, 1, 500) == 1 && read(signals.get(), &signal, sizeof signal) == sizeof signal) {
            return static_cast<int>(signal.ssi_signo);
        }
    }
    return 0;
}

// Null: this guest cannot be switched to a VF; the log says why.
std::unique_ptr<VfInterface> find_means_for_vf(GuestOptions const& options, Descriptor home) {
    if (!options.dedicated || options.vf == "none") {
        return nullptr;
    }
    try {
        return std::make_unique<VfInterface>(options.vf, options.interface, std::move(home));
    } catch (std::exception const& error) {
        spdlog::warn("this guest cannot use a VF: {}", error.what());
        return nullptr;
    }
}

int run(GuestOptions options) {
    Descriptor const signals = take_over_signals();
    Descriptor home = present_network_namespace();
    std::unique_ptr<Host> const host = connect_host(options);
    if (options.name != host->domain_name()) {
        options.name = safe_name(host->domain_name());
    }
    if (int const signal = wait_for_device(*host, signals, options.wait_s); signal != 0) {
        return 128 + signal;
    }
    bool const named = !options.network_namespace.empty();
    NetworkNamespace const network(named ? options.network_namespace : "librettos-" + options.name,
                                   named ? NetworkNamespace::Existing::join : NetworkNamespace::Existing::replace);
    bring_up_loopback();
    TapDevice tap(options.interface, options.queues);

    std::optional<BindFilter> filter;
    if (!options.dedicated) {
        filter.emplace();
    }
    CommandTree programs(options.command, filter ? &*filter : nullptr);  // before there are other threads
    auto const vf = find_means_for_vf(options, std::move(home));
    return Guest(options, *host, tap, vf.get(), programs, signals.get()).run();
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
