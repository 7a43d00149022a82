// SPDX-License-Identifier: BSD-2-Clause
// The steps of a switch.
#include "daemon/engine/control/vf_switch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>
#include <utility>

namespace librettos::control {

namespace {

using Step = VfSwitch::Step;
using std::chrono::milliseconds;

constexpr auto room_retry = milliseconds(1);
constexpr auto nic_retry = milliseconds(200);
constexpr auto nic_patience = std::chrono::seconds(5);  // then it is asked again
constexpr auto store_retry = milliseconds(100);
constexpr milliseconds resumed_timeout{2000};

// Also in records: a name stays what it is.
constexpr std::array<char const*, 11> names{"rings",         "giving",     "preparing", "steering",
                                            "draining",      "committing", "direct",    "returning",
                                            "steering-back", "releasing",  "taking"};

bool is_nic_step(Step step) {
    return step == Step::giving || step == Step::steering || step == Step::steering_back || step == Step::taking;
}

bool is_guest_step(Step step) {
    return step == Step::preparing || step == Step::committing || step == Step::returning || step == Step::releasing;
}

bool is_way_back(Step step) {
    return step == Step::returning || step == Step::steering_back || step == Step::releasing || step == Step::taking;
}

// Where undoing begins.
Step way_back_from(Step step) {
    switch (step) {
        case Step::giving:
            return Step::taking;
        case Step::preparing:
            return Step::releasing;
        case Step::steering:
        case Step::draining:
            return Step::steering_back;
        case Step::committing:
        case Step::direct:
            return Step::returning;
        default:
            return step;
    }
}

// Where a server goes on that finds the step of another one, which may or may not have been done. Once the guest has
// prepared itself the switch is completed; all of it, since the NIC may have been reset.
Step resumed(Step step) {
    if (is_way_back(step))
        return step;
    return step == Step::giving || step == Step::preparing ? Step::releasing : Step::giving;
}

VfSwitch::Nic nic_operation(Step step) {
    switch (step) {
        case Step::giving:
            return VfSwitch::Nic::give;
        case Step::steering:
            return VfSwitch::Nic::steer_to_vf;
        case Step::steering_back:
            return VfSwitch::Nic::steer_to_port;
        default:
            return VfSwitch::Nic::take;
    }
}

lvif_message_type message_type(Step step) {
    switch (step) {
        case Step::preparing:
            return LVIF_MSG_SWITCH_PREPARE;
        case Step::committing:
            return LVIF_MSG_SWITCH_COMMIT;
        case Step::returning:
            return LVIF_MSG_SWITCH_BACK;
        default:
            return LVIF_MSG_SWITCH_RELEASE;
    }
}

template <typename Number>
bool take_number(std::string_view& text, Number& number) {
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end == text.data())
        return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with(' '))
        text.remove_prefix(1);
    return true;
}

std::string error_text(int status) {
    return std::generic_category().message(-status);
}

}  // namespace

char const* to_text(VfSwitch::Step step) {
    return names[static_cast<std::size_t>(step)];
}

std::optional<std::uint16_t> VfSwitch::vf() const {
    return step_ == Step::rings ? std::nullopt : std::optional(vf_);
}

bool VfSwitch::receives_by_vf() const {
    if (is_way_back(step_))
        return step_ == Step::returning || step_ == Step::steering_back;
    return furthest_ >= Step::steering;
}

std::optional<std::string> VfSwitch::record() const {
    if (step_ == Step::rings)
        return std::nullopt;
    auto step = is_way_back(step_) ? step_ : furthest_;  // a switch that is resumed may be further than its step says
    if (step == Step::steering || step == Step::draining)
        step = Step::committing;  // there will be no time to write when it is reached
    return std::string(to_text(step)) + ' ' + std::to_string(vf_) + ' ' + std::to_string(serial_);
}

int VfSwitch::to_direct(std::uint16_t vf, milliseconds timeout, TimePoint now) {
    if (step_ == Step::direct)
        return EALREADY;
    if (step_ != Step::rings)
        return EBUSY;
    vf_ = vf;
    ++serial_;
    timeout_ = timeout;
    begin(true, "", now);
    furthest_ = Step::rings;
    enter(Step::giving, now);
    return 0;
}

int VfSwitch::to_rings(std::string reason, milliseconds timeout, TimePoint now) {
    if (step_ == Step::rings)
        return EALREADY;
    if (step_ != Step::direct)
        return EBUSY;
    ++serial_;
    timeout_ = timeout;
    begin(false, std::move(reason), now);
    enter(Step::returning, now);
    return 0;
}

void VfSwitch::begin(bool there, std::string reason, TimePoint now) {
    began_ = now;
    going_there_ = there;
    reason_ = std::move(reason);
    steps_.clear();
}

bool VfSwitch::resume(std::string_view record, TimePoint now) {
    auto const blank = record.find(' ');
    auto const name = record.substr(0, blank);
    auto rest = blank == std::string_view::npos ? std::string_view() : record.substr(blank + 1);
    for (std::size_t i = 1; i < names.size(); ++i) {
        if (name != names[i] || !take_number(rest, vf_) || !take_number(rest, serial_) || !rest.empty())
            continue;
        auto const step = static_cast<Step>(i);
        timeout_ = resumed_timeout;
        furthest_ = step;
        bool const there = resumed(step) == Step::giving;
        begin(there, there ? "" : "the server was restarted", now);
        enter(resumed(step), now);
        return true;
    }
    effects_.write_down(std::nullopt);
    return false;
}

void VfSwitch::enter(Step step, TimePoint now) {
    if (step != step_) {
        if (!idle())
            steps_.push_back({step_, std::chrono::duration_cast<std::chrono::microseconds>(now - entered_)});
        entered_ = now;
    }
    step_ = step;
    if (!is_way_back(step))
        furthest_ = step == Step::rings ? step : std::max(furthest_, step);
    told_ = false;
    due_ = false;
    try {
        if (auto const fresh = record(); !fresh || fresh != written_) {
            effects_.write_down(fresh);
            written_ = fresh;
        }
    } catch (std::system_error const&) {
        due_ = true;
        wake_at_ = now + store_retry;
        return;
    }
    act(now);
}

void VfSwitch::act(TimePoint now) {
    wake_at_ = TimePoint::max();
    if (idle()) {
        finish(now);
    } else if (is_nic_step(step_)) {
        deadline_ = wake_at_ = now + nic_patience;
        effects_.operate_nic(nic_operation(step_), vf_);
    } else if (is_guest_step(step_)) {
        if (!guest_there_) {
            next(now);
            return;
        }
        deadline_ = now + timeout_;
        tell(message_type(step_));
        wake_at_ = told_ ? deadline_ : now + room_retry;
    } else {
        effects_.drain();
    }
}

// Of this step's message: an answer that comes late is not one to the next.
std::uint32_t VfSwitch::message_id() const {
    return serial_ << 4 | static_cast<std::uint32_t>(step_);
}

void VfSwitch::tell(lvif_message_type type) {
    lvif_message message;
    std::memset(&message, 0, sizeof message);
    message.type = static_cast<std::uint16_t>(type);
    message.flags = LVIF_MSG_WANTS_REPLY;
    message.id = message_id();
    message.u.vf.serial = serial_;
    told_ = effects_.tell_guest(message);
}

void VfSwitch::next(TimePoint now) {
    if (step_ == Step::taking)
        enter(Step::rings, now);
    else
        enter(static_cast<Step>(static_cast<unsigned>(step_) + 1), now);
}

void VfSwitch::turn_round(std::string reason, TimePoint now) {
    if (reason_.empty())
        reason_ = std::move(reason);
    enter(way_back_from(furthest_), now);
}

void VfSwitch::nic_done(Nic operation, int status, TimePoint now) {
    if (!is_nic_step(step_) || due_ || operation != nic_operation(step_))
        return;
    if (status == 0)
        next(now);
    else if (is_way_back(step_))
        wake_at_ = now + nic_retry;
    else
        turn_round(std::string(to_text(step_)) + ": " + error_text(status), now);
}

void VfSwitch::drained(TimePoint now) {
    if (step_ == Step::draining && !due_)
        next(now);
}

void VfSwitch::guest_answered(lvif_message const& reply, TimePoint now) {
    bool const ours = reply.id == message_id() && reply.u.vf.serial == serial_;
    if (!ours || !is_guest_step(step_) || !told_)
        return;
    if (reply.status == 0 || is_way_back(step_))
        next(now);
    else
        turn_round("the guest: " + error_text(reply.status < 0 ? reply.status : -EPROTO), now);
}

void VfSwitch::vf_lost(std::string reason, TimePoint now) {
    if (step_ == Step::direct) {
        ++serial_;
        begin(false, std::move(reason), now);
        enter(Step::returning, now);
    } else if (step_ != Step::rings && !is_way_back(step_)) {
        turn_round(std::move(reason), now);
    }
}

void VfSwitch::greeted(bool direct, TimePoint now) {
    if (step_ == Step::direct && !direct)
        vf_lost("the guest uses the rings", now);
}

void VfSwitch::guest_gone(TimePoint now) {
    guest_there_ = false;
    if (step_ == Step::rings)
        return;
    if (is_guest_step(step_) && is_way_back(step_)) {
        if (!due_)
            next(now);
    } else if (!is_way_back(step_)) {
        turn_round("the guest is gone", now);
    }
}

void VfSwitch::tick(TimePoint now) {
    if (now < wake_at_)
        return;
    if (due_) {
        enter(step_, now);
    } else if (is_nic_step(step_)) {
        act(now);
    } else if (is_guest_step(step_) && now >= deadline_) {
        if (is_way_back(step_))
            next(now);
        else
            turn_round(std::string("the guest did not answer within ") + std::to_string(timeout_.count()) + " ms", now);
    } else if (is_guest_step(step_) && !told_) {
        tell(message_type(step_));
        wake_at_ = told_ ? deadline_ : std::min(deadline_, now + room_retry);
    }
}

void VfSwitch::finish(TimePoint now) {
    report_.serial = serial_;
    report_.to_direct = going_there_;
    report_.reached = going_there_ == (step_ == Step::direct);
    report_.reason = std::exchange(reason_, "");
    report_.took = std::chrono::duration_cast<std::chrono::microseconds>(now - began_);
    report_.ended = now;
    report_.steps = std::exchange(steps_, {});
}

}  // namespace librettos::control
