// SPDX-License-Identifier: BSD-2-Clause
// EAL: arguments, start, and the proof that its memory is shared with children.
#include "drivers/nic/eal.hpp"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <system_error>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include "drivers/nic/device.hpp"
#include "drivers/nic/dma_checks.hpp"
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

// None of the machine's devices: DPDK would look for drivers of all of them if it were given none.
constexpr char no_device[] = "ffff:ff:1f.7";

[[noreturn]] void fail(std::string const& what) {
    std::string const said = last_eal_complaints();
    throw NicError(what + (said.empty() ? "" : "; it said: " + said));
}

}  // namespace

std::vector<std::string> eal_arguments(PortOptions const& port, bool machine_addresses) {
    Device const device(port.device);
    constexpr std::uint32_t bookkeeping_mib = 64;  // what the NIC sees comes from elsewhere then
    std::vector<std::string> arguments{"librettos-netserver", "--no-telemetry", "--lcores=" + lcore_map(), "-m",
                                       std::to_string(machine_addresses ? bookkeeping_mib : port.memory_mib)};
    if (port.huge_pages) {
        arguments.emplace_back("--in-memory");  // no files left in hugetlbfs, several servers on one machine
    } else {
        arguments.insert(arguments.end(), {"--no-huge", "--no-shconf"});
    }
    // With huge pages DPDK chooses: uio needs physical addresses.
    if (!port.huge_pages || !device.pci || machine_addresses) {
        arguments.emplace_back("--iova-mode=va");
    }
    if (device.pci) {
        arguments.insert(arguments.end(), {"-a", machine_addresses ? no_device : device.text});
    } else {
        arguments.insert(arguments.end(),
                         {"--no-pci", "--vdev=" + (device.interface.empty() ? device.text : device.name + ",no-rx=1")});
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

Eal::Eal(PortOptions const& port, std::uint16_t queues, OpenMachineAddresses open) : fds_before_(open_fds()) {
    require_nic_prerequisites(port, open);
    Device const device(port.device);
    if (device.pci && is_uio(driver_of(device.name))) {
        claim(device.name);
        if (is_pv_domain()) {
            allocate(port, queues, open);
        }
    }
    route_eal_log();
    start(port);
    try {
        if (!eal_memory_survives_fork()) {
            throw NicError(
                "DPDK's memory is private to this process, so no engine could use the port: memfd_create does not work "
                "here; allow that system call (seccomp, SystemCallFilter=), or write huge_pages = true under [port]");
        }
        if (dma_) {
            heap_ = std::make_unique<MachineHeap>(*dma_);
            attach(device.text);
        }
        if (claim_) {
            claim_->outlive_device(dma_ ? std::vector{dma_->pin_fd()} : std::vector<int>{});
        }
    } catch (...) {
        rte_eal_cleanup();
        throw;
    }
}

Eal::~Eal() {
    rte_eal_cleanup();
}

void Eal::claim(std::string const& address) try {
    claim_ = std::make_unique<PciClaim>(address);
} catch (std::system_error const& error) {
    throw NicError(std::string(error.what()) + "; end it first (see: fuser -v /dev/uio*), and run this as root");
}

void Eal::allocate(PortOptions const& port, std::uint16_t queues, OpenMachineAddresses open) try {
    if (!claim_->was_reset()) {
        throw NicError("the kernel could not reset " + port.device +
                       ": it may still write to memory of a server that was killed; unbind it and bind it again");
    }
    dma_ = std::make_unique<DmaMemory>(LockedMemory(std::size_t{port.memory_mib} << 20), ring_memory(queues), open());
} catch (DmaRefused const& refusal) {
    throw NicError(std::string(refusal.what()) + "; " + refusal.mend);
}

void Eal::start(PortOptions const& port) {
    std::vector<std::string> arguments = eal_arguments(port, dma_ != nullptr);
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
}

void Eal::attach(std::string const& device) {
    if (int const error = rte_dev_probe(device.c_str()); error != 0) {
        fail("DPDK cannot use " + device + " (" + rte_strerror(-error) + ")");
    }
    rte_eth_dev_info info{};
    std::uint16_t id = 0;
    if (rte_eth_dev_get_port_by_name(Device(device).name.c_str(), &id) == 0 && rte_eth_dev_info_get(id, &info) == 0 &&
        !takes_memory_by_socket(info.driver_name)) {
        throw NicError("in a Xen PV domain only NICs of net_e1000 and net_ixgbe can be used: of " +
                       std::string(info.driver_name) +
                       " nobody has looked where its memory comes from; give the NIC to an HVM or PVH driver domain");
    }
}

std::string Eal::memory_fault(bool all) const {
    constexpr std::size_t pages_at_once = 4096;
    if (!dma_) {
        return {};
    }
    try {
        return all ? dma_->fault_anywhere() : dma_->fault_in_next(pages_at_once);
    } catch (std::exception const& error) {
        return error.what();
    }
}

}  // namespace librettos
