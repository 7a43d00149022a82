// SPDX-License-Identifier: BSD-2-Clause
// Starts, watches and replaces engines.
#include "daemon/holder/holder.hpp"

#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <spdlog/spdlog.h>

#include "daemon/holder/reload.hpp"
#include "daemon/holder/wake_up.hpp"
#include "drivers/nic/pool_check.hpp"
#include "drivers/nic/wait_fds.hpp"

namespace librettos {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds replace_patience{2000};
constexpr milliseconds stop_patience{5000};
constexpr seconds start_patience{60};
constexpr seconds trial{10};
constexpr seconds default_stall_patience{5};
constexpr unsigned asleep_patience = 6;  // times that for a thread that sleeps: a loaded machine wakes it late
constexpr seconds longest_tick{1};       // the link is looked at as often
constexpr milliseconds losses_period{1000};
constexpr milliseconds losses_period_while_they_grow{100};  // for a reader that looks twice in a fifth of a second
constexpr unsigned messages_per_wakeup = 64;
constexpr unsigned first_data_lcore = 1;

std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

std::chrono::nanoseconds stall_patience(std::chrono::microseconds watchdog) {
    return watchdog.count() > 0 ? std::chrono::nanoseconds(watchdog / 2)
                                : std::chrono::nanoseconds(default_stall_patience);
}

ProgressWatch progress_watch(std::chrono::nanoseconds patience, std::chrono::nanoseconds period) {
    auto const looks = static_cast<unsigned>((patience + period - std::chrono::nanoseconds(1)) / period);
    return {looks, asleep_patience * looks};
}

}  // namespace

Holder::Holder(HolderOptions options, LoadedConfig loaded, EngineImage engine, Port& port,
               std::unique_ptr<Steering> steering)
    : options_(std::move(options)),
      config_(std::move(loaded.config)),
      image_(std::move(engine)),
      port_(port),
      port_fds_(open_fds()),
      stats_(config_.paths.stats, config_.data.threads, config_.limits.guests + 1),
      in_flight_(config_.data.threads),
      steered_(config_.direct.vfs.size()),
      tick_period_(std::min<std::chrono::nanoseconds>(longest_tick, stall_patience(service_.watchdog()) / 4)),
      progress_(progress_watch(stall_patience(service_.watchdog()), tick_period_)) {
    port_fds_.erase(image_.fd());  // a child keeps the one that it runs, until that is loaded
    boot_.config_text = std::move(loaded.text);
    boot_.release.holder = LIBRETTOS_VERSION;
    boot_.release.path = options_.engine_path;
    boot_.port = port_.description();
    boot_.pool = port_.pool();
    boot_.data_threads = config_.data.threads;
    boot_.stats = stats_.header();
    boot_.in_flight = in_flight_.all().data();
    boot_.steered = steered_.all();
    boot_.wake_up_ns = static_cast<std::uint64_t>(measure_wake_up().count());
    boot_.first_lcore = first_data_lcore;
    boot_.generation = 0;
    stats_.header()->holder_pid.store(static_cast<std::uint64_t>(getpid()), std::memory_order_relaxed);
    link_ = port_.link();
    watch_signals();
    if (steering) {
        steering_ = std::make_unique<SteeringThread>(std::move(steering), steered_.all());
        vf_news_ = loop_.on_readable(steering_->fd(), [this] { vfs_spoke(); });
    }
}

void Holder::block_signals() {
    sigset_t handled;
    sigemptyset(&handled);
    for (int const number : {SIGTERM, SIGINT, SIGHUP}) {
        sigaddset(&handled, number);
    }
    sigprocmask(SIG_BLOCK, &handled, nullptr);
}

void Holder::watch_signals() {
    term_ = loop_.on_signal(SIGTERM, [this] { stop(); });
    interrupt_ = loop_.on_signal(SIGINT, [this] { stop(); });
    hangup_ = loop_.on_signal(SIGHUP, [this] { reload(); });
    link_change_ = loop_.on_readable(port_.link_changed_fd(), [this] {
        eventfd_t changes = 0;
        eventfd_read(port_.link_changed_fd(), &changes);
        look_at_link();
    });
    ticks_ = loop_.every(std::chrono::duration_cast<std::chrono::microseconds>(tick_period_), [this] { tick(); });
    count_losses();
}

int Holder::run() {
    start_engine();
    return loop_.run();
}

std::span<ThreadStats const> Holder::threads() const {
    return {stats_.header()->thread, config_.data.threads};
}

void Holder::start_engine() {
    require_right_memory(true);
    StatsHeader& stats = *stats_.header();
    for (std::size_t i = 0; i < config_.data.threads; ++i) {
        stats.thread[i].sleeping.store(0, std::memory_order_relaxed);  // its writer is dead
    }
    next_start_ = {};
    engine_ready_ = false;
    ++boot_.generation;
    stats.engine_generation.store(boot_.generation, std::memory_order_relaxed);
    stats.engine_start_ns.store(monotonic_ns(), std::memory_order_relaxed);
    std::string const& level = options_.log_level.empty() ? config_.log.level : options_.log_level;
    boot_.release.engine = image_.object().version;
    boot_.release.build = image_.object().build;
    engine_.emplace(boot_, image_, port_fds_, level);
    stats.engine_pid.store(static_cast<std::uint64_t>(engine_->pid()), std::memory_order_relaxed);
    engine_death_ = loop_.on_readable(engine_->pidfd(), [this] { engine_died(); });
    engine_messages_ = loop_.on_readable(engine_->socket(), [this] { engine_spoke(); });
    seconds const patience = image_before_ ? trial : start_patience;
    engine_deadline_ = loop_.after(patience, [this, patience] {
        spdlog::error("engine {} did not become ready within {} s: killed", engine_->pid(), patience.count());
        engine_->kill();
    });
    progress_.restart(threads());
    spdlog::info("engine {} started (pid {})", boot_.generation, engine_->pid());
    send_link();
    for (auto const& [vf, state] : vfs_) {
        engine_->send(state);
    }
    tell_status();
}

void Holder::engine_spoke() {
    for (unsigned i = 0; i < messages_per_wakeup; ++i) {
        HolderMessage message{};
        switch (engine_->receive(message)) {
            case EngineProcess::Received::message:
                carry_out(message);
                break;
            case EngineProcess::Received::none:
                return;
            case EngineProcess::Received::ended:
                engine_messages_ = {};
                if (!stopping_ && !replacing_) {  // it cannot be told anything any more
                    end_engine(replace_patience);
                }
                return;
            case EngineProcess::Received::malformed:
                spdlog::error("engine {} sent a message that is none: killed", engine_->pid());
                engine_messages_ = {};
                engine_->kill();
                return;
        }
    }
}

void Holder::carry_out(HolderMessage const& request) {
    if (request.type == HolderMessageType::ready) {
        if (!engine_ready_ && !stopping_ && !replacing_) {
            engine_ready_ = true;
            engine_deadline_ = {};
            progress_.restart(threads());
            service_.ready();
            spdlog::info("engine {} is ready after {} ms", boot_.generation, engine_->age().count());
            tell_status();
            if (image_before_) {
                trial_end_ = loop_.after(trial, [this] { image_before_.reset(); });
            }
        }
        return;
    }
    if (request.type == HolderMessageType::operate_vf) {
        operate_vf(request);
        return;
    }
    HolderMessage answer{.type = HolderMessageType::done};
    answer.id = request.id;
    answer.status =
        request.type == HolderMessageType::add_mac ? port_.add_mac(request.mac) : port_.remove_mac(request.mac);
    send(answer);
}

void Holder::send(HolderMessage const& answer) {
    if (!engine_->send(answer)) {
        spdlog::error("engine {} does not take its answers: killed", engine_->pid());
        engine_->kill();
    }
}

void Holder::operate_vf(HolderMessage const& request) {
    if (steering_ && steering_->ask(boot_.generation, request)) {
        return;
    }
    HolderMessage answer = request;
    answer.type = HolderMessageType::done;
    answer.status = steering_ ? -EBUSY : -EOPNOTSUPP;
    send(answer);
}

void Holder::vfs_spoke() {
    for (auto const& news : steering_->take()) {
        if (auto& said = vf_failures_[news.message.vf]; news.message.type == HolderMessageType::done) {
            if (!news.failure.empty() && news.failure != said) {  // an engine asks again until it is done
                spdlog::warn("VF {}: {}", news.message.vf, news.failure);
            }
            said = news.failure;
        }
        if (news.message.type == HolderMessageType::vf) {
            vfs_[news.message.vf] = news.message;
        }
        if (engine_ && (news.engine == 0 || news.engine == boot_.generation)) {
            send(news.message);
        }
    }
}

void Holder::engine_died() {
    milliseconds const lived = engine_->age();
    std::string const end = engine_->reap();
    bool const in_order = engine_->ended_in_order();
    boot_.after_crash = engine_->crashed() || std::exchange(hung_, false);
    bool const faulty = !engine_ready_ || boot_.after_crash || engine_->exited();
    engine_death_ = {};
    trial_end_ = {};
    engine_messages_ = {};
    engine_deadline_ = {};
    engine_.reset();
    stats_.header()->engine_pid.store(0, std::memory_order_relaxed);
    if (stopping_) {
        spdlog::info("engine {} {}; stopped", boot_.generation, end);
        loop_.exit(0);
        return;
    }
    PoolState const pool = mend_pool(port_.pool());
    spdlog::log(replacing_ ? spdlog::level::info : spdlog::level::err,
                "engine {} {} after {} ms; {} buffers in use, {} mended", boot_.generation, end, lived.count(),
                pool.in_use, pool.mended);
    if (!pool.usable) {
        spdlog::critical("the buffer pool cannot be used any more ({}): ending, to be started again", pool.reason);
        std::_Exit(EXIT_FAILURE);  // closing the port would put its buffers back, and spin
    }
    if (!in_order && !port_.description().survives_kills) {
        spdlog::critical("{} cannot go on where a process was killed: ending, to be started again",
                         port_.description().driver);
        std::_Exit(EXIT_FAILURE);
    }
    bool const asked = std::exchange(replacing_, false);
    if (image_before_ && faulty && !asked) {
        go_back(end + " after " + std::to_string(lived.count()) + " ms");
        start_engine();
        return;
    }
    start_engine_after(asked ? milliseconds{0} : delay_.after_death(lived));
}

void Holder::start_engine_after(milliseconds delay) {
    if (delay.count() == 0) {
        start_engine();
        return;
    }
    engine_ready_ = false;
    spdlog::warn("engines die right after their start: the next one in {} ms", delay.count());
    tell_status();
    next_start_ = loop_.after(delay, [this] { start_engine(); });
}

void Holder::end_engine(milliseconds patience) {
    engine_->send({.type = HolderMessageType::stop});
    engine_deadline_ = loop_.after(patience, [this] {
        spdlog::warn("engine {} did not stop in time: killed", engine_->pid());
        engine_->kill();
    });
}

void Holder::stop() {
    if (stopping_) {
        return;
    }
    stopping_ = true;
    service_.stopping();
    spdlog::info("stopping; guests keep their rings");
    next_start_ = {};
    if (!engine_) {
        loop_.exit(0);
        return;
    }
    end_engine(stop_patience);
}

void Holder::reload() {
    if (stopping_) {
        return;
    }
    service_.reloading();
    std::optional<LoadedConfig> fresh = reloaded_config(options_.config_path, config_);
    if (!fresh) {
        service_.ready();
        return;
    }
    config_ = std::move(fresh->config);
    boot_.config_text = std::move(fresh->text);
    take_installed_engine();
    if (engine_) {
        replacing_ = true;
        end_engine(replace_patience);
    }
}

void Holder::take_installed_engine() {
    boot_.release.refused.clear();
    boot_.release.given_up.clear();
    try {
        EngineImage installed(options_.engine_path);
        if (installed.same_build(image_)) {
            return;
        }
        spdlog::info("the next engine is {}, after {}", installed.name(), image_.name());
        if (!image_before_) {
            image_before_ = std::move(image_);
        }
        image_ = std::move(installed);
    } catch (EngineImageError const& error) {
        boot_.release.refused = error.what();
        spdlog::error("{}; going on with {}", error.what(), image_.name());
    }
}

void Holder::go_back(std::string const& why) {
    boot_.release.refused = "engine " + options_.engine_path + " (" + image_.name() + ") " + why +
                            "; journalctl -u librettos-netserver says more";
    spdlog::error("engine {} ({}) {}; going back to {}", options_.engine_path, image_.name(), why,
                  image_before_->name());
    boot_.release.given_up = image_.object().build;
    image_ = std::move(*image_before_);
    image_before_.reset();
}

void Holder::tick() {
    require_right_memory(false);
    look_at_link();
    judge_progress();
}

// Ending closes the device, and the kernel then ends its DMA.
void Holder::require_right_memory(bool all) const {
    if (auto const fault = port_.memory_fault(all); !fault.empty()) {
        spdlog::critical("the NIC's memory has moved in the machine ({}): ending at once, to be started again", fault);
        std::_Exit(EXIT_FAILURE);
    }
}

void Holder::judge_progress() {
    // Between engines, and until one is ready, other limits hold: see start_patience and RestartDelay.
    if (!engine_ || !engine_ready_ || replacing_ || stopping_) {
        service_.alive();
        return;
    }
    if (auto const stuck = progress_.look(threads())) {
        spdlog::error("data thread {} of engine {} has not turned for {} ms: killed", stuck->thread, engine_->pid(),
                      std::chrono::duration_cast<milliseconds>(stuck->looks * tick_period_).count());
        engine_ready_ = false;
        hung_ = true;
        engine_->kill();
        return;
    }
    if (progress_.all_progressed()) {
        service_.alive();
    }
}

void Holder::look_at_link() {
    LinkState const now = port_.link();
    if (now == link_) {
        return;
    }
    link_ = now;
    spdlog::info("link {}", link_.up ? "up" : "down");
    if (steering_) {
        steering_->look();
    }
    send_link();
    tell_status();
}

void Holder::count_losses() {
    PortLosses const now = port_.losses();
    bool const grow = now != std::exchange(losses_, now);
    stats_.set_wire(Counter::drop_wire_missed, now.missed);
    stats_.set_wire(Counter::drop_wire_merged, now.merged);
    next_losses_ = loop_.after(grow ? losses_period_while_they_grow : losses_period, [this] { count_losses(); });
}

void Holder::send_link() {
    if (engine_) {
        engine_->send({.type = HolderMessageType::link, .up = link_.up ? 1U : 0U, .speed_mbps = link_.speed_mbps});
    }
}

void Holder::tell_status() {
    std::string engine = "no engine";
    if (engine_) {
        engine = "engine " + std::to_string(boot_.generation) + (engine_ready_ ? " running" : " starting");
    }
    service_.status(engine + ", " + config_.port.device + " link " + (link_.up ? "up" : "down"));
}

}  // namespace librettos
