// SPDX-License-Identifier: BSD-2-Clause
// In place of Xen, where its libraries were missing when this was built.
#include <cerrno>
#include <system_error>

#include "drivers/hypervisor/xen/dom0_memory.hpp"
#include "drivers/hypervisor/xen/make_xen_hypervisor.hpp"
#include "drivers/hypervisor/xen/open_machine_addresses.hpp"
#include "drivers/hypervisor/xen/xen_checks.hpp"

namespace librettos {

namespace {

[[noreturn]] void refuse() {
    throw std::system_error(EOPNOTSUPP, std::generic_category(),
                            "this build has no Xen; install libxen-dev and build again");
}

}  // namespace

std::unique_ptr<Hypervisor> make_xen_hypervisor(bool) {
    refuse();
}

std::unique_ptr<MachineAddresses> open_machine_addresses() {
    refuse();
}

std::string xen_command_line() {
    return {};
}

bool xen_keeps_portmap() {
    return false;
}

std::vector<StartCheck> check_xen(XenNeeds const&, bool (*)(), std::filesystem::path const&) {
    return {{"Xen", StartCheck::Verdict::bad, "this build has no Xen", "install libxen-dev and build again"}};
}

}  // namespace librettos
