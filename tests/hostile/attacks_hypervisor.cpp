// SPDX-License-Identifier: BSD-2-Clause
// Attacks on hypervisord: names, the store and the memory of others, events that nobody takes.
#include <netinet/in.h>

#include <cerrno>

#include "tests/hostile/attacks.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;

// A thousand names, one after the other, each leaving behind as many ports as it got.
Json names_hogged(Rogue& rogue, Setting const& setting) {
    std::uint64_t leased = 0;
    int names = 0;
    for (; names < 1000; ++names) {
        Rogue other(setting.socket, setting.name + "." + std::to_string(names));
        std::uint16_t first = 0;
        for (int i = 0; i < 8 && lvif_hv_port_lease(other.hv(), LVIF_PORT_TCP_AND_UDP, 256, &first) == 0; ++i)
            leased += 512;
    }
    std::uint16_t port = 0;
    return {{"names", names}, {"leased", leased}, {"next", lvif_hv_port_bind(rogue.hv(), IPPROTO_TCP, 0, &port)}};
}

// What is another domain's. `status` of each attempt must be a refusal.
Json others_touched(Rogue& rogue, Setting const& setting) {
    Json result = Json::object();
    Rogue victim(setting.socket, setting.name + ".victim");
    victim.connect();
    auto* const hv = rogue.hv();
    std::array<char, LVIF_HV_VALUE_MAX + 1> value{};
    void* address = nullptr;
    std::uint32_t port = 0;
    lvif_portmap const* portmap = nullptr;
    lvif_port_info info;
    lvif_hv_totals totals;
    result["read"] = lvif_hv_read(hv, (victim.frontend() + "/state").c_str(), value.data(), value.size());
    result["write"] = lvif_hv_write(hv, (victim.frontend() + "/state").c_str(), "6");
    result["remove"] = lvif_hv_remove(hv, victim.home().c_str());
    result["watch"] = lvif_hv_watch(hv, victim.home().c_str());
    result["permit"] = lvif_hv_permit(hv, victim.home().c_str(), rogue.self(), rogue.self());
    result["write_backend"] = lvif_hv_write(hv, "/local/domain/0/backend/lvif/1/0/state", "4");
    result["write_root"] = lvif_hv_write(hv, "/local/rogue", "1");
    result["rename"] = lvif_hv_write(hv, (rogue.home() + "/name").c_str(), "web");
    result["map"] = lvif_hv_map(hv, victim.self(), victim.queue(0).tx.region, LVIF_PAGE_BYTES + LVIF_RING_MIN_CAPACITY,
                                -1, 0, &address);
    result["bind_event"] = lvif_hv_event_bind(hv, victim.self(), victim.control_event(), &port);
    result["portmap"] = lvif_hv_portmap_map(hv, &portmap);
    result["query"] = lvif_hv_port_query(hv, IPPROTO_TCP, 80, &info);
    result["set_limit"] = lvif_hv_port_set_limit(hv, rogue.self(), 131072);
    result["reserve"] = lvif_hv_port_reserve(hv, IPPROTO_TCP, 1000, 10, true);
    result["totals"] = lvif_hv_statistics(hv, &totals);
    return {{"refused", result}, {"victim_connected", victim.is_connected()}};
}

Json store_filled(Rogue& rogue, Setting const&) {
    int nodes = 0;
    int status = 0;
    while (nodes < 100'000 && (status = rogue.write("fill/" + std::to_string(nodes), std::string(1000, 'x'))) == 0)
        ++nodes;
    return {{"nodes", nodes}, {"status", status}, {"overlong", rogue.write("long", std::string(4000, 'x'))}};
}

// Watches all it may, makes events, takes none.
Json events_not_taken(Rogue& rogue, Setting const& setting) {
    int watches = 0;
    while (watches < 10'000 && lvif_hv_watch(rogue.hv(), (rogue.home() + "/w" + std::to_string(watches)).c_str()) == 0)
        ++watches;
    std::uint64_t writes = 0;
    for (auto const end = in(setting.time); before(end); ++writes)
        lvif_hv_write(rogue.hv(), (rogue.home() + "/w" + std::to_string(writes % 60)).c_str(), "x");
    auto result = still_there(rogue);
    result["watches"] = watches;
    result["writes"] = writes;
    return result;
}

}  // namespace

std::vector<Attack> hypervisor_attacks() {
    return {
        {"names-hogged", false, names_hogged},
        {"others-touched", true, others_touched},
        {"store-filled", true, store_filled},
        {"events-not-taken", true, events_not_taken},
    };
}

}  // namespace librettos::hostile
