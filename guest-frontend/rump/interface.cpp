// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/interface.hpp"

#include <cstring>
#include <stdexcept>

#include "guest-frontend/process/say.hpp"
#include "guest-frontend/rump/current_guest.hpp"
#include "guest-frontend/rump/interface_options.hpp"
#include "guest-frontend/rump/port_hooks.hpp"
#include "guest-frontend/rump/real_stack.hpp"
#include "guest-frontend/rump/scheduling.hpp"

using namespace librettos::guest;

namespace {

// The stack's socket lock is held meanwhile: long enough for any server that lives, too short to be noticed.
constexpr auto longest_wait = std::chrono::milliseconds(20);

}  // namespace

virtif_user::virtif_user(std::string const& device, virtif_sc* kernel_half, RumpStack::Deliver deliver)
    : virtif_user(interface_options(device), kernel_half, deliver) {
}

virtif_user::virtif_user(GuestOptions const& options, virtif_sc* kernel_half, RumpStack::Deliver deliver)
    : stack_(kernel_half, deliver), vf_(load_vf(options.vf)), device_(options, "rump kernel", stack_, vf_.get()) {
    say("waiting for a server");
    offer_ = *device_.wait_until_connected(StackDevice::for_ever);
    use_addresses_at_once();
    current_guest().set(device_);
    claim_bound_ports(device_.ports());
}

virtif_user::~virtif_user() {
    current_guest().clear();
    DeviceStatistics const sum = device_.statistics();
    say("sent " + std::to_string(sum.tx_frames) + " frames, received " + std::to_string(sum.rx_frames) +
        ", dropped for want of room " + std::to_string(dropped_.load(std::memory_order_relaxed)));
}

void virtif_user::send(iovec const* parts, std::size_t n) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < n; ++i) {
        length += parts[i].iov_len;
    }
    auto const copy = [parts, n](std::uint8_t* frame) {
        for (std::size_t i = 0; i < n; ++i) {
            std::memcpy(frame, parts[i].iov_base, parts[i].iov_len);
            frame += parts[i].iov_len;
        }
    };
    if (length > LVIF_MAX_FRAME_BYTES) {
        return;
    }
    auto const bytes = static_cast<std::uint32_t>(length);
    int result = device_.frames().send(bytes, copy);
    if (result == LVIF_EAGAIN && device_.frames_leave()) {
        bool room = false;
        {
            Unscheduled const unscheduled;
            room = device_.frames().wait_for_room(longest_wait);
        }
        result = room ? device_.frames().send(bytes, copy) : result;
    }
    if (result == LVIF_EAGAIN) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
    }
}
