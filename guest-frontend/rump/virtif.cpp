// SPDX-License-Identifier: BSD-2-Clause
// The contract's four functions for one base name, VIRTIF_BASE.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include "guest-frontend/process/say.hpp"
#include "guest-frontend/rump/contract.h"
#include "guest-frontend/rump/current_guest.hpp"
#include "guest-frontend/rump/interface.hpp"
#include "guest-frontend/rump/scheduling.hpp"

using namespace librettos::guest;

namespace {

// A call, not an address: where this is preloaded, the kernel's half comes later.
void deliver(virtif_sc* kernel_half, iovec* parts, std::size_t n) {
    VIRTIF_KERNEL(deliverpkt)(kernel_half, parts, n);
}

// 0 or an errno of the host.
int open_interface(char const* device, virtif_sc* kernel_half, std::uint8_t* address, virtif_user** user_half) {
    if (!current_guest().reserve()) {
        say("there is an interface already: a process is one guest, and a guest has one");
        return EBUSY;
    }
    try {
        auto opened = std::make_unique<virtif_user>(device, kernel_half, deliver);
        std::copy_n(opened->offer().mac, sizeof opened->offer().mac, address);
        *user_half = opened.release();
        return 0;
    } catch (std::system_error const& error) {
        say(error.what());
        current_guest().clear();
        return error.code().value();
    } catch (std::exception const& error) {
        say(error.what());
        current_guest().clear();
        return EINVAL;
    }
}

}  // namespace

int VIRTIF_USER(create)(char const* device, virtif_sc* kernel_half, std::uint8_t* address, virtif_user** user_half) {
    Unscheduled const unscheduled;
    int const error = open_interface(device, kernel_half, address, user_half);
    return error == 0 ? 0 : rumpuser_component_errtrans(error);
}

void VIRTIF_USER(send)(virtif_user* user_half, iovec* parts, std::size_t n) {
    user_half->send(parts, n);
}

int VIRTIF_USER(dying)(virtif_user* user_half) {
    user_half->dies();
    return 0;
}

void VIRTIF_USER(destroy)(virtif_user* user_half) {
    Unscheduled const unscheduled;
    delete user_half;
}
