// SPDX-License-Identifier: BSD-2-Clause
// What the user asks of librettos-guest run.
#pragma once

#include <librettos/poll_window.h>

#include <cstdint>
#include <string>
#include <vector>

namespace librettos::guest {

struct GuestOptions {
    std::string hypervisor = "auto";  // "local" or "xen"
    std::string name;                 // of the domain; on Xen the toolstack decides
    std::string network_namespace;    // empty: librettos-<name>, ours
    bool dedicated = false;
    std::string vf = "auto";  // interface to be switched to; "auto": that with the guest's MAC, "none"
    std::string interface = "lvif0";
    std::uint16_t queues = 1;
    std::uint32_t ring_bytes = 0;  // 0: the library's default
    std::uint16_t lease_ports = 512;
    std::uint32_t poll_us = LVIF_POLL_DEFAULT_US;  // looking on for frames before going to sleep, at most
    std::string hypervisor_socket;                 // empty: $LIBRETTOS_HYPERVISOR_SOCKET, else the default
    std::uint32_t wait_s = 0;                      // for a server; 0: for ever
    std::string log_level = "info";
    std::vector<std::string> command;
};

}  // namespace librettos::guest
