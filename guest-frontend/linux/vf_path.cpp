// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/vf_path.hpp"

#include <poll.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace librettos::guest {

namespace {

constexpr auto order_patience = std::chrono::milliseconds(200);
constexpr auto attention_span = std::chrono::microseconds(500);  // until the caller is told to come again
constexpr auto look_for_it = std::chrono::milliseconds(1500);    // it may be on its way to this domain
constexpr int quiet_ms = 20;                                     // then nothing more is on its way
constexpr auto look_every = std::chrono::milliseconds(20);

// The exceptions that come from looking for and taking a VF, as liblvif wants errors.
int errno_of(std::exception const& error) {
    auto const* const system = dynamic_cast<std::system_error const*>(&error);
    return system != nullptr && system->code().value() > 0 ? -system->code().value() : -EIO;
}

std::int64_t since(VfPath::Clock::time_point then) {
    return std::chrono::duration_cast<std::chrono::microseconds>(VfPath::Clock::now() - then).count();
}

}  // namespace

VfPath::VfPath(VfInterface& vf, lvif_device* device, FramePump& pump, TapDevice const& tap)
    : vf_(vf), device_(device), pump_(pump), tap_(tap) {
}

VfPath::~VfPath() {
    if (sending_ != Sending::rings) {
        end();
    }
    close();
}

int VfPath::open(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) {
    if (vlan != 0) {
        spdlog::warn("the server's VF wants VLAN tags of its guest, which are not made here");
        return LVIF_EOPNOTSUPP;
    }
    try {
        if (!up_ && !find(mac, mtu_bytes)) {
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
    lane_ = std::make_unique<VfLane>(vf_.open_socket(), tap_.queue_fd(0));
    vf_.bring_up();
    lost_ = has_had_link_ = false;
    up_ = true;
    let_in_at_.reset();
    pump_.use_vf(lane_.get());
    return true;
}

bool VfPath::rings_are_idle() const {
    if (!pump_.rings_were_empty()) {
        return false;
    }
    for (std::uint16_t queue = 0; queue < pump_.connected_queues(); ++queue) {
        if (!lvif_tx_idle(device_, queue)) {
            return false;
        }
    }
    return true;
}

int VfPath::begin() {
    auto const now = Clock::now();
    if (lane_ == nullptr) {
        return -ENODEV;
    }
    if (sending_ == Sending::rings) {
        sending_ = Sending::changing;
        change_began_ = now;
        pump_.send_by(SendBy::nothing);
        pump_.watch_rings_empty();
    }
    while (!rings_are_idle()) {
        if (!lvif_server_alive(device_) || Clock::now() >= change_began_ + order_patience) {
            spdlog::warn("the server leaves frames in the rings: what is sent through the VF now may overtake them");
            break;
        }
        if (Clock::now() >= now + attention_span) {
            return 0;
        }
        sched_yield();
    }
    lane_->let_in();
    let_in_at_.reset();
    pump_.send_by(SendBy::vf);
    sending_ = Sending::vf;
    spdlog::info("direct: sends and receives through the VF {}; frames waited for {} us", vf_.name(),
                 since(change_began_));
    return 1;
}

void VfPath::end() {
    if (sending_ == Sending::vf) {
        change_began_ = Clock::now();
        pump_.send_by(SendBy::nothing);
        while (!lost_ && !lane_->sent_all() && Clock::now() < change_began_ + order_patience) {
            sched_yield();
        }
    }
    pump_.send_by(SendBy::rings);
    if (sending_ == Sending::vf) {
        spdlog::info("sends through the rings; frames waited for {} us", since(change_began_));
    }
    sending_ = Sending::rings;
}

void VfPath::close() {
    looked_for_since_.reset();
    let_in_at_.reset();
    up_ = false;
    if (lane_ != nullptr) {
        lane_->let_in();
        if (!lost_) {
            take_last_frames();
        }
        pump_.use_vf(nullptr);
        report();
        lane_.reset();
        spdlog::info("the VF {} is given back", vf_.name());
    }
    vf_.put_back();
}

// What the NIC steered here before it was told otherwise may still be on its way through the kernel.
void VfPath::take_last_frames() {
    auto const give_up = Clock::now() + order_patience;
    pollfd readable{lane_->fd(), POLLIN, 0};
    do {
        while (lane_->to_tap()) {
        }
    } while (poll(&readable, 1, quiet_ms) == 1 && !lane_->failed() && Clock::now() < give_up);
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
    bool const changed = vf_.take_changes();
    if (lane_ == nullptr) {
        return false;
    }
    if (let_in_at_ && (Clock::now() >= *let_in_at_ || !lvif_server_alive(device_))) {
        lane_->let_in();
        let_in_at_.reset();
        pump_.use_vf(lane_.get());  // wakes it
    }
    if (!lost_) {
        // Before the first link there is none to lose: open() is asked again.
        lost_ = lane_->failed() || (changed && has_had_link_ && !vf_.has_link());
        if (lost_) {
            spdlog::warn("the VF {} or its link is gone: back to the rings", vf_.name());
        }
    }
    return lost_;
}

int VfPath::held_frames_fd() const {
    return lane_ != nullptr && !lane_->lets_in() && !let_in_at_ ? lane_->fd() : -1;
}

void VfPath::held_frames_came() {
    let_in_at_ = Clock::now() + order_patience;
}

VfPath::Clock::time_point VfPath::wake_at() const {
    return let_in_at_.value_or(Clock::time_point::max());
}

}  // namespace librettos::guest
