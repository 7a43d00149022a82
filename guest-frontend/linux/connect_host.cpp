// SPDX-License-Identifier: BSD-2-Clause
// Which hypervisor it is.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "guest-frontend/linux/host.hpp"

namespace librettos::guest {

namespace {

bool runs_on_xen() {
    std::string type;
    return std::ifstream("/sys/hypervisor/type") >> type && type == "xen";
}

bool has_hypervisord(GuestOptions const& options) {
    std::error_code ignored;
    return !options.hypervisor_socket.empty() || std::getenv("LIBRETTOS_HYPERVISOR_SOCKET") != nullptr ||
           std::filesystem::exists(LVIF_HV_DEFAULT_SOCKET, ignored);
}

}  // namespace

// Also in a domain on Xen there may be a hypervisord; who runs one means it.
std::unique_ptr<Host> connect_host(GuestOptions const& options) {
    bool const xen =
        options.hypervisor == "xen" || (options.hypervisor == "auto" && !has_hypervisord(options) && runs_on_xen());
    return xen ? connect_xen_host() : connect_local_host(options);
}

#if !LIBRETTOS_GUEST_WITH_XEN
std::unique_ptr<Host> connect_xen_host() {
    throw std::runtime_error("this guest was built without Xen: install libxen-dev and build again");
}
#endif

}  // namespace librettos::guest
