// SPDX-License-Identifier: BSD-2-Clause
// sd-event with C++ callbacks and owned sources. An exception in a callback ends run() with that exception.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>

namespace librettos {

// One event source; destroying it removes it.
class EventSource {
  public:
    EventSource() = default;

  private:
    friend class EventLoop;
    struct State;
    struct Disable {
        void operator()(State* state) const;
    };
    std::unique_ptr<State, Disable> state_;
};

class EventLoop {
  public:
    EventLoop();  // throws std::system_error, as do all
    ~EventLoop();
    EventLoop(EventLoop const&) = delete;
    EventLoop& operator=(EventLoop const&) = delete;

    EventSource on_readable(int fd, std::function<void()> callback);    // also at its end (EPOLLHUP)
    EventSource on_signal(int number, std::function<void()> callback);  // blocked in every thread by the caller
    EventSource after(std::chrono::microseconds delay, std::function<void()> callback);  // once
    EventSource every(std::chrono::microseconds period, std::function<void()> callback);

    int run();  // until exit(status)
    void exit(int status);

  private:
    friend struct EventSource::State;
    EventSource timer(std::chrono::microseconds delay, std::chrono::microseconds period,
                      std::function<void()> callback);

    sd_event* event_ = nullptr;
    std::exception_ptr failure_;
};

}  // namespace librettos
