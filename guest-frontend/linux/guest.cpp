// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/guest.hpp"

#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/socket_dump.hpp"
#include "guest-frontend/process/switch_calls.hpp"

namespace librettos::guest {

namespace {

constexpr std::uint32_t longest_gso_frame = 65000;  // below LVIF_MAX_FRAME_BYTES with room for headers that come on top
constexpr std::uint32_t frame_margin = 64;
constexpr auto link_message_wait = std::chrono::seconds(1);
constexpr auto kill_after = std::chrono::seconds(5);
constexpr auto longest_linger = std::chrono::seconds(5);
constexpr auto longest_give_back = std::chrono::seconds(2);

// The functions of lvif_environment get the host's context; a process is one guest and has one pump.
FramePump* the_pump = nullptr;

void quiesce_pump(void* /*host*/) {
    if (the_pump != nullptr) {
        the_pump->quiesce();
    }
}

}  // namespace

void Guest::FreeDevice::operator()(lvif_device* device) const {
    std::free(device);
}

Guest::Guest(GuestOptions const& options, Host& host, TapDevice& tap, VfInterface* vf, CommandTree& programs,
             int signals)
    : options_(options),
      host_(host),
      environment_(host.environment()),
      tap_(tap),
      programs_(programs),
      signals_(signals),
      interface_(options.interface),
      device_(static_cast<lvif_device*>(std::aligned_alloc(64, (lvif_device_bytes() + 63) / 64 * 64))) {
    if (device_ == nullptr) {
        throw std::bad_alloc();
    }
    environment_.quiesce = quiesce_pump;
    environment_.vf = vf != nullptr ? &SwitchCalls<VfPath>::operations : nullptr;
    lvif_options wanted{};
    wanted.queues = options_.queues;
    wanted.ring_bytes = options_.ring_bytes;
    wanted.features = LVIF_F_ALL;
    wanted.mode = options_.dedicated ? LVIF_MODE_DEDICATED : LVIF_MODE_SHARED;
    std::strncpy(wanted.program, "librettos-guest " LIBRETTOS_VERSION, sizeof wanted.program - 1);
    if (int const result = lvif_open(device_.get(), &environment_, &wanted); result < 0) {
        throw_errno(-result, "open the network device (check --queues and --ring-bytes)");
    }
    pump_.emplace(device_.get(), host_, tap_, options_.poll_us);
    the_pump = &*pump_;
    if (vf != nullptr) {
        SwitchCalls<VfPath>::device = device_.get();
        SwitchCalls<VfPath>::to = &vf_.emplace(*vf, device_.get(), *pump_, tap_);
    }
    if (options_.wait_s != 0) {
        give_up_ = Clock::now() + std::chrono::seconds(options_.wait_s);
    }
}

Guest::~Guest() {
    give_ports_back();
    PumpDrops const drops = pump_->drops();
    DeviceStatistics sum{};
    lvif_statistics(device_.get(), &sum);
    spdlog::info(
        "sent {} frames ({} bytes), received {} ({}); dropped: rx_bad_offload {}, rx_refused {}, tx_bad_frame {}",
        sum.tx_frames, sum.tx_bytes, sum.rx_frames, sum.rx_bytes, drops.rx_bad_offload, drops.rx_refused,
        drops.tx_bad_frame);
    if (!hypervisor_gone_) {
        lvif_close(device_.get());
    }
    pump_->quiesce();
    SwitchCalls<VfPath>::to = nullptr;
    vf_.reset();
    the_pump = nullptr;
}

int Guest::run() {
    spdlog::info("waiting for a server");
    for (;;) {
        if (!hypervisor_gone_) {
            follow_device();
        }
        wait_for_something();
        if (take_signals() && !lingers()) {
            return hypervisor_gone_   ? exit_hypervisor_gone
                   : end_signal_ != 0 ? 128 + end_signal_
                                      : programs_.exit_status();
        }
        if (!hypervisor_gone_) {
            take_store_events();
        }
    }
}

void Guest::follow_device() {
    follow_vf();
    phase_ = lvif_poll(device_.get(), &next_us_);
    ring_ports_.pump(device_.get());
    if (std::string const trouble = host_.trouble(); trouble != trouble_) {
        trouble_ = trouble;
        if (!trouble.empty()) {
            spdlog::warn("{}; trying again", trouble);
        }
    }
    DeviceStatistics sum{};
    lvif_statistics(device_.get(), &sum);
    if (phase_ != LVIF_PHASE_CONNECTED || connections_ != sum.connections) {
        if (connections_ != 0) {
            retire();
        }
    }
    if (phase_ == LVIF_PHASE_CONNECTED) {
        if (connections_ == 0) {
            establish();
            connections_ = sum.connections;
        }
        follow_link();
    } else if (Clock::now() >= give_up_ && !programs_.started()) {
        char const* const reason = lvif_detach_reason(device_.get());
        throw std::runtime_error(
            fmt::format("no server took this guest within {} s{}{} (is librettos-netserver running, and does its "
                        "configuration take "
                        "guests named '{}'?)",
                        options_.wait_s, *reason != '\0' ? ": " : "", reason, options_.name));
    }
}

void Guest::follow_vf() {
    if (vf_ && vf_->look_after()) {
        lvif_vf_lost(device_.get());
    }
}

void Guest::check_offer(Offer const& offer) const {
    if (offer.mode == LVIF_MODE_SHARED && options_.dedicated) {
        throw std::runtime_error(
            "the server attaches this guest as shared: leave out --dedicated, or configure it as dedicated");
    }
    if (offer.mode == LVIF_MODE_SHARED && ports_asked_ && offer.port_authority_is_server != server_grants_) {
        throw std::runtime_error(
            "the portmap has another authority than when this guest began: what it owns is worth nothing, start it "
            "anew");
    }
}

void Guest::establish() {
    Offer const& offer = *lvif_offer(device_.get());
    check_offer(offer);
    auto const queues = std::min<std::uint16_t>(lvif_queues(device_.get()), static_cast<std::uint16_t>(tap_.queues()));
    tap_.use_queues(queues);
    tap_.set_offloads(lvif_features(device_.get()));
    tap_.set_carrier(false);
    carrier_ = false;
    mtu_ = offer.mtu;
    interface_.prepare(offer, std::min(longest_gso_frame, lvif_tx_max(device_.get(), 0) - frame_margin));
    interface_.bring_up(offer);
    pump_->connect(queues);
    start_anyway_ = Clock::now() + link_message_wait;
    start_ports();
    follow_portmap();
    spdlog::info("connected: {} queue pair(s), MTU {}, {}", queues, offer.mtu,
                 offer.mode == LVIF_MODE_SHARED ? "shared" : "dedicated");
}

void Guest::retire() {
    char const* const reason = lvif_detach_reason(device_.get());
    spdlog::warn("detached{}{}; interface down until the server comes back", *reason != '\0' ? ": " : "", reason);
    connections_ = 0;
    interface_.take_down();
}

void Guest::follow_link() {
    if (bool const up = lvif_link_up(device_.get()); up != carrier_) {
        tap_.set_carrier(up);
        carrier_ = up;
        spdlog::info("link {}", up ? "up" : "down");
    }
    if (std::uint16_t const mtu = lvif_mtu(device_.get()); mtu != 0 && mtu != mtu_) {
        interface_.set_mtu(mtu);
        if (vf_) {
            vf_->set_mtu(mtu);
        }
        mtu_ = mtu;
        spdlog::info("MTU {}", mtu);
    }
    if (!programs_.started() && (carrier_ || Clock::now() >= start_anyway_) && ports_ready()) {
        start_programs();
    }
}

// At the first connection: only then it is known who grants ports.
void Guest::start_ports() {
    Offer const& offer = *lvif_offer(device_.get());
    if (options_.dedicated || ports_asked_) {
        return;
    }
    ports_asked_ = true;
    ports_of_ = lvif_server_domain(device_.get());
    server_grants_ = offer.port_authority_is_server;
    PortAuthority& authority = server_grants_ ? static_cast<PortAuthority&>(ring_ports_) : host_.ports();
    ports_start_ = std::async(std::launch::async, [this, &authority] {
        if (host_.domain_outlives_program()) {
            authority.release_all();  // what a program before this one left behind when it was killed
        }
        for (;;) {
            try {
                ports_.emplace(authority, options_.lease_ports);
                return;
            } catch (std::system_error const& error) {
                if (error.code() != std::errc::timed_out) {
                    throw;
                }
                spdlog::warn("{}; asking again", error.what());
            }
        }
    });
}

// Throws what the lease threw.
bool Guest::ports_ready() {
    if (!ports_start_.valid()) {
        return true;
    }
    if (ports_start_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
        return false;
    }
    ports_start_.get();
    ports_->start(programs_.take_listener());
    follow_portmap();
    return true;
}

// A driver domain that was started anew is another domain, with a portmap of its own that is empty.
void Guest::follow_portmap() {
    std::uint16_t const server = lvif_server_domain(device_.get());
    if (ports_start_.valid() || !ports_ || !server_grants_ || server == ports_of_) {
        return;
    }
    ports_of_ = server;
    spdlog::warn("the server is another domain, with a portmap of its own: claiming all ports in use again");
    ports_->begin_anew();
}

// While the server still listens. Where the domain ends with this program the hypervisor does the rest.
void Guest::give_ports_back() {
    auto const deadline = Clock::now() + longest_give_back;
    auto ending = std::async(std::launch::async, [this] {
        if (ports_start_.valid()) {
            ports_start_.wait();
        }
        ports_.reset();
        if (ports_asked_ && host_.domain_outlives_program()) {
            (server_grants_ ? static_cast<PortAuthority&>(ring_ports_) : host_.ports()).release_all();
        }
    });
    bool const starting = ports_start_.valid();
    while (!starting && !hypervisor_gone_ && Clock::now() < deadline &&
           ending.wait_for(std::chrono::milliseconds(2)) != std::future_status::ready) {
        std::uint64_t next = 0;
        lvif_poll(device_.get(), &next);
        ring_ports_.pump(device_.get());
    }
    ring_ports_.close();
    ending.wait();
}

void Guest::start_programs() {
    programs_.start();
    give_up_ = start_anyway_ = Clock::time_point::max();
}

int Guest::wait_milliseconds() const {
    auto const deadline = std::min({give_up_, programs_.started() ? Clock::time_point::max() : start_anyway_, kill_,
                                    vf_ ? vf_->wake_at() : Clock::time_point::max()});
    std::uint64_t wait_ms = UINT64_MAX;
    if (deadline != Clock::time_point::max()) {
        auto const left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        wait_ms = left > 0 ? static_cast<std::uint64_t>(left) : 0;
    }
    if (ports_start_.valid()) {
        wait_ms = std::min<std::uint64_t>(wait_ms, 10);
    }
    if (!hypervisor_gone_ && next_us_ != UINT64_MAX) {
        std::uint64_t const now = environment_.now_us(environment_.context);
        wait_ms = std::min(wait_ms, next_us_ > now ? (next_us_ - now + 999) / 1000 : 0);
    }
    std::uint64_t const longest_ms = linger_until_ ? 20 : 3'600'000;
    return wait_ms == UINT64_MAX && !linger_until_ ? -1 : static_cast<int>(std::min(wait_ms, longest_ms));
}

void Guest::wait_for_something() {
    bool const connected = !hypervisor_gone_ && (phase_ == LVIF_PHASE_CONNECTED || phase_ == LVIF_PHASE_CONNECTING);
    std::uint32_t const control = connected ? lvif_control_event(device_.get()) : 0;
    std::array<pollfd, 7> watched{pollfd{signals_, POLLIN, 0},
                                  pollfd{hypervisor_gone_ ? -1 : host_.watch_fd(), POLLIN, 0},
                                  pollfd{connected ? host_.event_fd(control) : -1, POLLIN, 0},
                                  pollfd{hypervisor_gone_ ? -1 : pump_->attention_fd(), POLLIN, 0},
                                  pollfd{hypervisor_gone_ ? -1 : ring_ports_.fd(), POLLIN, 0},
                                  pollfd{hypervisor_gone_ || !vf_ ? -1 : vf_->change_fd(), POLLIN, 0},
                                  pollfd{hypervisor_gone_ || !vf_ ? -1 : vf_->held_frames_fd(), POLLIN, 0}};
    poll(watched.data(), watched.size(), wait_milliseconds());
    if (watched[2].revents != 0) {
        host_.event_clear(control);
    }
    if (watched[3].revents != 0) {
        pump_->clear_attention();
    }
    if (watched[4].revents != 0) {
        ring_ports_.clear();
    }
    if (watched[6].revents != 0) {
        vf_->held_frames_came();
    }
    if (Clock::now() >= kill_) {
        programs_.signal_all(SIGKILL);
        kill_ = Clock::now() + std::chrono::milliseconds(100);  // for those that were just being started
    }
}

bool Guest::take_signals() {
    signalfd_siginfo signal{};
    while (read(signals_, &signal, sizeof signal) == sizeof signal) {
        auto const number = static_cast<int>(signal.ssi_signo);
        if (number == SIGCHLD) {
            continue;
        }
        if (!programs_.started()) {
            end_signal_ = number;
            return true;
        }
        if (linger_until_) {
            linger_until_ = Clock::now();
            continue;
        }
        // The terminal has signalled the programs itself.
        if (signal.ssi_code != SI_KERNEL) {
            programs_.forward(number);
        }
    }
    return programs_.reap();
}

// The programs have ended; what they sent last may still be on its way. The kernel delivers it as long as there is an
// interface, so that stays until all is acknowledged, but not for a peer that does not answer.
bool Guest::lingers() {
    if (hypervisor_gone_ || end_signal_ != 0) {
        return false;
    }
    if (!linger_until_) {
        linger_until_ = Clock::now() + longest_linger;
    }
    return Clock::now() < *linger_until_ && SocketDump().data_left_behind();
}

void Guest::take_store_events() {
    if (!host_.take_events()) {
        hypervisor_is_gone();
    }
}

void Guest::hypervisor_is_gone() {
    spdlog::critical("the hypervisor is gone, and this guest's domain with it: ending its programs");
    hypervisor_gone_ = true;
    ring_ports_.close();
    pump_->quiesce();
    interface_.take_down();
    programs_.signal_all(programs_.started() ? SIGTERM : SIGKILL);
    kill_ = Clock::now() + kill_after;
}

}  // namespace librettos::guest
