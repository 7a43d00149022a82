// SPDX-License-Identifier: BSD-2-Clause
// In place of Xen, where its libraries were missing when this was built.
#include <cerrno>
#include <system_error>

#include "drivers/hypervisor/xen/make_xen_hypervisor.hpp"
#include "drivers/hypervisor/xen/xen_checks.hpp"

namespace librettos {

std::unique_ptr<Hypervisor> make_xen_hypervisor(bool) {
    throw std::system_error(EOPNOTSUPP, std::generic_category(),
                            "this build has no Xen; install libxen-dev and build again");
}

bool xen_keeps_portmap() {
    return false;
}

std::vector<StartCheck> check_xen(XenNeeds const&, bool (*)(), std::filesystem::path const&) {
    return {{"Xen", StartCheck::Verdict::bad, "this build has no Xen", "install libxen-dev and build again"}};
}

}  // namespace librettos
