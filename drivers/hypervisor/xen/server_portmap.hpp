// SPDX-License-Identifier: BSD-2-Clause
// The server as the portmap's authority, for a hypervisor that has none: a table in the server's memory, and a copy of
// it in the store, from which the next server goes on.
//
// Theory of operation
//
//   <server>/data/librettos-ports/version       1
//   <server>/data/librettos-ports/owner/<id>    who the domain is, or was, and until when its ports are quarantined
//   <server>/data/librettos-ports/tcp/<block>   256 ports, portmap_text.hpp; udp/<block> likewise
//
// A claim is written before it is answered: the owner first, if it is new, then the blocks that the claim touches: one
// for a bind, for a lease of n ports at most n / 256 + 2 of each protocol. A claim that cannot be written is taken
// back. What becomes free by itself (quarantines that end) is written by handle_time(), a few values at a time: until
// then the store says more than there is, which the next server corrects by the same clock. An owner's value goes after
// the last of its ports has gone. So at most 512 blocks and one value per owner are kept: within the 1,000 nodes that
// xenstored allows an unprivileged domain, of at most 768 bytes each.
//
// The clock is the machine's since boot, as the store's life ends with the machine's. A port's age begins anew with
// each server. A server that is killed between writing down a claim and answering it leaves that claim to the guest: a
// lease repeated to the next server is another block, and counts against the guest's limit.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/hypervisor/server_ports.hpp"
#include "drivers/hypervisor/xen/port_store.hpp"
#include "drivers/hypervisor/xen/portmap_source.hpp"
#include "drivers/hypervisor/xen/portmap_text.hpp"
#include "portmap/authority.hpp"

namespace librettos {

class ServerPortmap final : public PortmapSource, public ServerPorts {
  public:
    using Time = PortmapAuthority::Time;
    using Now = std::function<Time()>;

    // Takes up what the store holds; its domains count as living until remove_domain(). Throws std::system_error: the
    // store's errors; EINVAL: what is there was not written by a server of this version.
    ServerPortmap(std::unique_ptr<PortStore> store, DomId server,
                  PortmapAuthority::Settings const& settings = default_settings(), Now now = time_since_boot);

    static PortmapAuthority::Settings default_settings();
    static Time time_since_boot();

    std::string_view authority() const override { return "server"; }
    lvif_portmap const& table() const override { return *table_; }
    PortInfo query(std::uint8_t protocol, std::uint16_t port) override;
    void set_limit(DomId domain, std::uint32_t ports) override;
    // When it throws for want of writing it down, it stands, and is written later.
    void reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) override;
    ServerPorts* server_ports() override { return this; }

    void add_domain(DomId domain, std::string_view name) override;
    void remove_domain(DomId domain) override;
    std::vector<Known> domains() const override;
    int bind(DomId domain, std::uint8_t protocol, std::uint16_t port, std::uint16_t& bound) override;
    int lease(DomId domain, std::uint8_t protocol, std::uint16_t count, std::uint16_t& first) override;
    int release(DomId domain, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) override;
    std::chrono::milliseconds handle_time() override;

  private:
    using Blocks = PortmapAuthority::Blocks;

    void restore();
    void restore_owners(std::map<DomId, PortOwner>& owners);
    void restore_blocks();
    void restore_port(std::uint8_t protocol, std::uint16_t port, std::uint32_t entry);
    [[noreturn]] void spoiled(std::string const& path) const;

    void note_changes();
    void forget_owners();
    bool write_claim(DomId domain, std::uint8_t protocol, std::uint32_t first, std::uint32_t count);
    void write_blocks(Blocks const& blocks);
    void write_block(std::size_t block);
    void write_owner(DomId domain, PortOwner const& owner);
    // Writes up to `budget` values; whether that was all.
    bool write_some(std::size_t budget);
    void write_all();
    std::string owner_path(DomId domain) const;
    std::string block_path(std::size_t block) const;

    std::unique_ptr<PortStore> store_;
    std::string const root_;
    PortmapAuthority::Settings const settings_;
    Now const now_;
    std::unique_ptr<lvif_portmap> table_;
    PortmapAuthority authority_;
    std::map<DomId, PortOwner> owners_;  // living, and those with quarantined ports
    Blocks dirty_;                       // blocks whose text in the store may be another
    std::map<DomId, std::string> stored_owners_;
    std::array<std::string, Blocks{}.size()> stored_blocks_;
};

}  // namespace librettos
