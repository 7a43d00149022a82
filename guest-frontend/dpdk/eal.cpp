// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/dpdk/eal.hpp"

#include <sched.h>

#include <cerrno>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

#include <rte_eal.h>
#include <rte_errno.h>

namespace librettos::guest {

namespace {

constexpr char no_device[] = "ffff:ff:1f.7";  // else DPDK takes all that it has drivers for

// One lcore, on every CPU that this process may use.
std::string lcore_map() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    std::string cpus;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &allowed)) {
            cpus += (cpus.empty() ? "" : ",") + std::to_string(cpu);
        }
    }
    return "--lcores=0@(" + cpus + ")";
}

int init(unsigned memory_mib) {
    std::vector<std::string> arguments{"lvif",
                                       "--no-huge",
                                       "--no-shconf",
                                       "--no-telemetry",
                                       "--iova-mode=va",
                                       "--log-level=4",
                                       "-m",
                                       std::to_string(memory_mib),
                                       lcore_map(),
                                       "-a",
                                       no_device};
    std::vector<char*> words;
    for (std::string& argument : arguments) {
        words.push_back(argument.data());
    }
    return rte_eal_init(static_cast<int>(words.size()), words.data()) < 0 ? rte_errno : 0;
}

}  // namespace

void start_eal(unsigned memory_mib) {
    static std::once_flag once;
    static int error = 0;
    std::call_once(once, [memory_mib] { error = init(memory_mib); });
    if (error != 0) {
        throw std::system_error(error, std::generic_category(),
                                "start DPDK with " + std::to_string(memory_mib) + " MiB (it says more above)");
    }
}

}  // namespace librettos::guest
