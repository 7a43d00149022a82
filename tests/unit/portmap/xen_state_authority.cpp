// SPDX-License-Identifier: BSD-2-Clause
// The state machine of the authority in a Xen hypervisor (portmap/xen) under the conformance suite, with a clock of the
// test's.
#include <cerrno>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include "tests/unit/portmap/conformance.hpp"
#include "tests/unit/portmap/xen_state.hpp"

namespace librettos::test {

namespace {

class XenStateAuthority final : public AuthorityUnderTest {
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
    bool checks_privileges() const override { return false; }
    int set_limit_as(Guest, DomId, std::uint32_t) override { return no_privileges(); }
    int reserve_as(Guest, std::uint8_t, std::uint16_t, std::uint16_t) override { return no_privileges(); }
    int query_as(Guest, std::uint8_t, std::uint16_t) override { return no_privileges(); }
    int map_as(Guest) override { return no_privileges(); }
    int bind_as_control(std::uint8_t, std::uint16_t) override { return no_privileges(); }
    lvif_portmap const& table() override { return state_->table(); }
    bool server_can_write() override { return no_privileges() == 0; }
    void pass(std::chrono::milliseconds time) override { now_ms_ += static_cast<std::uint64_t>(time.count()); }
    bool has_test_clock() const override { return true; }

  private:
    portmap_state* ready() {
        state_->expire(now_ms_, 3);
        return state_->get();
    }
    static int no_privileges() { throw std::logic_error{"checks_privileges() is false"}; }

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
