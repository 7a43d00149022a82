// SPDX-License-Identifier: BSD-2-Clause
// Choosing the portmap's source.
#include "drivers/hypervisor/xen/make_xen_hypervisor.hpp"

#include <spdlog/spdlog.h>

#include "drivers/hypervisor/xen/hypercall_portmap.hpp"
#include "drivers/hypervisor/xen/server_portmap.hpp"
#include "drivers/hypervisor/xen/xen_hypervisor.hpp"

namespace librettos {

namespace {

// What the server writes down about ports is in its own home.
class XenPortStore final : public PortStore {
  public:
    DomId own_domain() { return store_.own_domain(); }
    std::optional<std::string> read(std::string const& path) override { return store_.read(path); }
    std::vector<std::string> list(std::string const& path) override { return store_.list(path); }
    void write(std::string const& path, std::string const& value) override { store_.write(path, value); }
    void remove(std::string const& path) override { store_.remove(path); }

  private:
    XenStore store_;
};

std::unique_ptr<PortmapSource> choose_portmap(bool server_keeps_portmap) {
    auto in_hypervisor = server_keeps_portmap ? nullptr : HypercallPortmap::open_if_present();
    if (in_hypervisor)
        return in_hypervisor;
    if (!server_keeps_portmap)
        spdlog::info(
            "no portmap in this Xen, or none that this domain can use (HVM and PVH ones cannot): the server keeps it, "
            "in xenstore");
    auto store = std::make_unique<XenPortStore>();
    auto const self = store->own_domain();
    return std::make_unique<ServerPortmap>(std::move(store), self);
}

}  // namespace

bool xen_keeps_portmap() {
    return HypercallPortmap::exists();
}

std::unique_ptr<Hypervisor> make_xen_hypervisor(bool server_keeps_portmap) {
    return std::make_unique<XenHypervisor>(choose_portmap(server_keeps_portmap));
}

}  // namespace librettos
