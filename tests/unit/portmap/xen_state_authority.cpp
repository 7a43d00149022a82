// SPDX-License-Identifier: BSD-2-Clause
// The state machine of the authority in a Xen hypervisor (portmap/xen) under the conformance suite, with a clock of the
// test's.
#include <cerrno>
#include <cstring>
#include <limits>
#include <random>

#include "tests/unit/portmap/authority_in_test.hpp"
#include "tests/unit/portmap/xen_state.hpp"

namespace librettos::test {

namespace {

class XenStateAuthority final : public AuthorityInTest {
  public:
    explicit XenStateAuthority(std::chrono::seconds quarantine) {
        xen_random = [device = std::make_shared<std::random_device>()] { return (*device)(); };
        XenState::Settings settings;
        settings.quarantine_ms = static_cast<std::uint64_t>(quarantine.count()) * 1000;
        state_ = std::make_unique<XenState>(settings);
    }

    Guest create_guest(std::string const& name) override {
        Guest const guest{0, DomId{++last_domain_}};
        state_->add(guest.domain, name);
        return guest;
    }
    // Little by little, as the hypervisor does.
    void destroy_guest(Guest guest) override { state_->remove(guest.domain, now_ms_, 7); }
    int bind(Guest guest, std::uint8_t protocol, std::uint16_t port, std::uint16_t* bound) override {
        return portmap_bind(ready(), guest.domain.value, protocol, port, now_ms_, bound);
    }
    int lease(Guest guest, std::uint8_t protocol, std::uint16_t count, std::uint16_t* first) override {
        return portmap_lease(ready(), guest.domain.value, protocol, count, now_ms_, first);
    }
    int release(Guest guest, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) override {
        ready();
        return state_->release(guest.domain, protocol, first, count, now_ms_);
    }
    int set_limit(DomId domain, std::uint32_t ports) override {
        return portmap_set_limit(ready(), domain.value, ports);
    }
    int reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool on) override {
        return portmap_reserve(ready(), protocol, first, count, on, now_ms_);
    }
    int query(std::uint8_t protocol, std::uint16_t port, QueryAnswer& answer) override {
        lvif_portmap_query query{};
        query.protocol = protocol;
        query.port = port;
        int const status = portmap_query(ready(), now_ms_, &query);
        answer = {query.entry,       query.age_s,       query.quarantine_left_s,
                  query.owner_ports, query.owner_limit, query.owner_name};
        return status;
    }
    lvif_portmap const& table() override { return state_->table(); }
    void pass(std::chrono::milliseconds time) override { now_ms_ += static_cast<std::uint64_t>(time.count()); }

  private:
    portmap_state* ready() {
        state_->expire(now_ms_, 3);
        return state_->get();
    }
    std::unique_ptr<XenState> state_;
    std::uint64_t now_ms_ = 1'000'000;
    std::uint16_t last_domain_ = 0;
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(XenState, PortmapConformance,
                         testing::Values(AuthorityFactory{[](std::chrono::seconds quarantine) {
                             return std::make_unique<XenStateAuthority>(quarantine);
                         }}));

}  // namespace librettos::test
