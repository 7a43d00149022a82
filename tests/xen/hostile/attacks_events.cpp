// SPDX-License-Identifier: BSD-2-Clause
// Attacks by event channels that are another's, closed, or not of this purpose.
#include "tests/hostile/attempts.hpp"
#include "tests/xen/hostile/xen_attacks.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;

Json events_wrong(Rogue&, Setting const& setting) {
    Attempts attempts{setting};
    for (char const* key : {LVIF_KEY_CONTROL_EVENT, "queue-0/" LVIF_KEY_EVENT}) {
        // 1 and 2 are the store's and the console's, bound already; the next ones this kernel's own timers and the like
        for (std::uint32_t const port : {0U, 1U, 2U, 3U, 4U, 900U, 4095U, 131071U, 0xffffffffU})
            attempts.make(std::string(key) + " " + std::to_string(port),
                          [&](Rogue& rogue) { rogue.write(key, std::to_string(port)); });
        attempts.make(std::string(key) + " closed", [&](Rogue& rogue) {
            std::uint32_t port = 0;
            lvif_hv_event_allocate(rogue.hv(), 0, &port);
            lvif_hv_event_free(rogue.hv(), port);
            rogue.write(key, std::to_string(port));
        });
    }
    return attempts.result();
}

// The guest's ends go; the server's notifications lead nowhere. Frames are not heard of any more, but that is the
// guest's loss.
Json events_closed(Rogue& rogue, Setting const& setting) {
    lvif_hv_event_free(rogue.hv(), rogue.control_event());
    lvif_hv_event_free(rogue.hv(), rogue.queue(0).event);
    std::vector<std::uint8_t> const frame(60, 0);
    for (auto const end = in(setting.time); before(end);)
        rogue.send(frame, {});
    return still_there(rogue);
}

}  // namespace

std::vector<Attack> event_attacks() {
    return {{"events-wrong", false, events_wrong}, {"events-closed", true, events_closed}};
}

}  // namespace librettos::hostile
