// SPDX-License-Identifier: BSD-2-Clause
// The guest's control ring ends over pages that the input writes to, between calls from the input.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "control.h"
#include "tests/fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
    static auto const to_server = std::make_unique<lvif_control_ring>();
    static auto const to_guest = std::make_unique<lvif_control_ring>();
    Input input(bytes, size);
    lvif_control control{};

    std::memset(to_server.get(), 0, sizeof(lvif_control_ring));
    std::memset(to_guest.get(), 0, sizeof(lvif_control_ring));
    lvif_control_create(&control, to_server.get(), to_guest.get(), input.take<std::uint32_t>());
    while (!input.empty()) {
        lvif_message message{};
        std::uint32_t const tail = control.tail;
        switch (input.take<std::uint8_t>() % 8) {
            case 0:
                to_guest->head = control.tail + input.take<std::uint8_t>() % 34;
                break;
            case 1:
                to_guest->head = input.take<std::uint32_t>();
                break;
            case 2:
                to_server->tail = input.take<std::uint32_t>();
                break;
            case 3:
                to_server->tail = control.head;
                break;
            case 4:
                to_guest->slots[control.tail % LVIF_CONTROL_SLOTS] = input.take<lvif_message>();
                break;
            case 5:
                if (lvif_control_receive(&control, &message) == 1 && control.tail != tail + 1)
                    std::abort();
                (void)lvif_control_release(&control);
                break;
            case 6:
                if (lvif_control_send(&control, &message) >= 0 && control.head - control.tail_seen > LVIF_CONTROL_SLOTS)
                    std::abort();
                break;
            default:
                (void)lvif_control_sleep(&control);
                lvif_control_wake(&control);
                break;
        }
    }
    return 0;
}
