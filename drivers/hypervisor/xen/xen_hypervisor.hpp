// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor seam on Xen: xenstored, /dev/xen/gntdev, /dev/xen/evtchn, and a source of the portmap. In dom0 or a
// driver domain.
#pragma once

#include <memory>
#include <optional>

#include "drivers/hypervisor/hypervisor.hpp"
#include "drivers/hypervisor/xen/device_watches.hpp"
#include "drivers/hypervisor/xen/grant_table.hpp"
#include "drivers/hypervisor/xen/portmap_source.hpp"
#include "drivers/hypervisor/xen/xen_store.hpp"

namespace librettos {

class XenHypervisor final : public Hypervisor {
  public:
    // Throws std::system_error that says what is missing.
    explicit XenHypervisor(std::unique_ptr<PortmapSource> portmap);

    DomId self() const override { return self_; }
    std::string_view name() const override { return "xen"; }
    std::string_view portmap_authority() const override { return portmap_->authority(); }

    std::vector<DomId> domains() override;
    bool domain_exists(DomId domain) override;
    std::optional<std::string> domain_name(DomId domain) override;
    bool makes_devices() const override { return true; }
    void make_device(DomId guest, std::vector<std::pair<std::string, std::string>> const& backend_keys) override;

    std::optional<std::string> read(std::string const& path) override { return store_.read(path); }
    std::vector<std::string> list(std::string const& path) override { return store_.list(path); }
    void write(std::string const& path, std::string const& value) override { store_.write(path, value); }
    void remove(std::string const& path) override { store_.remove(path); }
    void permit(std::string const& path, DomId owner, DomId reader) override { store_.permit(path, owner, reader); }
    void watch(std::string const& path) override;
    void unwatch(std::string const& path) override;
    std::vector<WatchEvent> take_watch_events() override;
    int watch_fd() const override { return store_.fd(); }

    // Mappings and channels must not outlive this object.
    std::unique_ptr<Mapping> map(DomId domain, RegionRef region, std::size_t size_bytes,
                                 std::optional<LifeSign> life_sign) override;
    std::unique_ptr<EventChannel> bind_event(DomId domain, EventPort guest_port) override;

    lvif_portmap const& portmap() override { return portmap_->table(); }
    PortInfo query_port(std::uint8_t protocol, std::uint16_t port) override { return portmap_->query(protocol, port); }
    void set_port_limit(DomId domain, std::uint32_t ports) override;
    void reserve_ports(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) override {
        portmap_->reserve(protocol, first, count, reserve);
    }
    ServerPorts* server_ports() override { return portmap_->server_ports(); }

  private:
    XenStore store_;
    DomId self_;
    GrantTable grants_;
    std::optional<DeviceWatches> devices_;
    std::set<std::string> watched_;
    std::unique_ptr<PortmapSource> portmap_;
};

}  // namespace librettos
