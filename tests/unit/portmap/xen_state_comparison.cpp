// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor's state machine and PortmapAuthority, side by side: the same operations and the same random numbers
// must give the same answers and the same table.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "portmap/authority.hpp"
#include "tests/unit/portmap/conformance.hpp"
#include "tests/unit/portmap/xen_state.hpp"

namespace librettos::test {

class XenStateBeside {
  public:
    explicit XenStateBeside(std::uint32_t seed)
        : choice_{seed}, authority_{*table_, settings(), [this] {
                                        return static_cast<std::uint32_t>(authority_random_());
                                    }} {
        XenState::Settings small;
        small.quarantined_ports = settings().quarantined_ports;
        small.quarantined_domains = settings().quarantined_domains;
        xen_random = [random = std::make_shared<std::mt19937>(7)] { return static_cast<std::uint32_t>((*random)()); };
        xen_ = std::make_unique<XenState>(small);
        for (int i = 0; i < 6; i++)
            create();
    }

    void step() {
        now_ms_ += below(3) == 0 ? below(3000) : 0;
        authority_.expire(now());
        xen_->expire(now_ms_, 1 + below(100));
        std::size_t const slot = below(static_cast<std::uint32_t>(domains_.size()));
        switch (below(16)) {
            case 0:
                return recreate(slot);
            case 1:
                return reserve();
            case 2:
                return set_limit(slot);
            case 3:
            case 4:
            case 5:
                return lease(slot);
            case 6:
            case 7:
            case 8:
                return release(slot);
            case 9:
                return query();
            default:
                return bind(slot);
        }
    }

    void compare() {
        ASSERT_EQ(std::memcmp(table_->tcp, xen_->table().tcp, sizeof(table_->tcp)), 0);
        ASSERT_EQ(std::memcmp(table_->udp, xen_->table().udp, sizeof(table_->udp)), 0);
        ASSERT_EQ(authority_.totals().bound, xen_->get()->bound);
        ASSERT_EQ(authority_.totals().quarantined, xen_->get()->quarantined);
        auto const next = authority_.next_expiry();
        ASSERT_EQ(next ? static_cast<std::uint64_t>(next->count()) : UINT64_MAX, portmap_next_expiry(xen_->get()));
    }

  private:
    static PortmapAuthority::Settings settings() {
        PortmapAuthority::Settings result;
        result.quarantined_ports = 3000;
        result.quarantined_domains = 5;
        return result;
    }
    std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(choice_() % bound); }
    std::uint8_t protocol() { return below(2) == 0 ? IPPROTO_TCP : IPPROTO_UDP; }
    std::uint8_t protocol_or_both() { return below(3) == 0 ? std::uint8_t{LVIF_PORT_TCP_AND_UDP} : protocol(); }
    std::uint16_t port() { return static_cast<std::uint16_t>((below(2) == 0 ? 1 : 46880) + below(40)); }
    PortmapAuthority::Time now() const { return PortmapAuthority::Time{now_ms_}; }
    portmap_state* xen() { return xen_->get(); }

    void create() {
        DomId const domain{++last_domain_};
        std::string const name = "guest-" + std::to_string(below(8));
        authority_.add_domain(domain, name);
        xen_->add(domain, name);
        domains_.push_back(domain);
    }
    void recreate(std::size_t slot) {
        authority_.remove_domain(domains_[slot], now());
        xen_->remove(domains_[slot], now_ms_, 1 + below(100));
        domains_.erase(domains_.begin() + static_cast<std::ptrdiff_t>(slot));
        create();
    }
    void bind(std::size_t slot) {
        std::uint8_t const p = protocol();
        std::uint16_t const wanted = below(3) == 0 ? std::uint16_t{0} : port();
        std::uint16_t expected = 0;
        std::uint16_t bound = 0;
        int const status = authority_.bind(domains_[slot], p, wanted, now(), &expected);
        ASSERT_EQ(portmap_bind(xen(), domains_[slot].value, p, wanted, now_ms_, &bound), status);
        ASSERT_EQ(bound, expected);
    }
    void lease(std::size_t slot) {
        std::uint8_t const p = protocol_or_both();
        std::uint32_t const count = 1 + below(below(8) == 0 ? 30000 : 100);
        std::uint16_t expected = 0;
        std::uint16_t first = 0;
        int const status = authority_.lease(domains_[slot], p, count, now(), &expected);
        ASSERT_EQ(portmap_lease(xen(), domains_[slot].value, p, count, now_ms_, &first), status);
        ASSERT_EQ(first, expected);
        if (status == 0)
            leases_.push_back({domains_[slot], p, first, count});
    }
    void release(std::size_t slot) {
        Lease what{domains_[slot], protocol_or_both(), port(), 1 + below(3)};
        if (!leases_.empty() && below(2) == 0) {
            what = leases_[below(static_cast<std::uint32_t>(leases_.size()))];
            what.first = static_cast<std::uint16_t>(what.first + below(2));
        }
        if (below(20) == 0)
            what = {domains_[slot], LVIF_PORT_TCP_AND_UDP, 0, 0};
        int const status = authority_.release(what.domain, what.protocol, what.first, what.count, now());
        ASSERT_EQ(xen_->release(what.domain, what.protocol, what.first, what.count, now_ms_), status);
    }
    void reserve() {
        std::uint8_t const p = protocol();
        std::uint32_t const first = below(40) == 0 ? 0 : port();
        std::uint32_t const count = below(20);
        bool const on = below(2) == 0;
        int const status = authority_.reserve(p, first, count, on, now());
        ASSERT_EQ(portmap_reserve(xen(), p, first, count, on, now_ms_), status);
    }
    void set_limit(std::size_t slot) {
        std::uint32_t const ports = below(4) == 0 ? below(200) : below(140000);
        int const status = authority_.set_limit(domains_[slot], ports);
        ASSERT_EQ(portmap_set_limit(xen(), domains_[slot].value, ports), status);
    }
    void query() {
        lvif_portmap_query query{};
        query.protocol = protocol();
        query.port = port();
        PortmapAuthority::Answer answer;
        ASSERT_EQ(authority_.query(query.protocol, query.port, now(), answer), 0);
        ASSERT_EQ(portmap_query(xen(), now_ms_, &query), 0);
        ASSERT_EQ(query.entry, answer.entry);
        ASSERT_EQ(query.age_s, answer.age_s);
        ASSERT_EQ(query.quarantine_left_s, answer.quarantine_left_s);
        ASSERT_EQ(query.owner_ports, answer.owner_ports);
        ASSERT_EQ(query.owner_limit, answer.owner_limit);
        ASSERT_EQ(query.owner_name, answer.owner_name);
    }

    struct Lease {
        DomId domain;
        std::uint8_t protocol;
        std::uint16_t first;
        std::uint32_t count;
    };

    std::mt19937 choice_;
    std::mt19937 authority_random_{7};
    std::unique_ptr<lvif_portmap> table_ = std::make_unique<lvif_portmap>();
    PortmapAuthority authority_;
    std::unique_ptr<XenState> xen_;
    std::vector<DomId> domains_;
    std::vector<Lease> leases_;
    std::uint64_t now_ms_ = 5000;
    std::uint16_t last_domain_ = 0;
};

TEST(XenState, AnswersAsPortmapAuthorityDoes) {
    char const* wish = std::getenv("LIBRETTOS_TEST_SEED");
    auto const seed =
        wish != nullptr ? static_cast<std::uint32_t>(std::strtoul(wish, nullptr, 10)) : std::random_device{}();
    for (std::uint32_t run = 0; run < 4; run++) {
        SCOPED_TRACE("LIBRETTOS_TEST_SEED=" + std::to_string(seed + run));
        XenStateBeside both{seed + run};
        for (int i = 0; i < 5000 && !testing::Test::HasFatalFailure(); i++) {
            both.step();
            if (i % 20 == 0)
                both.compare();
        }
        both.compare();
    }
}

}  // namespace librettos::test
