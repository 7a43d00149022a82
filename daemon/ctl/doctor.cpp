// SPDX-License-Identifier: BSD-2-Clause
// `librettosctl doctor`: the configuration, the kernel, the NIC's needs, the hypervisor's.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/fields.hpp"
#include "drivers/hypervisor/xen/dom0_memory.hpp"
#include "drivers/hypervisor/xen/make_xen_hypervisor.hpp"
#include "drivers/hypervisor/xen/open_machine_addresses.hpp"
#include "drivers/hypervisor/xen/xen_checks.hpp"
#include "drivers/kernel_check.hpp"
#include "drivers/nic/preflight.hpp"

namespace librettos::ctl {

namespace {

using Verdict = StartCheck::Verdict;

char const* to_text(Verdict verdict) {
    return verdict == Verdict::good ? "good" : verdict == Verdict::warning ? "warning" : "bad";
}

Tone tone_of(Verdict verdict) {
    return verdict == Verdict::good ? Tone::good : verdict == Verdict::warning ? Tone::warning : Tone::bad;
}

// Whether somebody listens there; says nothing to him.
StartCheck check_hypervisord(std::string const& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    int const fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int error = fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ? errno : 0;
    if (error == EPROTOTYPE)  // the socket is of another type: there is somebody
        error = 0;
    if (fd >= 0)
        close(fd);
    if (error == 0)
        return {"librettos-hypervisord", Verdict::good, "listens at " + path, ""};
    return {"librettos-hypervisord", Verdict::bad, path + ": " + std::generic_category().message(error),
            error == EACCES ? "run it as root" : "systemctl start librettos-hypervisord"};
}

std::vector<StartCheck> check_all(std::string const& config_path) try {
    auto const config = load_config(config_path).config;
    std::vector<StartCheck> checks{{"configuration", Verdict::good, config_path, ""}, check_kernel()};
    auto const add = [&](std::vector<StartCheck> more) {
        std::move(more.begin(), more.end(), std::back_inserter(checks));
    };
    add(check_nic(config.port, "/", open_machine_addresses));
    add(check_dom0_memory(xen_command_line()));
    if (config.hypervisor == "xen")
        add(check_xen({config.limits.guests, config.limits.queues, config.limits.ring_bytes}, xen_keeps_portmap));
    else
        add({check_hypervisord(config.hypervisor_socket)});
    return checks;
} catch (ConfigError const& error) {
    return {{"configuration", Verdict::bad, error.what(), "librettos-netserver.toml(5) explains every key"}};
}

Json to_json(std::vector<StartCheck> const& checks) {
    auto list = Json::array();
    for (auto const& check : checks)
        list.push_back({{"name", check.name},
                        {"verdict", to_text(check.verdict)},
                        {"found", check.found},
                        {"mend", check.mend.empty() ? Json(nullptr) : Json(check.mend)}});
    return {{"schema", 1}, {"ok", true}, {"result", {{"checks", list}}}};
}

}  // namespace

int show_doctor(Session const& session, std::string const& config_path) {
    auto const checks = check_all(config_path);
    if (session.json) {
        *session.out << to_json(checks).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    } else {
        for (auto const& check : checks) {
            auto const verdict = std::string{to_text(check.verdict)};
            *session.out << session.style.paint(tone_of(check.verdict), verdict) << std::string(9 - verdict.size(), ' ')
                         << printable(check.name + ": " + check.found) << "\n";
            if (!check.mend.empty())
                *session.out << "         " << printable(check.mend) << "\n";
        }
    }
    bool const healthy =
        std::none_of(checks.begin(), checks.end(), [](auto const& check) { return check.verdict == Verdict::bad; });
    return healthy ? exit_fine : exit_unhealthy;
}

}  // namespace librettos::ctl
