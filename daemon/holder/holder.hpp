// SPDX-License-Identifier: BSD-2-Clause
// The holder's life after set-up: one engine at a time, watched and replaced.
//
// States: an engine runs; or it is dead and the next one waits for its delay; or we stop. A hang, a malformed message
// and a reload all end the same way: the engine dies, its death is confirmed (reaped), then the next one is forked.
// Every engine runs the same image, until a reload finds another one installed. That one is on trial: if it cannot be
// loaded, or dies by a fault of its own before it has served for 10 s, the next engine is again of the image before.
// Time-outs: an engine told to stop has 2 s (5 s when the service stops) before it is killed; data threads may stand
// still for half of WatchdogSec (5 s without systemd), those that sleep six times as long; an engine has 60 s to say
// `ready`, one on trial 10 s.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "daemon/api/stats_creator.hpp"
#include "daemon/config/config.hpp"
#include "daemon/holder/engine_image.hpp"
#include "daemon/holder/engine_process.hpp"
#include "daemon/holder/event_loop.hpp"
#include "daemon/holder/progress_watch.hpp"
#include "daemon/holder/restart_delay.hpp"
#include "daemon/holder/service_notice.hpp"
#include "daemon/holder/shared_state.hpp"
#include "daemon/holder/steering_thread.hpp"
#include "drivers/nic/port.hpp"

namespace librettos {

struct HolderOptions {
    std::string config_path;
    std::string log_level;    // overrides the configuration's; empty: does not
    std::string engine_path;  // the engine's object, taken at start and at each reload
};

class Holder {
  public:
    // Before DPDK starts: its threads would else take the signals that the event loop is to see, and end the process.
    static void block_signals();

    // `port` is up and outlives the holder; `steering` is null where there are no VFs. Throws std::system_error.
    Holder(HolderOptions options, LoadedConfig loaded, EngineImage engine, Port& port,
           std::unique_ptr<Steering> steering);

    // Until SIGTERM or SIGINT; the exit status. Ends the process at once (status 1) when only a new holder can help.
    int run();

  private:
    void watch_signals();
    void start_engine();
    void engine_spoke();
    void carry_out(HolderMessage const& request);
    void engine_died();
    void start_engine_after(std::chrono::milliseconds delay);
    void end_engine(std::chrono::milliseconds patience);
    void stop();
    void reload();
    void take_installed_engine();
    void go_back(std::string const& why);
    void tick();
    void require_right_memory(bool all) const;
    void judge_progress();
    void look_at_link();
    void count_losses();
    void send_link();
    void operate_vf(HolderMessage const& request);
    void vfs_spoke();
    void send(HolderMessage const& answer);
    void tell_status();
    std::span<ThreadStats const> threads() const;

    HolderOptions options_;
    Config config_;
    EngineImage image_;                        // what the next engine runs
    std::optional<EngineImage> image_before_;  // while that is on trial
    Port& port_;
    std::set<int> port_fds_;  // what children keep
    StatsFile stats_;
    SharedArray<InFlight> in_flight_;                  // one per data thread
    SharedArray<std::atomic<std::uint64_t>> steered_;  // one per VF
    EngineBoot boot_;
    ServiceNotice service_;
    std::chrono::nanoseconds tick_period_;
    ProgressWatch progress_;
    RestartDelay delay_;
    LinkState link_;
    PortLosses losses_;
    bool engine_ready_ = false;
    bool hung_ = false;  // the engine that was killed for it

    bool stopping_ = false;
    bool replacing_ = false;

    std::unique_ptr<SteeringThread> steering_;    // null: there are no VFs
    std::map<std::uint16_t, HolderMessage> vfs_;  // as they were last
    std::map<std::uint16_t, std::string> vf_failures_;

    EventLoop loop_;
    std::optional<EngineProcess> engine_;
    EventSource engine_death_, engine_messages_, engine_deadline_, trial_end_, next_start_;
    EventSource term_, interrupt_, hangup_, ticks_, next_losses_, link_change_, vf_news_;
};

}  // namespace librettos
