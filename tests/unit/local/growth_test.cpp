// SPDX-License-Identifier: BSD-2-Clause
// However often guests and servers come and go, hypervisord holds afterwards what it held before.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "tests/unit/local/hypervisord_process.hpp"

namespace librettos::test {

namespace {

constexpr std::size_t size = 65536;

struct Life {
    std::uint32_t region;
    std::uint32_t port;
    void* pages;
};

Life share(lvif_hv* guest) {
    Life life{};
    life.pages = lvif_hv_pages_allocate(guest, size);
    EXPECT_EQ(lvif_hv_share(guest, life.pages, size, 0, &life.region), 0);
    EXPECT_EQ(lvif_hv_event_allocate(guest, 0, &life.port), 0);
    std::string const home = "/local/domain/" + std::to_string(lvif_hv_self(guest));
    EXPECT_EQ(lvif_hv_write(guest, (home + "/device/lvif/0/state").c_str(), "3"), 0);
    EXPECT_EQ(lvif_hv_watch(guest, home.c_str()), 0);
    EXPECT_EQ(lvif_hv_port_bind(guest, IPPROTO_TCP, 0, nullptr), 0);
    return life;
}

// `orderly`: each side gives back what it has; else connections just end, the guest's first or the server's.
void cycle(HypervisordProcess const& process, lvif_hv* server, int kind) {
    Client guest{process, LVIF_HV_GUEST, "guest"};
    std::uint16_t const domain = lvif_hv_self(guest);
    Life const life = share(guest);
    std::uint32_t local = 0;
    void* mapped = nullptr;
    ASSERT_EQ(lvif_hv_event_bind(server, domain, life.port, &local), 0);
    ASSERT_EQ(lvif_hv_map(server, domain, life.region, size, 8, local, &mapped), 0);
    static_cast<char*>(mapped)[0] = 1;
    if (kind == 1)
        guest.close();
    EXPECT_EQ(lvif_hv_unmap(server, domain, life.region, mapped, size), 0);
    lvif_hv_event_free(server, local);
    if (kind == 0) {
        EXPECT_EQ(lvif_hv_unshare(guest, life.region), 0);
        lvif_hv_pages_free(guest, life.pages, size);
        lvif_hv_event_free(guest, life.port);
    }
}

lvif_hv_totals totals(lvif_hv* hv) {
    lvif_hv_totals numbers{};
    EXPECT_EQ(lvif_hv_statistics(hv, &numbers), 0);
    return numbers;
}

}  // namespace

TEST(Growth, ThousandCyclesLeaveNothing) {
    HypervisordProcess const process{{"--quarantine", "0"}};
    Client const control{process, LVIF_HV_CONTROL};
    auto server = std::make_unique<Client>(process, LVIF_HV_SERVER);
    auto const run = [&](int cycles) {
        for (int i = 0; i < cycles && !testing::Test::HasFatalFailure(); i++) {
            cycle(process, *server, i % 3);
            if (i % 10 == 0) {
                server.reset();
                server = std::make_unique<Client>(process, LVIF_HV_SERVER);
            }
        }
        ASSERT_TRUE(eventually([&] { return totals(control).domains == 0 && totals(control).connections == 2; }));
    };
    run(200);  // what the allocator keeps for good is there now
    lvif_hv_totals const before = totals(control);
    std::size_t const fds = process.open_fds();
    std::size_t const resident = process.resident_kib();
    run(1000);
    lvif_hv_totals const after = totals(control);
    EXPECT_EQ(after.store_nodes, before.store_nodes);
    EXPECT_EQ(after.watches, 0u);
    EXPECT_EQ(after.queued_events, 0u);
    EXPECT_EQ(after.regions, 0u);
    EXPECT_EQ(after.mappings, 0u);
    EXPECT_EQ(after.channels, 0u);
    EXPECT_EQ(after.bound_channels, 0u);
    EXPECT_EQ(after.owned_ports, 0u);
    EXPECT_EQ(after.quarantined_ports, 0u);
    EXPECT_EQ(after.broken_peers, 0u);
    EXPECT_EQ(process.open_fds(), fds);
    if (HypervisordProcess::reuses_memory) {
        EXPECT_LE(process.resident_kib(), resident + 256);
    }
}

}  // namespace librettos::test
