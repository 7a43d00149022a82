// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/rump_stack.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <string>

#include "guest-frontend/process/say.hpp"

namespace librettos::guest {

namespace {

std::string text_of(int family, std::uint8_t const* address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(family, address, text.data(), text.size());
    return text.data();
}

bool same(Offer const& one, Offer const& other) {
    return std::equal(std::begin(one.mac), std::end(one.mac), other.mac) &&
           std::equal(std::begin(one.ipv4), std::end(one.ipv4), other.ipv4) &&
           std::equal(std::begin(one.ipv6), std::end(one.ipv6), other.ipv6) && one.mtu == other.mtu;
}

}  // namespace

// The contract has no way to tell the kernel of an address; who configures the interface reads this, or asks
// librettos_rump.h.
void RumpStack::connected(Offer const& offer, FrameLink& /*frames*/) {
    if (offer_.mtu != 0 && !same(offer, offer_)) {
        say("the server offers another address or MTU than before: configure the interface anew");
    }
    offer_ = offer;
    say("connected as a " + std::string(offer.mode == LVIF_MODE_SHARED ? "shared" : "dedicated") +
        " guest: " + text_of(AF_INET, offer.ipv4) + "/" + std::to_string(offer.ipv4_prefix) + " gateway " +
        text_of(AF_INET, offer.gateway4) + ", " + text_of(AF_INET6, offer.ipv6) + "/" +
        std::to_string(offer.ipv6_prefix) + " gateway " + text_of(AF_INET6, offer.gateway6) + ", MTU " +
        std::to_string(offer.mtu));
}

// Nor of the wire's state, which is as on a switch whose uplink is gone.
void RumpStack::link(bool up, std::uint16_t mtu_bytes) {
    say(std::string("link ") + (up ? "up" : "down") + ", MTU " + std::to_string(mtu_bytes));
}

}  // namespace librettos::guest
