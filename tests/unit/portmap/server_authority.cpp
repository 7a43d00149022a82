// SPDX-License-Identifier: BSD-2-Clause
// The server's own portmap under the conformance suite: as one server, and as a row of servers that are killed.
#include <memory>

#include "drivers/hypervisor/xen/server_portmap.hpp"
#include "tests/unit/errno_of.hpp"
#include "tests/unit/portmap/authority_in_test.hpp"
#include "tests/unit/portmap/memory_store.hpp"

namespace librettos::test {

namespace {

// What an engine does around its portmap: it tells of domains and sets their limits.
class ServerAuthority final : public AuthorityInTest {
  public:
    // `mortal`: the server is killed before each change but a bind, and another goes on from the store.
    ServerAuthority(std::chrono::seconds quarantine, bool mortal) : mortal_{mortal} {
        settings_.quarantine = quarantine;
        start();
    }

    Guest create_guest(std::string const& name) override {
        die();
        Guest const guest{0, DomId{++last_domain_}};
        guests_[guest.domain] = {name, settings_.ports_per_domain};
        server_->add_domain(guest.domain, name);
        return guest;
    }
    void destroy_guest(Guest guest) override {
        die();
        guests_.erase(guest.domain);
        server_->remove_domain(guest.domain);
        settle();
    }
    int bind(Guest guest, std::uint8_t protocol, std::uint16_t port, std::uint16_t* bound) override {
        int const status = server_->bind(guest.domain, protocol, port, *bound);
        settle();
        return status;
    }
    int lease(Guest guest, std::uint8_t protocol, std::uint16_t count, std::uint16_t* first) override {
        die();
        return server_->lease(guest.domain, protocol, count, *first);
    }
    int release(Guest guest, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) override {
        die();
        return server_->release(guest.domain, protocol, first, count);
    }
    int set_limit(DomId domain, std::uint32_t ports) override {
        die();
        int const status = -errno_of([&] { server_->set_limit(domain, ports); });
        if (status == 0)
            guests_.at(domain).limit = ports;
        return status;
    }
    int reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool on) override {
        die();
        return -errno_of([&] { server_->reserve(protocol, first, count, on); });
    }
    int query(std::uint8_t protocol, std::uint16_t port, QueryAnswer& answer) override {
        PortInfo info;
        int const status = -errno_of([&] { info = server_->query(protocol, port); });
        answer = {info.entry, info.age_s, info.quarantine_left_s, info.owner_ports, info.owner_limit, info.owner_name};
        return status;
    }
    lvif_portmap const& table() override { return server_->table(); }
    void pass(std::chrono::milliseconds time) override { now_ += time; }

  private:
    struct Known {
        std::string name;
        std::uint32_t limit;
    };

    void start() {
        server_.reset();
        server_ = std::make_unique<ServerPortmap>(std::make_unique<MemoryStore>(store_), DomId{0}, settings_,
                                                  [this] { return now_; });
        std::vector<DomId> gone;
        for (auto const& known : server_->domains())
            if (!guests_.contains(known.domain))
                gone.push_back(known.domain);
        for (DomId const domain : gone)
            server_->remove_domain(domain);
        for (auto const& [domain, known] : guests_) {
            server_->add_domain(domain, known.name);
            server_->set_limit(domain, known.limit);
        }
    }
    void die() {
        if (mortal_)
            start();
    }
    // An engine's loop, some of the time.
    void settle() {
        if (++operations_ % 3 == 0)
            (void)server_->handle_time();
    }

    bool const mortal_;
    PortmapAuthority::Settings settings_ = ServerPortmap::default_settings();
    PortmapAuthority::Time now_{1'000'000'000};
    StoreContent store_;
    std::map<DomId, Known> guests_;
    std::unique_ptr<ServerPortmap> server_;
    std::uint16_t last_domain_ = 0;
    std::uint64_t operations_ = 0;
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Server, PortmapConformance,
                         testing::Values(AuthorityFactory{[](std::chrono::seconds quarantine) {
                             return std::make_unique<ServerAuthority>(quarantine, false);
                         }}));

INSTANTIATE_TEST_SUITE_P(KilledServers, PortmapConformance,
                         testing::Values(AuthorityFactory{[](std::chrono::seconds quarantine) {
                             return std::make_unique<ServerAuthority>(quarantine, true);
                         }}));

}  // namespace librettos::test
