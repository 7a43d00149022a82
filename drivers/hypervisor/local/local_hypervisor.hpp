// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor seam over a connection to librettos-hypervisord.
#pragma once

#include <memory>
#include <string>

#include "drivers/hypervisor/hypervisor.hpp"
#include "drivers/hypervisor/xen/portmap_source.hpp"
#include "hypervisord_client.h"

namespace librettos {

class LocalHypervisor final : public Hypervisor {
  public:
    // Connects as the server. Empty path: $LIBRETTOS_HYPERVISOR_SOCKET, else the default. Throws std::system_error;
    // EBUSY: another server is connected. `server_keeps_portmap`: as on a hypervisor that has none, which this one then
    // stands for.
    explicit LocalHypervisor(std::string const& socket_path, bool server_keeps_portmap = false);
    ~LocalHypervisor() override;

    DomId self() const override;
    std::string_view name() const override { return "local"; }
    std::string_view portmap_authority() const override { return portmap_->authority(); }

    std::vector<DomId> domains() override;
    bool domain_exists(DomId domain) override;
    std::optional<std::string> domain_name(DomId domain) override;
    bool makes_devices() const override { return false; }
    void make_device(DomId guest, std::vector<std::pair<std::string, std::string>> const& backend_keys) override;

    std::optional<std::string> read(std::string const& path) override;
    std::vector<std::string> list(std::string const& path) override;
    void write(std::string const& path, std::string const& value) override;
    void remove(std::string const& path) override;
    void permit(std::string const& path, DomId owner, DomId reader) override;
    void watch(std::string const& path) override;
    void unwatch(std::string const& path) override;
    std::vector<WatchEvent> take_watch_events() override;
    int watch_fd() const override;

    // Mappings and channels must not outlive this object.
    std::unique_ptr<Mapping> map(DomId domain, RegionRef region, std::size_t size_bytes,
                                 std::optional<LifeSign> life_sign) override;
    std::unique_ptr<EventChannel> bind_event(DomId domain, EventPort guest_port) override;

    lvif_portmap const& portmap() override { return portmap_->table(); }
    PortInfo query_port(std::uint8_t protocol, std::uint16_t port) override { return portmap_->query(protocol, port); }
    void set_port_limit(DomId domain, std::uint32_t ports) override { portmap_->set_limit(domain, ports); }
    void reserve_ports(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) override {
        portmap_->reserve(protocol, first, count, reserve);
    }
    ServerPorts* server_ports() override { return portmap_->server_ports(); }

    // What hypervisord holds, for the resources that status shows.
    lvif_hv_totals totals();

  private:
    struct Close {
        void operator()(lvif_hv* hv) const { lvif_hv_close(hv); }
    };
    std::unique_ptr<lvif_hv, Close> hv_;
    std::unique_ptr<PortmapSource> portmap_;
};

std::unique_ptr<Hypervisor> make_local_hypervisor(std::string const& socket_path);

}  // namespace librettos
