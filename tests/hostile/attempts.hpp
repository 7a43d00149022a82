// SPDX-License-Identifier: BSD-2-Clause
// Attempts at a connection, a lie in each: all must be refused, with a reason.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tests/hostile/attacks.hpp"

namespace librettos::hostile {

// In local mode each is made by a domain of its own: a breach is followed by a back-off.
struct Attempts {
    Setting const& setting;
    nlohmann::json reasons = nlohmann::json::object();
    nlohmann::json accepted = nlohmann::json::array();
    int count = 0;

    // `lie` changes what an honest guest has shared and written, before it says so.
    template <typename Lie>
    void make(std::string const& what, Lie lie) {
        Rogue rogue(setting.socket, setting.name + "." + std::to_string(++count));
        rogue.ask_for_offer();
        rogue.share_rings(1, LVIF_RING_MIN_CAPACITY);
        lie(rogue);
        rogue.say_initialised();
        auto const reason = rogue.await_detach(Milliseconds(20'000));
        if (reason.empty())
            accepted.push_back(what);
        reasons[what] = reason;
    }
    nlohmann::json result() const { return {{"reasons", reasons}, {"accepted", accepted}, {"attempts", count}}; }
};

}  // namespace librettos::hostile
