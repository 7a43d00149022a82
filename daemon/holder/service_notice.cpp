// SPDX-License-Identifier: BSD-2-Clause
// sd_notify(3).
#include "daemon/holder/service_notice.hpp"

#include <systemd/sd-daemon.h>
#include <time.h>

namespace librettos {

void ServiceNotice::ready() {
    if (!announced_ || reloading_) {
        sd_notify(0, "READY=1");
    }
    announced_ = true;
    reloading_ = false;
}

void ServiceNotice::reloading() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000);
    reloading_ = true;
}

void ServiceNotice::stopping() {
    sd_notify(0, "STOPPING=1");
}

void ServiceNotice::status(std::string const& line) {
    sd_notify(0, ("STATUS=" + line).c_str());
}

void ServiceNotice::alive() {
    sd_notify(0, "WATCHDOG=1");
}

std::chrono::microseconds ServiceNotice::watchdog() const {
    std::uint64_t us = 0;
    return std::chrono::microseconds{sd_watchdog_enabled(0, &us) > 0 ? us : 0};
}

}  // namespace librettos
