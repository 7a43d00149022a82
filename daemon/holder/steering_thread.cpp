// SPDX-License-Identifier: BSD-2-Clause
// Carries out operations on VFs.
#include "daemon/holder/steering_thread.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <utility>

#include "daemon/engine/boot.hpp"
#include "daemon/holder/eventfd.hpp"

namespace librettos {
namespace {

constexpr int look_every_ms = 500;

UniqueFd make_signal() {
    return make_eventfd(EFD_NONBLOCK, "eventfd for the steering thread");
}

void notify(UniqueFd const& fd) {
    static_cast<void>(!eventfd_write(fd.get(), 1));
}

void quiet(UniqueFd const& fd) {
    eventfd_t ignored = 0;
    eventfd_read(fd.get(), &ignored);
}

HolderMessage state_message(std::size_t vf, VfState const& state) {
    HolderMessage message{.type = HolderMessageType::vf};
    message.vf = static_cast<std::uint16_t>(vf);
    message.present = state.present ? 1 : 0;
    message.up = state.link_up ? 1 : 0;
    message.counted = state.traffic ? 1 : 0;
    message.traffic = state.traffic.value_or(VfTraffic{});
    state.name.copy(message.name.data(), message.name.size() - 1);
    return message;
}

}  // namespace

SteeringThread::SteeringThread(std::unique_ptr<Steering> steering, std::span<std::atomic<std::uint64_t>> steered)
    : steering_(std::move(steering)), steered_(steered), wake_fd_(make_signal()), news_fd_(make_signal()) {
    thread_ = std::thread([this] { run(); });
}

SteeringThread::~SteeringThread() {
    {
        std::lock_guard const lock(mutex_);
        stopping_ = true;
    }
    notify(wake_fd_);
    thread_.join();
}

bool SteeringThread::ask(std::uint64_t engine, HolderMessage const& request) {
    {
        std::lock_guard const lock(mutex_);
        if (waiting_.size() >= most_waiting) {
            return false;
        }
        waiting_.push_back({engine, request});
    }
    notify(wake_fd_);
    return true;
}

void SteeringThread::look() {
    notify(wake_fd_);
}

std::vector<SteeringThread::News> SteeringThread::take() {
    quiet(news_fd_);
    std::lock_guard const lock(mutex_);
    return std::exchange(news_, {});
}

void SteeringThread::tell(News news) {
    {
        std::lock_guard const lock(mutex_);
        news_.push_back(std::move(news));
    }
    notify(news_fd_);
}

void SteeringThread::run() {
    look_at_vfs();
    while (wait_for_work()) {
        std::optional<Request> request;
        {
            std::lock_guard const lock(mutex_);
            if (!waiting_.empty()) {
                request = waiting_.front();
                waiting_.pop_front();
            }
        }
        if (request) {
            carry_out(*request);
        } else {
            look_at_vfs();
        }
    }
}

// False: it is over. What waits at that time is of no use to anybody.
bool SteeringThread::wait_for_work() {
    {
        std::lock_guard const lock(mutex_);
        if (stopping_ || !waiting_.empty()) {
            return !stopping_;
        }
    }
    std::array<pollfd, 2> wait{{{wake_fd_.get(), POLLIN, 0}, {steering_->changes_fd(), POLLIN, 0}}};
    poll(wait.data(), wait.size(), needs_looks() ? look_every_ms : -1);
    quiet(wake_fd_);
    std::lock_guard const lock(mutex_);
    return !stopping_;
}

// What no event tells: what a VF in use has sent and received, and whether one is gone, or there again.
bool SteeringThread::needs_looks() const {
    return std::any_of(told_.begin(), told_.end(), [](VfState const& vf) { return vf.link_up || !vf.present; });
}

void SteeringThread::look_at_vfs() {
    std::vector<VfState> states;
    try {
        states = steering_->vfs();
    } catch (std::exception const&) {
        return;  // the next operation says what is wrong
    }
    for (std::size_t vf = 0; vf < states.size(); ++vf) {
        if (vf >= told_.size() || states[vf] != told_[vf]) {
            tell({.engine = 0, .message = state_message(vf, states[vf]), .failure = {}});
        }
    }
    told_ = std::move(states);
}

// What an operation changes is told before its answer. But while frames are steered to a VF whose guest does not take
// them yet, which lasts until it hears of the answer, nothing is looked at: that is done before.
void SteeringThread::carry_out(Request const& request) {
    bool const frames_wait = request.message.operation == VfOperation::steer_to_vf;
    if (frames_wait) {
        look_at_vfs();
    }
    News news{.engine = request.engine, .message = request.message, .failure = {}};
    news.message.type = HolderMessageType::done;
    news.message.status = 0;
    try {
        operate(request);
    } catch (SteeringError const& error) {
        news.message.status = -error.error;
        news.failure = error.what();
    } catch (std::exception const& error) {
        news.message.status = -EIO;
        news.failure = error.what();
    }
    if (!frames_wait) {
        look_at_vfs();
    }
    tell(std::move(news));
}

void SteeringThread::note_steered(Request const& request) {
    std::uint16_t const vf = request.message.vf;
    if (vf < steered_.size()) {  // an earlier server may have had more of them
        steered_[vf].store(steering_word(request.engine, request.message.id), std::memory_order_release);
    }
}

void SteeringThread::operate(Request const& request) {
    HolderMessage const& message = request.message;
    switch (message.operation) {
        case VfOperation::give:
            steering_->give(message.vf, {message.mac, message.vlan});
            return;
        case VfOperation::steer_to_vf:
            steering_->steer_to_vf(message.vf, message.mac);
            note_steered(request);
            return;
        case VfOperation::steer_to_port:
            steering_->steer_to_port(message.mac);
            note_steered(request);
            return;
        case VfOperation::take:
            steering_->take(message.vf, message.mac);
            return;
        case VfOperation::none:
            break;
    }
    throw SteeringError("an operation on a VF that there is not", EINVAL);
}

}  // namespace librettos
