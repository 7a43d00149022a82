// SPDX-License-Identifier: BSD-2-Clause
// The hypercall of a hypervisor that was built with portmap/xen, as the server and the control domain make it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

extern "C" {  // the header does not say so
#include <xencall.h>
}

#include <librettos/portmap_hypercall.h>

#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos {

// Failures are thrown as std::system_error that says what was tried: EPERM where only the control domain may, ENOENT
// when there is no such domain.
class PortmapCalls {
  public:
    // Throws when this domain's kernel has no privcmd.
    PortmapCalls();
    ~PortmapCalls();
    PortmapCalls(PortmapCalls const&) = delete;
    PortmapCalls& operator=(PortmapCalls const&) = delete;

    // false: the hypervisor has no such hypercall, or one of another ABI version; or this domain's kernel does not let
    // user space make hypercalls (xen-privcmd without unrestricted=1 in a domU).
    bool present();

    // For every domain that may. The table is mapped by whoever asked for it.
    lvif_portmap_table table();
    lvif_portmap_query query(std::uint8_t protocol, std::uint16_t port);

    // For the control domain.
    // Which domain may map the table: its id, LVIF_PORTMAP_SELF or LVIF_PORTMAP_NOBODY. EBUSY: another one still maps
    // it.
    void assign(std::uint16_t server);
    // What a domain that comes back under the same name may take out of quarantine. Names longer than
    // LVIF_PORTMAP_NAME_MAX are cut.
    void set_name(DomId domain, std::string_view name);
    void set_limit(DomId domain, std::uint32_t ports);
    void reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve);
    // Random numbers of this kernel's for the hypervisor, which may be without a source of its own.
    void seed();

  private:
    // 0 or a negative errno. `structure` is copied to where the hypervisor can reach it, and back.
    int call(lvif_portmap_operation operation, void* structure, std::size_t bytes);
    template <typename Structure>
    int call(lvif_portmap_operation operation, Structure& structure) {
        static_assert(sizeof(Structure) <= sizeof(lvif_portmap_query), "the buffer's size");
        return call(operation, &structure, sizeof(structure));
    }

    struct Close {
        void operator()(xencall_handle* handle) const { ::xencall_close(handle); }
    };

    std::unique_ptr<xencall_handle, Close> calls_;
    void* buffer_ = nullptr;  // of calls_
};

}  // namespace librettos
