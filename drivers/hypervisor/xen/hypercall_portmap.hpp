// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor as the portmap's authority: one that was built with portmap/xen, by its hypercall.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

extern "C" {  // the header does not say so
#include <xenforeignmemory.h>
}

#include "drivers/hypervisor/xen/portmap_calls.hpp"
#include "drivers/hypervisor/xen/portmap_source.hpp"

namespace librettos {

class HypercallPortmap final : public PortmapSource {
  public:
    // Null: the hypervisor has no portmap that this domain could use (PortmapCalls::present()), or this domain is HVM
    // or PVH, and only a PV domain can map the table. Then the hypervisor must not be the authority. In the control
    // domain, makes that one the table's server. Throws std::system_error, with the way out, when the hypervisor is the
    // authority but its table cannot be had:
    //   EPERM       another domain is the server, and this one cannot change that
    //   EBUSY       another domain still maps the table
    static std::unique_ptr<HypercallPortmap> open_if_present();
    // Whether that would not be null; assigns and maps nothing.
    static bool exists();

    ~HypercallPortmap() override;
    HypercallPortmap(HypercallPortmap const&) = delete;
    HypercallPortmap& operator=(HypercallPortmap const&) = delete;

    std::string_view authority() const override { return "hypervisor"; }
    lvif_portmap const& table() const override { return *table_; }
    // The owner's name is the one that the hypervisor was told, else the domain's UUID.
    PortInfo query(std::uint8_t protocol, std::uint16_t port) override;
    // These three: EPERM when this is not the control domain.
    void set_limit(DomId domain, std::uint32_t ports) override;
    void reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) override {
        calls_.reserve(protocol, first, count, reserve);
    }
    void set_name(DomId domain, std::string_view name) override { calls_.set_name(domain, name); }

  private:
    HypercallPortmap() = default;

    bool present();
    void become_server();
    lvif_portmap_table find_table();
    void map();

    struct CloseMemory {
        void operator()(xenforeignmemory_handle* handle) const { ::xenforeignmemory_close(handle); }
    };

    PortmapCalls calls_;
    std::unique_ptr<xenforeignmemory_handle, CloseMemory> memory_;
    lvif_portmap const* table_ = nullptr;
    std::size_t frames_ = 0;
};

}  // namespace librettos
