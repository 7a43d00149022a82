// SPDX-License-Identifier: BSD-2-Clause
// Attacks on the portmap by a guest that asks in due form.
#include <netinet/in.h>

#include <cerrno>

#include "tests/hostile/attacks.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;

// Claims ports until none is given any more; then tries the honest guest's, and one too many again.
Json ports_hogged(Rogue& rogue, Setting const&) {
    int claimed = 0;
    int status = 0;
    std::uint16_t port = 0;
    while (claimed < 200'000 && (status = rogue.bind_port(claimed % 2 == 0 ? IPPROTO_TCP : IPPROTO_UDP, 0, port)) == 0)
        ++claimed;
    Json const result{{"claimed", claimed},
                      {"status", status},
                      {"lease", rogue.lease_ports(LVIF_PORT_TCP_AND_UDP, 1, port)},
                      {"honest_port", rogue.bind_port(IPPROTO_TCP, 80, port)},
                      {"release_honest_port", rogue.release_ports(IPPROTO_TCP, 80, 1)}};
    rogue.release_ports(LVIF_PORT_TCP_AND_UDP, 0, 0);  // all: what comes after may want one
    return result;
}

// Arguments that make no sense.
Json ports_garbage(Rogue& rogue, Setting const&) {
    std::uint16_t port = 0;
    Json answers = Json::object();
    answers["protocol 1"] = rogue.bind_port(1, 80, port);
    answers["protocol 0"] = rogue.bind_port(LVIF_PORT_TCP_AND_UDP, 80, port);
    answers["lease of none"] = rogue.lease_ports(IPPROTO_TCP, 0, port);
    answers["lease of all"] = rogue.lease_ports(IPPROTO_TCP, 65535, port);
    answers["release over the end"] = rogue.release_ports(IPPROTO_TCP, 65535, 65535);
    answers["release of all others"] = rogue.release_ports(IPPROTO_TCP, 1, 65535);
    return {{"answers", answers}};
}

}  // namespace

std::vector<Attack> port_attacks() {
    return {{"ports-hogged", true, ports_hogged}, {"ports-garbage", true, ports_garbage}};
}

}  // namespace librettos::hostile
