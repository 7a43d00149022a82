// SPDX-License-Identifier: BSD-2-Clause
// A guest that breaks the rules on purpose:  hostile_guest SOCKET NAME ATTACK [MILLISECONDS]
//
// Prints {"ready": .., "port": ..} when it stands where the attack begins, {"attack": .., ...} with what it saw after
// it, and then stays until standard input ends, so that the test can look at what the server says of it. ATTACK may
// also be hold-PHASE, which stops in that phase of an honest guest's life and does nothing: to be killed there. On Xen
// (tests/xen/hostile) the guest is the domain that this runs in, and SOCKET the number of an honest one.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "tests/hostile/attacks.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;

// Written whole, so that a reader that waits for a line has it.
void say(Json const& json) {
    std::cout << json.dump(-1, ' ', true, Json::error_handler_t::replace) << std::endl;
}

void wait_for_end_of_input() {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

int hold(Setting const& setting, std::string const& phase) {
    Rogue rogue(setting.socket, setting.name);
    if (phase != "domain")
        rogue.ask_for_offer();
    if (phase != "domain" && phase != "offered") {
        rogue.share_rings(4, LVIF_RING_MIN_CAPACITY);
    }
    if (phase == "initialised" || phase == "connected" || phase == "sending")
        rogue.say_initialised();
    if (phase == "connected" || phase == "sending")
        rogue.await_connected();
    say({{"ready", true}});
    if (phase == "sending")
        for (std::vector<std::uint8_t> const frame(1000, 0);;)
            rogue.send(frame, {});
    wait_for_end_of_input();
    return EXIT_SUCCESS;
}

int run(Setting const& setting, std::string const& name) {
    if (name.starts_with("hold-"))
        return hold(setting, name.substr(5));
    std::vector<Attack> attacks;
    for (auto const& group :
         {ring_attacks(), memory_attacks(), handshake_attacks(), frame_attacks(), port_attacks(), hypervisor_attacks()})
        attacks.insert(attacks.end(), group.begin(), group.end());
    for (Attack const& attack : attacks) {
        if (attack.name != name)
            continue;
        Rogue rogue(setting.socket, setting.name);
        if (attack.connected)
            rogue.connect();
        say({{"ready", true}, {"port", attack.connected ? rogue.own_udp_port() : std::uint16_t{0}}});
        Json result = attack.run(rogue, setting);
        result["attack"] = name;
        say(result);
        wait_for_end_of_input();
        return EXIT_SUCCESS;
    }
    std::cerr << "hostile_guest: no attack is called " << name << "; there are";
    for (Attack const& attack : attacks)
        std::cerr << ' ' << attack.name;
    std::cerr << '\n';
    return 2;
}

}  // namespace

}  // namespace librettos::hostile

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: hostile_guest SOCKET NAME ATTACK [MILLISECONDS]\n");
        return 2;
    }
    librettos::hostile::Setting const setting{argv[1], argv[2],
                                              librettos::hostile::Milliseconds(argc > 4 ? std::atoi(argv[4]) : 1500)};
    try {
        return librettos::hostile::run(setting, argv[3]);
    } catch (std::exception const& error) {
        std::fprintf(stderr, "hostile_guest: %s\n", error.what());
        return 1;
    }
}
