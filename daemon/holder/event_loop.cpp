// SPDX-License-Identifier: BSD-2-Clause
// The C++ face of sd-event.
#include "daemon/holder/event_loop.hpp"

#include <sys/epoll.h>

#include <system_error>
#include <utility>

namespace librettos {

struct EventSource::State {
    EventLoop* loop;
    std::function<void()> callback;
    std::chrono::microseconds period{0};
    sd_event_source* source = nullptr;

    // The callback may destroy the source it belongs to: nothing of the state is used after it.
    int dispatch() {
        EventLoop* const owner = loop;
        std::function<void()> const call = callback;
        try {
            call();
        } catch (...) {
            owner->failure_ = std::current_exception();
            sd_event_exit(owner->event_, 1);
        }
        return 0;
    }

    static int on_io(sd_event_source*, int, std::uint32_t, void* state) {
        return static_cast<State*>(state)->dispatch();
    }
    static int on_signal(sd_event_source*, signalfd_siginfo const*, void* state) {
        return static_cast<State*>(state)->dispatch();
    }
    static int on_time(sd_event_source* source, std::uint64_t, void* pointer) {
        auto* const state = static_cast<State*>(pointer);
        if (state->period.count() > 0) {
            sd_event_source_set_time_relative(source, static_cast<std::uint64_t>(state->period.count()));
            sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return state->dispatch();
    }
};

void EventSource::Disable::operator()(State* state) const {
    sd_event_source_disable_unref(state->source);
    delete state;
}

namespace {

void check(int result, char const* what) {
    if (result < 0) {
        throw std::system_error(-result, std::generic_category(), what);
    }
}

}  // namespace

EventLoop::EventLoop() {
    check(sd_event_new(&event_), "event loop");
}

EventLoop::~EventLoop() {
    sd_event_unref(event_);
}

EventSource EventLoop::on_readable(int fd, std::function<void()> callback) {
    EventSource source;
    source.state_.reset(new EventSource::State{this, std::move(callback)});
    check(sd_event_add_io(event_, &source.state_->source, fd, EPOLLIN, EventSource::State::on_io, source.state_.get()),
          "event loop: descriptor");
    return source;
}

EventSource EventLoop::on_signal(int number, std::function<void()> callback) {
    EventSource source;
    source.state_.reset(new EventSource::State{this, std::move(callback)});
    check(
        sd_event_add_signal(event_, &source.state_->source, number, EventSource::State::on_signal, source.state_.get()),
        "event loop: signal");
    return source;
}

EventSource EventLoop::timer(std::chrono::microseconds delay, std::chrono::microseconds period,
                             std::function<void()> callback) {
    constexpr std::uint64_t accuracy_us = 1000;
    EventSource source;
    source.state_.reset(new EventSource::State{this, std::move(callback), period});
    check(sd_event_add_time_relative(event_, &source.state_->source, CLOCK_MONOTONIC,
                                     static_cast<std::uint64_t>(delay.count()), accuracy_us,
                                     EventSource::State::on_time, source.state_.get()),
          "event loop: timer");
    return source;
}

EventSource EventLoop::after(std::chrono::microseconds delay, std::function<void()> callback) {
    return timer(delay, std::chrono::microseconds{0}, std::move(callback));
}

EventSource EventLoop::every(std::chrono::microseconds period, std::function<void()> callback) {
    return timer(period, period, std::move(callback));
}

int EventLoop::run() {
    int const status = sd_event_loop(event_);
    if (failure_) {
        std::rethrow_exception(std::exchange(failure_, nullptr));
    }
    check(status, "event loop");
    return status;
}

void EventLoop::exit(int status) {
    sd_event_exit(event_, status);
}

}  // namespace librettos
