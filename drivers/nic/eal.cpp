// SPDX-License-Identifier: BSD-2-Clause
// EAL: arguments, start, and the proof that its memory is shared with children.
#include "drivers/nic/eal.hpp"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "drivers/nic/device.hpp"
#include "drivers/nic/eal_log.hpp"
#include "drivers/nic/preflight.hpp"
#include "drivers/nic/realtime_signals.hpp"
#include "drivers/nic/wait_fds.hpp"

namespace librettos {
namespace {

// "0@(1,3)": one lcore, the main thread, on every CPU it may use now. The data threads place themselves.
std::string lcore_map() {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
    }
    std::string cpus;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &allowed)) {
            cpus += (cpus.empty() ? "" : ",") + std::to_string(cpu);
        }
    }
    return "0@(" + cpus + ")";
}

}  // namespace

std::vector<std::string> eal_arguments(PortOptions const& port) {
    Device const device(port.device);
    std::vector<std::string> arguments{"librettos-netserver", "--no-telemetry", "--lcores=" + lcore_map(), "-m",
                                       std::to_string(port.memory_mib)};
    if (port.huge_pages) {
        arguments.emplace_back("--in-memory");  // no files left in hugetlbfs, several servers on one machine
    } else {
        arguments.insert(arguments.end(), {"--no-huge", "--no-shconf"});
    }
    // With huge pages DPDK chooses: uio needs physical addresses.
    if (!port.huge_pages || !device.pci) {
        arguments.emplace_back("--iova-mode=va");
    }
    if (device.pci) {
        arguments.insert(arguments.end(), {"-a", device.text});
    } else {
        arguments.insert(arguments.end(), {"--no-pci", "--vdev=" + device.text});
    }
    arguments.insert(arguments.end(), port.eal.begin(), port.eal.end());
    return arguments;
}

bool eal_memory_survives_fork() {
    auto* const byte = static_cast<unsigned char volatile*>(rte_zmalloc("fork check", 1, 0));
    if (byte == nullptr) {
        throw NicError("DPDK has no memory at all; write a larger port.memory_mib");
    }
    constexpr unsigned char mark = 0x5a;
    pid_t const child = fork();
    if (child == 0) {
        *byte = mark;
        _exit(0);
    }
    int const fork_error = errno;
    if (child > 0) {
        while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    bool const shared = *byte == mark;
    rte_free(const_cast<unsigned char*>(byte));
    if (child < 0) {
        throw std::system_error(fork_error, std::generic_category(), "fork");
    }
    return shared;
}

Eal::Eal(PortOptions const& port) : fds_before_(open_fds()) {
    require_nic_prerequisites(port);
    route_eal_log();
    std::vector<std::string> arguments = eal_arguments(port);
    std::vector<char*> argv;
    for (auto& argument : arguments) {
        argv.push_back(argument.data());
    }
    RealtimeSignalsTaken const no_signal_for_net_tap;
    if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
        std::string command;
        for (auto const& argument : arguments) {
            command += " " + argument;
        }
        std::string const said = last_eal_complaints();
        throw NicError("DPDK does not start (" + std::string(rte_strerror(rte_errno)) + ") with:" + command +
                       (said.empty() ? "" : "; it said: " + said) +
                       (geteuid() == 0 ? "" : "; most ports need root (CAP_NET_RAW, CAP_NET_ADMIN)"));
    }
    if (!eal_memory_survives_fork()) {
        rte_eal_cleanup();
        throw NicError(
            "DPDK's memory is private to this process, so no engine could use the port: memfd_create does not work "
            "here; allow that system call (seccomp, SystemCallFilter=), or write huge_pages = true under [port]");
    }
}

Eal::~Eal() {
    rte_eal_cleanup();
}

}  // namespace librettos
