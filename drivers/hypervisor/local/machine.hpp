// SPDX-License-Identifier: BSD-2-Clause
// The machine that hypervisord plays: domains, their store, shared memory, event channels and ports. It answers
// requests; sockets and waiting are its caller's (hypervisord.hpp).
//
// Ownership. A guest's regions and channels are its domain's and go with it. What the server holds (mappings, bound
// channels, watches) is its connection's; a new connection of the server binds and maps again what the guests still
// have.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "drivers/hypervisor/local/portmap_memory.hpp"
#include "drivers/hypervisor/local/request.hpp"
#include "drivers/hypervisor/local/store.hpp"
#include "drivers/hypervisor/local/watches.hpp"
#include "hypervisord_client.h"
#include "portmap/authority.hpp"
#include "portmap/domain_id.hpp"

namespace librettos {

// One end of a connection as the machine knows it.
struct Peer {
    Peer(uid_t its_uid, std::size_t watches_max) : uid{its_uid}, watches{watches_max} {}

    uid_t uid;
    std::optional<lvif_hv_role> role;  // empty before HELLO
    DomId domain;
    Watches watches;
};

class Machine {
  public:
    struct Settings {
        PortmapAuthority::Settings ports;
        std::uint32_t domains_max = 1024;
        std::uint32_t descriptors_max = 100'000;  // for regions and channels together
    };

    static constexpr std::uint16_t domain_id_max = 0x7fef;
    static constexpr std::size_t regions_per_guest_max = 256;
    static constexpr std::size_t channels_per_guest_max = 128;
    static constexpr std::size_t guest_watches_max = 64;
    static constexpr std::size_t server_watches_max = 65536;

    explicit Machine(Settings const& settings);

    // A peer lives between these two. leave() undoes everything that it had; its Watches' events are void then.
    void join(Peer& peer);
    void leave(Peer& peer);
    // Privileges: role SERVER and CONTROL are for root and for hypervisord's own user.
    Reply handle(Peer& peer, Request& request);
    // The connected peer that a HELLO of this request would collide with.
    Peer* rival(Request const& request);

    // Peers with events queued since the last call.
    std::vector<Peer*> take_peers_with_events();
    void expire_quarantines() { authority_.expire(now()); }
    std::optional<PortmapAuthority::Time> next_expiry() const { return authority_.next_expiry(); }
    static PortmapAuthority::Time now();

    std::string name_of(DomId domain) const;
    lvif_hv_totals statistics() const;
    void count_broken_peer() { broken_peers_++; }

  private:
    struct Channel {
        UniqueFd to_server;       // eventfd, read by the server
        UniqueFd to_guest;        // the server's end of a socket pair
        DomId for_domain;         // who may bind it
        std::uint32_t bound = 0;  // the server's port; 0: not bound
        void notify_guest() const;
    };
    using ChannelPtr = std::shared_ptr<Channel>;

    struct LifeSign {
        std::uint64_t offset;
        ChannelPtr channel;
    };

    struct Region {
        UniqueFd memory;
        std::uint64_t bytes = 0;
        DomId for_domain;
        bool mapped = false;
        std::optional<LifeSign> life_sign;
    };

    struct Guest {
        std::string name;
        Peer* peer = nullptr;
        std::uint32_t last_region = 0;
        std::unordered_map<std::uint32_t, Region> regions;
        std::vector<ChannelPtr> channels;  // by port; [0] unused
    };

    Reply dispatch(Peer& peer, Request& request);
    int check_privilege(Peer const& peer, lvif_hvp_operation operation) const;

    Reply hello(Peer& peer, Request const& request);
    int create_guest(Peer& peer, std::string_view name);
    void destroy_guest(Guest& guest, DomId domain);
    std::optional<DomId> free_domain_id();

    Reply store_read(Peer const& peer, std::string_view path) const;
    int store_write(Peer const& peer, std::string_view path, std::string_view value);
    int store_remove(Peer const& peer, std::string_view path);
    Reply store_list(Peer const& peer, std::string_view path, std::string_view after) const;
    int store_permit(Request const& request);
    int watch(Peer& peer, std::string_view path);
    int unwatch(Peer& peer, std::string_view path);
    int check_change(std::string_view path) const;
    void fire(std::string_view path);
    void fire_removal(std::string_view path);
    void queue_event(Peer& peer, std::string_view watched, std::string_view changed);

    Reply share(Peer const& peer, Request& request);
    int unshare(Peer const& peer, std::uint64_t region);
    Reply map(Request const& request);
    int unmap(std::uint64_t domain, std::uint64_t region);
    void end_mapping(Region& region);
    Reply allocate(Peer const& peer, std::uint64_t for_domain);
    Reply bind(Request const& request);
    int free_port(Peer const& peer, std::uint64_t port);
    void unbind(std::uint32_t port);
    void end_server();
    bool descriptors_left(std::uint32_t wanted) const;
    Region* find_region(std::uint64_t domain, std::uint64_t region);
    Guest* find_guest(std::uint64_t domain);

    Reply ports(Peer const& peer, Request const& request);
    Reply query_port(Request const& request);
    Reply portmap_descriptor() const;

    Settings settings_;
    Store store_;
    PortmapMemory portmap_;
    PortmapAuthority authority_;
    std::unordered_map<std::uint16_t, Guest> guests_;
    std::unordered_map<std::string, std::uint16_t> guests_by_name_;
    std::uint16_t last_domain_ = 0;
    Peer* server_ = nullptr;
    std::vector<ChannelPtr> server_channels_{nullptr};  // by the server's port; [0] unused
    std::map<std::string, std::vector<Peer*>, std::less<>> watchers_;
    std::vector<Peer*> peers_with_events_;
    std::uint64_t peers_ = 0;
    std::uint64_t watches_ = 0;
    std::uint64_t regions_ = 0;
    std::uint64_t mappings_ = 0;
    std::uint64_t channels_ = 0;
    std::uint64_t bound_channels_ = 0;
    std::uint64_t refused_requests_ = 0;
    std::uint64_t broken_peers_ = 0;
};

}  // namespace librettos
