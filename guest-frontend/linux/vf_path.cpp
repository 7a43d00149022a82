// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/vf_path.hpp"

#include <poll.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace librettos::guest {

namespace {

constexpr auto look_for_it = std::chrono::milliseconds(1500);  // it may be on its way to this domain
constexpr auto look_every = std::chrono::milliseconds(20);

// The exceptions that come from looking for and taking a VF, as liblvif wants errors.
int errno_of(std::exception const& error) {
    auto const* const system = dynamic_cast<std::system_error const*>(&error);
    return system != nullptr && system->code().value() > 0 ? -system->code().value() : -EIO;
}

void log(SwitchOrder::Kind kind, std::string const& text) {
    spdlog::log(kind == SwitchOrder::Kind::news ? spdlog::level::info : spdlog::level::warn, text);
}

}  // namespace

VfPath::VfPath(VfInterface& vf, lvif_device* device, FramePump& pump, TapDevice const& tap)
    : vf_(vf), device_(device), pump_(pump), tap_(tap), order_(*this, *this, log) {
}

int VfPath::up(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) {
    if (vlan != 0) {
        spdlog::warn("the server's VF wants VLAN tags of its guest, which are not made here");
        return LVIF_EOPNOTSUPP;
    }
    try {
        if (lane_ == nullptr && !find(mac, mtu_bytes)) {
            return 0;
        }
        has_had_link_ = vf_.has_link();
        return has_had_link_ ? 1 : 0;
    } catch (std::exception const& error) {
        spdlog::warn("{}; the server's wish to use a VF is refused", error.what());
        return errno_of(error);
    }
}

// False: not yet. Throws when it is of no use to wait for longer.
bool VfPath::find(VfMac const& mac, std::uint16_t mtu_bytes) {
    auto const now = Clock::now();
    if (looked_for_since_ && now < look_again_) {
        return false;
    }
    looked_for_since_ = looked_for_since_.value_or(now);
    look_again_ = now + look_every;
    if (!vf_.take(mac, mtu_bytes)) {
        if (now - *looked_for_since_ < look_for_it) {
            return false;
        }
        throw_errno(ENODEV, "find an unused interface with this guest's MAC (see --vf)");
    }
    lane_ = std::make_unique<VfLane>(vf_.open_socket(), tap_.queue_fd(0), pump_.vf_wake_fd(), pump_.connected_queues());
    vf_.bring_up();
    has_had_link_ = false;
    return true;
}

void VfPath::down() {
    looked_for_since_.reset();
    lane_.reset();
    vf_.put_back();
}

// What the NIC steered here before it was told otherwise may still be on its way through the kernel.
void VfPath::take_last(std::chrono::milliseconds quiet, std::chrono::milliseconds longest) {
    auto const give_up = Clock::now() + longest;
    pollfd readable{lane_->fd(), POLLIN, 0};
    do {
        while (lane_->to_tap()) {
        }
    } while (poll(&readable, 1, static_cast<int>(quiet.count())) == 1 && !lane_->failed() && Clock::now() < give_up);
}

void VfPath::leave_vf() {
    pump_.use_vf(nullptr);
    report();
}

bool VfPath::server_took_all() {
    for (std::uint16_t queue = 0; queue < pump_.connected_queues(); ++queue) {
        if (!lvif_tx_idle(device_, queue)) {
            return false;
        }
    }
    return true;
}

void VfPath::report() {
    VfLosses const losses = lane_->losses();
    if (losses.rx_overrun + losses.rx_refused + losses.tx_refused != 0) {
        spdlog::warn("dropped at the VF {}: rx_overrun {}, rx_refused {}, tx_refused {}", vf_.name(), losses.rx_overrun,
                     losses.rx_refused, losses.tx_refused);
    }
}

void VfPath::set_mtu(std::uint16_t mtu_bytes) {
    if (lane_ == nullptr) {
        return;
    }
    try {
        vf_.set_mtu(mtu_bytes);
    } catch (std::exception const& error) {
        spdlog::warn("{}", error.what());
    }
}

bool VfPath::look_after() {
    link_may_have_changed_ = vf_.take_changes() || link_may_have_changed_;
    return order_.look_after();
}

// Before the first link there is none to lose: up() is asked again.
bool VfPath::gone() {
    bool const changed = std::exchange(link_may_have_changed_, false);
    return lane_ != nullptr && changed && has_had_link_ && !vf_.has_link();
}

}  // namespace librettos::guest
