// SPDX-License-Identifier: BSD-2-Clause
// The guest's reading of the server's offer: every value of the store comes from the input.
#include "offer.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/fuzz/input.hpp"

namespace {

// Sound values, so that the reading goes on behind a key that the input leaves alone.
char const* sound(std::string const& key) {
    if (key == "mode")
        return "shared";
    if (key == "mac")
        return "02:00:00:00:00:01";
    if (key == "ipv4")
        return "192.0.2.2/24";
    if (key == "ipv6")
        return "2001:db8::2/64";
    if (key == "mtu")
        return "1500";
    if (key == "max-ring-bytes")
        return "262144";
    if (key == "port-authority")
        return "server";
    return "1";
}

int read(void* context, char const* path, char* value, std::size_t size) {
    auto& input = *static_cast<Input*>(context);
    std::string const key = std::string(path).substr(std::string(path).rfind('/') + 1);
    std::string text = sound(key);
    switch (input.take<std::uint8_t>() % 4) {
        case 0:
            return LVIF_ENOENT;
        case 1:
            text = input.take_text(input.take<std::uint8_t>());
            break;
        default:
            break;
    }
    if (text.size() + 1 > size)
        return LVIF_EMSGSIZE;
    std::memcpy(value, text.c_str(), text.size() + 1);
    return static_cast<int>(text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
    Input input(bytes, size);
    lvif_environment environment{};
    struct lvif_offer offer;
    char const* wrong = nullptr;

    environment.context = &input;
    environment.store_read = read;
    if (lvif_offer_read(&environment, "/local/domain/1/backend/lvif/2/0", &offer, &wrong) != 0) {
        if (wrong == nullptr)
            std::abort();
        return 0;
    }
    if (offer.mtu < LVIF_MIN_MTU || offer.mtu > LVIF_MAX_MTU || offer.vlan > 4094 || offer.max_queues < 1 ||
        offer.max_queues > LVIF_MAX_QUEUES || offer.max_ring_bytes < LVIF_RING_MIN_CAPACITY ||
        offer.max_ring_bytes > LVIF_RING_MAX_CAPACITY || (offer.features & ~LVIF_F_ALL) != 0 ||
        offer.ipv4_prefix > 32 || offer.ipv6_prefix > 128 || (offer.mac[0] & 1) != 0)
        std::abort();
    return 0;
}
