// SPDX-License-Identifier: BSD-2-Clause
// A small world for the control thread: domains, a store with watches, guest memory, event channels, a portmap. It
// outlives the connections of servers to it (FakeHypervisor), as a hypervisor does, and counts what they hold.
#pragma once

#include <librettos/portmap.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "drivers/hypervisor/hypervisor.hpp"
#include "drivers/hypervisor/xen/server_portmap.hpp"

namespace librettos::test {

inline constexpr DomId server_domain{1};

struct Region {
    struct Page {
        alignas(4096) std::byte bytes[4096];
    };
    std::vector<Page> pages;
    std::span<std::byte> bytes() { return {pages.front().bytes, pages.size() * sizeof(Page)}; }
};

// Two ends; the guest's is a count.
struct Channel {
    Channel();
    ~Channel();
    int server_fd;  // eventfd
    std::uint64_t to_guest = 0;
    bool bound = false;
};

class World {
  public:
    World();
    ~World();

    DomId create_domain(std::string const& name);
    void destroy_domain(DomId domain);
    std::uint32_t share(DomId domain, std::size_t bytes);
    std::uint32_t allocate_event(DomId domain);
    void write(std::string const& path, std::string const& value);
    void remove(std::string const& path);
    std::string read(std::string const& path) const;  // "" when there is none
    bool has(std::string const& path) const;          // it or something below
    void changed(std::string const& path);
    void set_port(std::uint8_t protocol, std::uint16_t port, std::uint32_t entry);

    // The n-th call from now on throws; 0: none.
    void fail_call(std::uint64_t n, int error = EIO);
    // Each call throws with this probability, drawn from the seed.
    void fail_sometimes(double probability, std::uint32_t seed);
    void no_faults();
    void call(char const* what);

    std::map<std::string, std::string> store;
    std::map<DomId, std::string> domains;
    std::map<std::pair<DomId, std::uint32_t>, std::shared_ptr<Region>> regions;
    std::map<std::pair<DomId, std::uint32_t>, std::shared_ptr<Channel>> channels;
    std::map<DomId, std::uint32_t> port_limits;
    std::map<DomId, std::string> readers;
    std::set<std::string> watches;
    std::deque<WatchEvent> events;
    std::unique_ptr<lvif_portmap> portmap;
    std::unique_ptr<ServerPortmap> server_ports;  // the authority, when there is one
    std::map<std::uint32_t, PortInfo> port_info;  // by protocol << 16 | port
    int watch_fd;
    std::set<std::byte const*> in_use;  // rings that the data plane serves
    bool host_makes_devices = false;    // as on Xen
    int mappings = 0;
    int bound_channels = 0;
    int unmapped_in_use = 0;  // must stay 0: memory taken from under the data plane
    std::uint64_t calls = 0;
    std::uint64_t faults = 0;
    std::atomic<bool> lost = false;  // told while an engine runs

  private:
    std::uint16_t next_domain_ = 2;
    std::uint32_t next_reference_ = 1;
    std::uint64_t fail_at_ = 0;
    int fail_error_ = 0;
    double probability_ = 0;
    std::mt19937 random_;
};

// One server's connection.
class FakeHypervisor final : public Hypervisor {
  public:
    explicit FakeHypervisor(World& world) : world_(world) {}
    ~FakeHypervisor() override { world_.watches.clear(); }

    DomId self() const override { return server_domain; }
    std::string_view name() const override { return "fake"; }
    std::string_view portmap_authority() const override { return world_.server_ports ? "server" : "hypervisor"; }
    std::vector<DomId> domains() override;
    bool domain_exists(DomId domain) override;
    std::optional<std::string> domain_name(DomId domain) override;
    bool makes_devices() const override { return world_.host_makes_devices; }
    void make_device(DomId guest, std::vector<std::pair<std::string, std::string>> const& backend_keys) override;
    std::optional<std::string> read(std::string const& path) override;
    std::vector<std::string> list(std::string const& path) override;
    void write(std::string const& path, std::string const& value) override;
    void remove(std::string const& path) override;
    void permit(std::string const& path, DomId owner, DomId reader) override;
    void watch(std::string const& path) override;
    void unwatch(std::string const& path) override;
    std::vector<WatchEvent> take_watch_events() override;
    int watch_fd() const override { return world_.watch_fd; }
    std::unique_ptr<Mapping> map(DomId domain, RegionRef region, std::size_t size_bytes,
                                 std::optional<LifeSign> life_sign) override;
    std::unique_ptr<EventChannel> bind_event(DomId domain, EventPort guest_port) override;
    lvif_portmap const& portmap() override {
        return world_.server_ports ? world_.server_ports->table() : *world_.portmap;
    }
    ServerPorts* server_ports() override { return world_.server_ports.get(); }
    PortInfo query_port(std::uint8_t protocol, std::uint16_t port) override;
    void set_port_limit(DomId domain, std::uint32_t ports) override;
    void reserve_ports(std::uint8_t, std::uint16_t, std::uint16_t, bool) override {}

  private:
    World& world_;
};

}  // namespace librettos::test
