// SPDX-License-Identifier: BSD-2-Clause
// The control thread's loop.
//
// Parts are made in order and go in the reverse: the data plane's threads end before the guests' memory is unmapped,
// and that before the connection to the hypervisor closes. Each descriptor has one callback; exceptions leave the loop
// through error_, since sd-event is C.
#include "daemon/engine/control/control_thread.hpp"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-event.h>

#include <algorithm>
#include <exception>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "daemon/engine/control/api_commands.hpp"
#include "daemon/engine/control/api_server.hpp"
#include "daemon/engine/control/guests.hpp"
#include "daemon/engine/control/holder_link.hpp"
#include "daemon/engine/datapath/data_plane.hpp"

namespace librettos::control {

namespace {

constexpr auto first_wait = std::chrono::milliseconds(10);
constexpr auto longest_wait = std::chrono::seconds(1);
// The holder tells of the link at once. Guests that are connected before would see it go and come back.
constexpr auto longest_wait_for_link = std::chrono::seconds(1);
constexpr auto log_wait_every = std::chrono::seconds(10);

void check(int result, char const* what) {
    if (result < 0)
        throw std::system_error(-result, std::generic_category(), what);
}

std::uint64_t microseconds(TimePoint time) {
    auto const us = std::chrono::ceil<std::chrono::microseconds>(time.time_since_epoch()).count();
    return static_cast<std::uint64_t>(us);  // steady_clock is CLOCK_MONOTONIC
}

// SIGTERM and SIGINT come through the loop, in this thread and those it starts.
class BlockedSignals {
  public:
    BlockedSignals() {
        sigset_t ends;
        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigaddset(&ends, SIGINT);
        pthread_sigmask(SIG_BLOCK, &ends, &before_);
    }
    ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    BlockedSignals(BlockedSignals const&) = delete;
    BlockedSignals& operator=(BlockedSignals const&) = delete;

  private:
    sigset_t before_{};
};

class ControlThread {
  public:
    ControlThread(EngineBoot const& boot, Config const& config, HypervisorConnector const& connect)
        : boot_(boot),
          config_(config),
          connect_(connect),
          holder_(boot.holder_fd),
          commands_(boot, config),
          api_(config.paths.api_socket, config.paths.api_group, commands_) {
        check(sd_event_new(&loop_), "sd_event_new");
    }
    ~ControlThread() {
        data_plane_.reset();
        guests_.reset();
        hypervisor_.reset();
        sd_event_unref(loop_);
    }
    ControlThread(ControlThread const&) = delete;
    ControlThread& operator=(ControlThread const&) = delete;

    void run();

  private:
    using Step = void (ControlThread::*)(TimePoint);
    struct Source {
        ControlThread* thread;
        Step step;
    };

    void listen(int fd, Source& source);
    static int on_io(sd_event_source*, int, std::uint32_t, void* data);
    static int on_time(sd_event_source*, std::uint64_t, void* data);
    static int on_signal(sd_event_source*, signalfd_siginfo const* signal, void* data);
    int guarded(Step step);
    void set_timer();

    void try_to_connect(TimePoint now);
    void handle_time(TimePoint now);
    void handle_holder(TimePoint now);
    void handle_api(TimePoint now) { api_.handle(now); }
    void handle_store(TimePoint now) { guests_->handle_store_events(now); }
    void handle_channels(TimePoint now) { guests_->handle_channels(now); }
    void handle_data(TimePoint now) { guests_->handle_data_events(now); }

    EngineBoot const& boot_;
    Config const& config_;
    HypervisorConnector const& connect_;
    BlockedSignals blocked_;
    HolderLink holder_;
    ApiCommands commands_;
    ApiServer api_;
    std::unique_ptr<Hypervisor> hypervisor_;
    std::unique_ptr<Guests> guests_;
    std::unique_ptr<DataPlane> data_plane_;
    LinkState link_;
    bool link_is_known_ = false;
    std::map<std::uint16_t, HolderMessage> vfs_;
    sd_event* loop_ = nullptr;
    sd_event_source* timer_ = nullptr;
    std::exception_ptr error_;
    TimePoint connect_at_{};
    Clock::duration wait_ = first_wait;
    TimePoint logged_at_{};
    Source holder_source_{this, &ControlThread::handle_holder};
    Source api_source_{this, &ControlThread::handle_api};
    Source store_source_{this, &ControlThread::handle_store};
    Source channels_source_{this, &ControlThread::handle_channels};
    Source data_source_{this, &ControlThread::handle_data};
};

void ControlThread::run() {
    listen(api_.fd(), api_source_);
    if (holder_.fd() >= 0) {
        listen(holder_.fd(), holder_source_);
        connect_at_ = Clock::now() + longest_wait_for_link;
    }
    check(sd_event_add_signal(loop_, nullptr, SIGTERM, on_signal, this), "sd_event_add_signal");
    check(sd_event_add_signal(loop_, nullptr, SIGINT, on_signal, this), "sd_event_add_signal");
    check(sd_event_add_time(loop_, &timer_, CLOCK_MONOTONIC, 0, 1, on_time, this), "sd_event_add_time");
    sd_event_source_set_floating(timer_, 1);
    sd_event_source_unref(timer_);
    check(sd_event_loop(loop_), "sd_event_loop");
    if (error_)
        std::rethrow_exception(error_);
}

void ControlThread::listen(int fd, Source& source) {
    check(sd_event_add_io(loop_, nullptr, fd, EPOLLIN, on_io, &source), "sd_event_add_io");
}

int ControlThread::on_io(sd_event_source*, int, std::uint32_t, void* data) {
    auto const& source = *static_cast<Source*>(data);
    return source.thread->guarded(source.step);
}

int ControlThread::on_time(sd_event_source*, std::uint64_t, void* data) {
    return static_cast<ControlThread*>(data)->guarded(&ControlThread::handle_time);
}

int ControlThread::on_signal(sd_event_source*, signalfd_siginfo const* signal, void* data) {
    spdlog::info("stopping: signal {}", signal->ssi_signo);
    return sd_event_exit(static_cast<ControlThread*>(data)->loop_, 0);
}

int ControlThread::guarded(Step step) {
    try {
        (this->*step)(Clock::now());
        set_timer();
    } catch (...) {
        error_ = std::current_exception();
        sd_event_exit(loop_, 0);
    }
    return 0;
}

void ControlThread::set_timer() {
    auto wake = api_.next_wake();
    wake = std::min(wake, guests_ ? guests_->next_wake() : connect_at_);
    if (holder_.flush())
        wake = std::min(wake, Clock::now() + first_wait);
    if (wake == TimePoint::max()) {
        check(sd_event_source_set_enabled(timer_, SD_EVENT_OFF), "sd_event_source_set_enabled");
        return;
    }
    check(sd_event_source_set_time(timer_, microseconds(wake)), "sd_event_source_set_time");
    check(sd_event_source_set_enabled(timer_, SD_EVENT_ONESHOT), "sd_event_source_set_enabled");
}

void ControlThread::handle_time(TimePoint now) {
    api_.handle_time(now);
    if (guests_)
        guests_->handle_time(now);
    else if (now >= connect_at_)
        try_to_connect(now);
}

void ControlThread::try_to_connect(TimePoint now) {
    try {
        hypervisor_ = connect_(config_);
    } catch (std::system_error const& error) {
        if (logged_at_ == TimePoint{} || now - logged_at_ >= log_wait_every) {
            spdlog::warn("waiting for the hypervisor: {}; librettosctl doctor looks at what it needs", error.what());
            logged_at_ = now;
        }
        connect_at_ = now + wait_;
        wait_ = std::min<Clock::duration>(2 * wait_, longest_wait);
        return;
    }
    auto const network = network_identity(config_, boot_.port);
    data_plane_ = std::make_unique<DataPlane>(boot_, network, hypervisor_->portmap());
    guests_ = std::make_unique<Guests>(*hypervisor_, *data_plane_, holder_, config_, boot_.port);
    guests_->set_link(link_, now);
    for (auto const& [vf, state] : vfs_)
        guests_->set_vf(state, now);
    listen(hypervisor_->watch_fd(), store_source_);
    listen(guests_->channels_fd(), channels_source_);
    listen(data_plane_->event_fd(), data_source_);
    guests_->start(now);
    commands_.connected(*hypervisor_, *guests_);
    holder_.send_ready();
}

void ControlThread::handle_holder(TimePoint now) {
    for (auto const& message : holder_.take_messages()) {
        if (message.type == HolderMessageType::stop) {
            sd_event_exit(loop_, 0);
        } else if (message.type == HolderMessageType::link) {
            link_ = {message.up != 0, message.speed_mbps};
            commands_.set_link(link_);
            if (guests_)
                guests_->set_link(link_, now);
            else if (!std::exchange(link_is_known_, true))
                connect_at_ = now;
        } else if (message.type == HolderMessageType::vf) {
            vfs_[message.vf] = message;
            if (guests_)
                guests_->set_vf(message, now);
        } else if (guests_) {
            guests_->vf_done(message, now);
        }
    }
    if (holder_.ended()) {
        spdlog::info("stopping: the holder is gone");
        sd_event_exit(loop_, 0);
    }
}

}  // namespace

void run_control_thread(EngineBoot const& boot, Config const& config, HypervisorConnector const& connect) {
    ControlThread(boot, config, connect).run();
}

}  // namespace librettos::control
