// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/process/switch_order.hpp"

#include <sched.h>

#include <cerrno>
#include <utility>

namespace librettos::guest {

namespace {

constexpr auto attention_span = std::chrono::microseconds(500);  // until the caller is told to come again

}  // namespace

SwitchOrder::SwitchOrder(SwitchedVf& vf, SwitchedFrames& frames, Say say)
    : vf_(vf), frames_(frames), say_(std::move(say)) {
}

SwitchOrder::~SwitchOrder() {
    end();
    close();
}

std::string SwitchOrder::waited() const {
    auto const since = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - change_began_);
    return "frames waited for " + std::to_string(since.count()) + " us";
}

int SwitchOrder::open(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) {
    if (!open_) {
        open_ = true;
        lost_ = false;
    }
    if (lost_) {
        return -ENODEV;
    }
    int const result = vf_.up(mac, vlan, mtu_bytes);
    if (result == 1 && !using_) {
        using_ = true;
        frames_.use_vf();
    }
    return result;
}

int SwitchOrder::begin() {
    auto const now = Clock::now();
    if (!using_ || lost_) {
        return -ENODEV;
    }
    if (sending_ == SendBy::vf) {
        return 1;
    }
    if (sending_ == SendBy::rings) {
        sending_ = SendBy::nothing;
        change_began_ = now;
        frames_.let_in_after_rings();
        frames_.send_by(SendBy::nothing);
    }
    while (!(frames_.lets_in() && frames_.server_took_all())) {
        if (!frames_.server_alive() || Clock::now() >= change_began_ + patience) {
            say_(Kind::trouble,
                 "the server leaves frames in the rings: what is sent through the VF now may overtake them");
            break;
        }
        if (Clock::now() >= now + attention_span) {
            return 0;
        }
        sched_yield();
    }
    let_in();
    frames_.send_by(SendBy::vf);
    sending_ = SendBy::vf;
    say_(Kind::news, "direct: sends and receives through the VF " + vf_.name() + "; " + waited());
    return 1;
}

void SwitchOrder::end() {
    SendBy const was = std::exchange(sending_, SendBy::rings);
    if (was == SendBy::rings) {
        return;
    }
    if (was == SendBy::vf) {
        change_began_ = Clock::now();
        frames_.send_by(SendBy::nothing);
        wait_until_sent();
        if (lost_) {
            take_back();
        }
    }
    frames_.send_by(SendBy::rings);
    if (was == SendBy::vf) {
        say_(Kind::news, "sends through the rings; " + waited());
    }
}

// Once more before the VF is given back: then the order is lost already, not yet the frames.
void SwitchOrder::wait_until_sent() {
    for (auto const end = Clock::now() + patience; !lost_ && !frames_.vf_sent_all() && Clock::now() < end;) {
        sched_yield();
    }
}

void SwitchOrder::take_back() {
    if (auto const count = frames_.take_back(); count != 0) {
        say_(Kind::trouble,
             std::to_string(count) + " frames that the VF " + vf_.name() + " did not send go by the rings");
    }
}

void SwitchOrder::close() {
    if (!open_) {
        return;
    }
    if (using_) {
        let_in();
        if (!lost_) {
            frames_.take_last(quiet, patience);
            wait_until_sent();
        }
        take_back();
        frames_.leave_vf();
        say_(Kind::news, "the VF " + vf_.name() + " is given back");
    }
    vf_.down();
    open_ = using_ = let_in_ = false;
}

void SwitchOrder::let_in() {
    let_in_at_.reset();
    let_in_ = true;
    if (!frames_.lets_in()) {
        frames_.let_in();
    }
}

bool SwitchOrder::look_after() {
    if (!open_) {
        return false;
    }
    if (let_in_at_ && (Clock::now() >= *let_in_at_ || !frames_.server_alive())) {
        let_in();
    }
    if (!lost_ && (vf_.gone() || (using_ && !frames_.vf_works()))) {
        lost_ = true;
        say_(Kind::trouble, "the VF " + vf_.name() + " or its link is gone: back to the rings");
    }
    return lost_;
}

}  // namespace librettos::guest
