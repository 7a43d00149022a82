// SPDX-License-Identifier: BSD-2-Clause
// Random operations on an authority against the simplest model of one.
#include <array>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>

#include "tests/unit/portmap/conformance.hpp"

namespace librettos::test {

namespace {

struct ModelPort {
    lvif_port_state state = LVIF_PORT_FREE;
    std::uint16_t owner = 0;
    bool leased = false;
    std::string name;
    std::uint32_t word() const { return lvif_port_entry(state, owner, leased ? LVIF_PORT_LEASED : 0); }
};

// Two arrays, looked through from end to end.
struct Model {
    std::array<std::array<ModelPort, LVIF_PORTS>, 2> ports;
    std::map<std::uint16_t, std::uint32_t> limits;

    ModelPort& at(std::uint8_t protocol, std::uint32_t port) { return ports[protocol == IPPROTO_UDP][port]; }
    std::uint32_t owned(std::uint16_t domain) const {
        std::uint32_t count = 0;
        for (auto const& table : ports)
            for (ModelPort const& port : table)
                count += port.state == LVIF_PORT_BOUND && port.owner == domain;
        return count;
    }
    std::uint32_t quarantined() const {
        std::uint32_t count = 0;
        for (auto const& table : ports)
            for (ModelPort const& port : table)
                count += port.state == LVIF_PORT_QUARANTINED;
        return count;
    }
    bool owns(std::uint16_t domain, std::uint8_t protocol, std::uint32_t port) {
        return at(protocol, port).state == LVIF_PORT_BOUND && at(protocol, port).owner == domain;
    }
    int bind(std::uint16_t domain, std::string const& name, std::uint8_t protocol, std::uint32_t port) {
        ModelPort& entry = at(protocol, port);
        if (owns(domain, protocol, port))
            return 0;
        bool const claimable =
            entry.state == LVIF_PORT_FREE || (entry.state == LVIF_PORT_QUARANTINED && entry.name == name);
        if (!claimable)
            return -EADDRINUSE;
        if (owned(domain) >= limits[domain])
            return -EDQUOT;
        entry = {LVIF_PORT_BOUND, domain, false, name};
        return 0;
    }
    bool block_exists(std::uint8_t protocol, std::uint32_t count) {
        std::uint32_t run = 0;
        for (std::uint32_t port = 32768; port <= 60999; port++) {
            run = at(protocol, port).state == LVIF_PORT_FREE ? run + 1 : 0;
            if (run == count)
                return true;
        }
        return false;
    }
};

}  // namespace

class RandomOperations {
  public:
    RandomOperations(AuthorityUnderTest& authority, std::uint32_t seed) : authority_{authority}, random_{seed} {
        for (int i = 0; i < 4; i++)
            create(i);
    }

    void step() {
        int const slot = below(4);
        switch (below(16)) {
            case 0:
                return recreate(slot);
            case 1:
                return reserve();
            case 2:
                return limit(slot);
            case 3:
            case 4:
                return lease(slot);
            case 5:
            case 6:
                return choose(slot);
            case 7:
            case 8:
            case 9:
                return release(slot);
            default:
                return bind(slot);
        }
    }

    void compare() {
        for (std::uint32_t port = 0; port < LVIF_PORTS; port++) {
            ASSERT_EQ(authority_.table().tcp[port], model_.ports[0][port].word()) << "TCP " << port;
            ASSERT_EQ(authority_.table().udp[port], model_.ports[1][port].word()) << "UDP " << port;
        }
    }

  private:
    static constexpr std::uint32_t quarantined_ports = 16384;  // every authority keeps as many

    std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
    std::uint8_t protocol() { return below(2) == 0 ? IPPROTO_TCP : IPPROTO_UDP; }
    // Few distinct ports, so that guests meet.
    std::uint16_t port() { return static_cast<std::uint16_t>((below(2) == 0 ? 1000 : 33000) + below(40)); }
    static std::string name(int slot) { return "guest-" + std::to_string(slot); }

    void create(int slot) {
        guests_[slot] = authority_.create_guest(name(slot));
        model_.limits[guests_[slot].domain.value] = 4096;
    }

    void recreate(int slot) {
        std::uint16_t const domain = guests_[slot].domain.value;
        if (model_.quarantined() + model_.owned(domain) > quarantined_ports)
            return;  // the oldest would leave their quarantine; the model knows no such thing
        authority_.destroy_guest(guests_[slot]);
        for (auto& table : model_.ports)
            for (ModelPort& port : table)
                if (port.state == LVIF_PORT_BOUND && port.owner == domain)
                    port = {LVIF_PORT_QUARANTINED, domain, false, name(slot)};
        create(slot);
    }

    void bind(int slot) {
        std::uint8_t const p = protocol();
        std::uint16_t const wanted = port();
        std::uint16_t bound = 0;
        int const status = authority_.bind(guests_[slot], p, wanted, &bound);
        ASSERT_EQ(status, model_.bind(guests_[slot].domain.value, name(slot), p, wanted));
        if (status == 0) {
            ASSERT_EQ(bound, wanted);
        }
    }

    void choose(int slot) {
        std::uint8_t const p = protocol();
        std::uint16_t const domain = guests_[slot].domain.value;
        std::uint16_t bound = 0;
        int const status = authority_.bind(guests_[slot], p, 0, &bound);
        bool const room = model_.owned(domain) < model_.limits[domain];
        ASSERT_EQ(status, !room ? -EDQUOT : model_.block_exists(p, 1) ? 0 : -EADDRINUSE);
        if (status == 0) {
            ASSERT_EQ(model_.at(p, bound).state, LVIF_PORT_FREE);
            model_.bind(domain, name(slot), p, bound);
        }
    }

    void lease(int slot) {
        std::uint8_t const p = protocol();
        std::uint16_t const domain = guests_[slot].domain.value;
        auto const count = static_cast<std::uint16_t>(1 + below(below(8) == 0 ? 20000 : 64));
        std::uint16_t first = 0;
        int const status = authority_.lease(guests_[slot], p, count, &first);
        bool const room = model_.owned(domain) + count <= model_.limits[domain];
        ASSERT_EQ(status, !room ? -EDQUOT : model_.block_exists(p, count) ? 0 : -EADDRINUSE);
        for (std::uint32_t port = first; status == 0 && port < first + std::uint32_t{count}; port++) {
            ASSERT_EQ(model_.at(p, port).state, LVIF_PORT_FREE) << port;
            model_.at(p, port) = {LVIF_PORT_BOUND, domain, true, name(slot)};
        }
    }

    void release(int slot) {
        std::uint8_t const p = protocol();
        std::uint16_t const domain = guests_[slot].domain.value;
        std::uint32_t const first = port();
        std::uint32_t const count = 1 + below(3);
        bool all = true;
        for (std::uint32_t port = first; port < first + count; port++)
            all = all && model_.owns(domain, p, port);
        ASSERT_EQ(
            authority_.release(guests_[slot], p, static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(count)),
            all ? 0 : -EPERM);
        for (std::uint32_t port = first; all && port < first + count; port++)
            model_.at(p, port) = {};
    }

    void reserve() {
        std::uint8_t const p = protocol();
        std::uint16_t const first = port();
        bool const on = below(3) == 0;
        bool const bound = model_.at(p, first).state == LVIF_PORT_BOUND;
        ASSERT_EQ(authority_.reserve(p, first, 1, on), on && bound ? -EADDRINUSE : 0);
        if (on && !bound)
            model_.at(p, first) = {LVIF_PORT_RESERVED, 0, false, ""};
        else if (!on && model_.at(p, first).state == LVIF_PORT_RESERVED)
            model_.at(p, first) = {};
    }

    void limit(int slot) {
        std::uint32_t const ports = below(4) == 0 ? below(8) : 4096 + below(50000);
        ASSERT_EQ(authority_.set_limit(guests_[slot].domain, ports), 0);
        model_.limits[guests_[slot].domain.value] = ports;
    }

    AuthorityUnderTest& authority_;
    std::mt19937 random_;
    Model model_;
    std::array<Guest, 4> guests_;
};

TEST_P(PortmapConformance, RandomOperationsAgreeWithAModel) {
    char const* wish = std::getenv("LIBRETTOS_TEST_SEED");
    auto const seed =
        wish != nullptr ? static_cast<std::uint32_t>(std::strtoul(wish, nullptr, 10)) : std::random_device{}();
    SCOPED_TRACE("LIBRETTOS_TEST_SEED=" + std::to_string(seed));
    start(std::chrono::hours{10});
    auto const operations = std::make_unique<RandomOperations>(*authority_, seed);
    for (int i = 0; i < 2000 && !HasFatalFailure(); i++) {
        operations->step();
        if (i % 100 == 0)
            operations->compare();
    }
    operations->compare();
}

}  // namespace librettos::test
