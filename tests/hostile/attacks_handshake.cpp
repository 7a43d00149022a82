// SPDX-License-Identifier: BSD-2-Clause
// Attacks on the handshake: states, and every key that a guest writes.
#include <cerrno>
#include <random>

#include "tests/hostile/attacks.hpp"
#include "tests/hostile/attempts.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;

Json state_toggled(Rogue& rogue, Setting const& setting) {
    std::mt19937 random{4};
    std::uint64_t writes = 0;
    for (auto const end = in(setting.time); before(end); ++writes)
        rogue.write(LVIF_KEY_STATE, std::to_string(random() % 9));
    return {{"writes", writes}};
}

// The device appears and goes as fast as the store allows.
Json device_toggled(Rogue& rogue, Setting const& setting) {
    std::uint64_t writes = 0;
    for (auto const end = in(setting.time); before(end); ++writes) {
        rogue.write(LVIF_KEY_STATE, "1");
        lvif_hv_remove(rogue.hv(), rogue.frontend().c_str());
    }
    return {{"writes", writes}};
}

Json state_garbage(Rogue& rogue, Setting const&) {
    for (char const* value :
         {"", " 1", "1 ", "-1", "+4", "0x4", "7", "99999999999999999999999", "4\n", "\xff\xfe", "%s%n"})
        rogue.write(LVIF_KEY_STATE, value);
    rogue.write(LVIF_KEY_STATE, std::string(1023, '9'));
    return outcome(rogue);
}

Json keys_garbage(Rogue&, Setting const& setting) {
    Attempts attempts{setting};
    for (char const* key :
         {LVIF_KEY_QUEUES, LVIF_KEY_RING_BYTES, LVIF_KEY_CONTROL_TO_SERVER, LVIF_KEY_CONTROL_TO_GUEST,
          LVIF_KEY_CONTROL_EVENT, "queue-0/" LVIF_KEY_TX_RING, "queue-0/" LVIF_KEY_RX_RING, "queue-0/" LVIF_KEY_EVENT})
        for (std::string const& value :
             {std::string(), std::string("-1"), std::string("0x10"), std::string("4294967296"), std::string("1e3"),
              std::string(1023, '7'), std::string("\x1b[2J\xff")})
            attempts.make(std::string(key) + "=" + value.substr(0, 5), [&](Rogue& rogue) { rogue.write(key, value); });
    auto result = attempts.result();
    result["reasons"].clear();  // with all that garbage in them; the next ones are for reading
    return result;
}

Json regions_wrong(Rogue&, Setting const& setting) {
    Attempts attempts{setting};
    auto const number = [](std::uint32_t value) { return std::to_string(value); };
    attempts.make("unknown region", [](Rogue& rogue) { rogue.write("queue-0/tx-ring", "4294967295"); });
    attempts.make("unknown event", [](Rogue& rogue) { rogue.write("queue-0/event", "77"); });
    attempts.make("one region for all rings", [&](Rogue& rogue) {
        for (char const* key : {"queue-0/tx-ring", "queue-0/rx-ring", "control-to-server", "control-to-guest"})
            rogue.write(key, number(rogue.queue(0).tx.region));
    });
    attempts.make("one event for both",
                  [&](Rogue& rogue) { rogue.write("queue-0/event", number(rogue.control_event())); });
    attempts.make("control page as ring", [&](Rogue& rogue) {
        rogue.write("control-to-server", number(rogue.queue(0).tx.region));
        rogue.write("queue-0/tx-ring", "1");
    });
    attempts.make("rings smaller than said", [](Rogue& rogue) { rogue.write("ring-bytes", "131072"); });
    attempts.make("region for another domain", [&](Rogue& rogue) {
        std::size_t const bytes = LVIF_PAGE_BYTES + LVIF_RING_MIN_CAPACITY;
        std::uint32_t region = 0;
        lvif_hv_share(rogue.hv(), lvif_hv_pages_allocate(rogue.hv(), bytes), bytes, rogue.self(), &region);
        rogue.write("queue-0/tx-ring", number(region));
    });
    attempts.make("event for another domain", [&](Rogue& rogue) {
        std::uint32_t port = 0;
        lvif_hv_event_allocate(rogue.hv(), rogue.self(), &port);
        rogue.write("queue-0/event", number(port));
    });
    attempts.make("no magic", [](Rogue& rogue) { rogue.queue(0).rx.header->magic = 0; });
    attempts.make("features not offered", [](Rogue& rogue) { rogue.queue(0).tx.header->features = 0xffffffff; });
    attempts.make("impossible positions", [](Rogue& rogue) { rogue.queue(0).tx.set_tail(16); });
    attempts.make("control magic", [](Rogue& rogue) { rogue.to_guest()->magic = 0; });
    attempts.make("control positions", [](Rogue& rogue) { rogue.to_server()->head = 33; });
    for (char const* queues : {"0", "17", "65535", "4294967295"})
        attempts.make("queues " + std::string(queues), [&](Rogue& rogue) { rogue.write("queues", queues); });
    attempts.make("queues that are not there", [](Rogue& rogue) { rogue.write("queues", "2"); });
    for (char const* bytes : {"0", "4096", "65537", "33554432"})
        attempts.make("ring-bytes " + std::string(bytes), [&](Rogue& rogue) { rogue.write("ring-bytes", bytes); });
    return attempts.result();
}

Json mode_garbage(Rogue& rogue, Setting const&) {
    rogue.write(LVIF_KEY_REQUEST_MODE, std::string(1000, 'd'));
    rogue.write(LVIF_KEY_STATE, "1");
    return outcome(rogue);
}

// As many regions as one gets, then a connection with the most and largest rings.
Json many_regions(Rogue& rogue, Setting const&) {
    Json result;
    std::uint32_t region = 0;
    int shared = 0;
    int status = 0;
    while (shared < 1000 &&
           (status = lvif_hv_share(rogue.hv(), lvif_hv_pages_allocate(rogue.hv(), 4096), 4096, 0, &region)) == 0)
        ++shared;
    result["shared"] = shared;
    result["status"] = status;
    for (std::uint32_t number = region - 15; number <= region; ++number)
        lvif_hv_unshare(rogue.hv(), number);
    rogue.connect(4, LVIF_RING_MIN_CAPACITY);
    result.update(still_there(rogue));
    return result;
}

Json keys_changed_when_connected(Rogue& rogue, Setting const& setting) {
    std::mt19937 random{5};
    for (auto const end = in(setting.time); before(end);)
        for (char const* key : {"queues", "ring-bytes", "control-event", "queue-0/tx-ring", "backend", "backend-id"})
            rogue.write(key, std::to_string(random()));
    return still_there(rogue);
}

}  // namespace

Json outcome(Rogue& rogue, Milliseconds patience) {
    auto const reason = rogue.await_detach(patience);
    return reason.empty() ? Json{{"connected", rogue.is_connected()}} : Json{{"detached", reason}};
}

Json still_there(Rogue& rogue) {
    return outcome(rogue, Milliseconds(100));
}

std::vector<Attack> handshake_attacks() {
    return {
        {"state-toggled", true, state_toggled},  {"device-toggled", false, device_toggled},
        {"state-garbage", true, state_garbage},  {"keys-garbage", false, keys_garbage},
        {"regions-wrong", false, regions_wrong}, {"mode-garbage", false, mode_garbage},
        {"many-regions", false, many_regions},   {"keys-changed-when-connected", true, keys_changed_when_connected},
    };
}

}  // namespace librettos::hostile
