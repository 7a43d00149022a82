// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor seam over a connection to librettos-hypervisord.
#pragma once

#include <memory>
#include <string>

#include "drivers/hypervisor/hypervisor.hpp"
#include "hypervisord_client.h"

namespace librettos {

class LocalHypervisor final : public Hypervisor {
  public:
    // Connects as the server. Empty path: $LIBRETTOS_HYPERVISOR_SOCKET, else the default. Throws std::system_error;
    // EBUSY: another server is connected.
    explicit LocalHypervisor(std::string const& socket_path);
    ~LocalHypervisor() override;

    DomId self() const override;
    std::string_view name() const override { return "local"; }
    std::string_view portmap_authority() const override { return "hypervisor"; }

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

    lvif_portmap const& portmap() override;
    PortInfo query_port(std::uint8_t protocol, std::uint16_t port) override;
    void set_port_limit(DomId domain, std::uint32_t ports) override;
    void reserve_ports(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) override;

    // What hypervisord holds, for the resources that status shows.
    lvif_hv_totals totals();

  private:
    struct Close {
        void operator()(lvif_hv* hv) const { lvif_hv_close(hv); }
    };
    std::unique_ptr<lvif_hv, Close> hv_;
};

std::unique_ptr<Hypervisor> make_local_hypervisor(std::string const& socket_path);

}  // namespace librettos
