// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/process/stack_device.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include "guest-frontend/process/say.hpp"
#include "guest-frontend/process/switch_calls.hpp"

namespace librettos::guest {

namespace {

constexpr auto longest_claim = std::chrono::seconds(5);
constexpr auto link_message_wait = std::chrono::seconds(1);
constexpr int look_at_vf_ms = 20;
constexpr int look_for_device_ms = 500;

// Functions of lvif_environment get the host's context, not the link. They are called within lvif_poll() and
// lvif_close(), so on the control thread, which serves one device.
thread_local FrameLink* the_link = nullptr;

void quiesce_link(void* /*host*/) {
    if (the_link != nullptr) {
        the_link->quiesce();
    }
}

}  // namespace

void StackDevice::FreeDevice::operator()(lvif_device* device) const {
    std::free(device);
}

StackDevice::StackDevice(GuestOptions const& options, char const* program, Stack& stack, Vf* vf)
    : options_(options),
      program_(program),
      stack_(stack),
      host_(connect_host(options)),
      environment_(host_->environment()),
      device_(static_cast<lvif_device*>(std::aligned_alloc(64, (lvif_device_bytes() + 63) / 64 * 64))),
      attention_(checked_descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "create an eventfd")),
      ring_ports_(longest_claim) {
    if (device_ == nullptr) {
        throw std::bad_alloc();
    }
    environment_.quiesce = quiesce_link;
    environment_.vf = vf != nullptr ? &SwitchCalls<SwitchOrder>::operations : nullptr;
    frames_.emplace(device_.get(), *host_, stack_, attention_.get(), options_.poll_us, vf);
    if (vf != nullptr) {
        order_.emplace(*vf, *frames_, [](SwitchOrder::Kind, std::string const& text) { say(text); });
    }
    thread_ = std::thread([this] { run(); });
}

StackDevice::~StackDevice() {
    ports_.close(host_->domain_outlives_program());
    stop_.store(true, std::memory_order_relaxed);
    eventfd_write(attention_.get(), 1);
    thread_.join();
}

DeviceStatistics StackDevice::statistics() const {
    DeviceStatistics sum{};
    lvif_statistics(device_.get(), &sum);
    return sum;
}

std::optional<Offer> StackDevice::wait_until_connected(std::chrono::milliseconds longest) {
    auto const start = std::chrono::steady_clock::now();
    auto left = longest;
    {
        std::unique_lock lock(mutex_);
        auto const settled = [this] { return offer_.has_value() || !refusal_.empty(); };
        if (longest == for_ever) {
            changed_.wait(lock, settled);
        } else {
            changed_.wait_for(lock, longest, settled);
            left -= std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
        }
        if (!refusal_.empty()) {
            throw std::runtime_error(refusal_);
        }
        if (!offer_) {
            return std::nullopt;
        }
    }
    if (!ports_.wait_until_started(left)) {
        return std::nullopt;
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, link_message_wait, [this] { return link_was_up_; });
    return offer_;
}

// On Xen the host makes the device when it likes. False: stopped.
bool StackDevice::wait_for_device() {
    for (bool said = false; !host_->has_device(); said = true) {
        if (!said) {
            say("waiting for the host to attach this domain (librettosctl attach " + host_->domain_name() + ")");
        }
        pollfd watched{attention_.get(), POLLIN, 0};
        poll(&watched, 1, look_for_device_ms);
        if (stop_.load(std::memory_order_relaxed)) {
            return false;
        }
    }
    return true;
}

bool StackDevice::open() {
    lvif_options wanted{};
    wanted.queues = 1;
    wanted.ring_bytes = options_.ring_bytes;
    wanted.mode = options_.dedicated ? LVIF_MODE_DEDICATED : LVIF_MODE_SHARED;
    std::strncpy(wanted.program, program_.c_str(), sizeof wanted.program - 1);
    int const result = lvif_open(device_.get(), &environment_, &wanted);
    if (result < 0) {
        refuse(std::string("open the network device (a ring has 65536 bytes times a power of two): ") +
               std::strerror(-result));
    }
    return result >= 0;
}

void StackDevice::run() {
    the_link = &*frames_;
    SwitchCalls<SwitchOrder>::to = order_ ? &*order_ : nullptr;
    SwitchCalls<SwitchOrder>::device = device_.get();
    if (!wait_for_device() || !open()) {
        return;
    }
    while (!stop_.load(std::memory_order_relaxed)) {
        if (!hypervisor_gone_) {
            follow_device();
        }
        wait_for_something();
        if (!hypervisor_gone_ && !host_->take_events()) {
            hypervisor_is_gone();
        }
    }
    ring_ports_.close();
    if (!hypervisor_gone_) {
        lvif_close(device_.get());
    }
    frames_->quiesce();
    order_.reset();
}

// Frames of the VF that wait have raised `attention_`.
void StackDevice::follow_vf() {
    if (!order_) {
        return;
    }
    if (order_->may_hold_frames() && frames_->holds_frames_of_vf()) {
        order_->held_frames_came();
    }
    if (order_->look_after()) {
        lvif_vf_lost(device_.get());
    }
}

void StackDevice::follow_device() {
    follow_vf();
    phase_ = lvif_poll(device_.get(), &next_us_);
    server_alive_.store(phase_ == LVIF_PHASE_CONNECTED && lvif_server_alive(device_.get()), std::memory_order_relaxed);
    ring_ports_.pump(device_.get());
    if (std::string const trouble = host_->trouble(); trouble != trouble_) {
        trouble_ = trouble;
        if (!trouble.empty()) {
            say(trouble + "; trying again");
        }
    }
    std::uint64_t const connections = statistics().connections;
    if (phase_ == LVIF_PHASE_CONNECTED) {
        if (connections_ != connections) {
            connections_ = connections;
            establish();
        }
        follow_link(lvif_link_up(device_.get()), lvif_mtu(device_.get()));
    } else if (connections_ != 0) {
        char const* const reason = lvif_detach_reason(device_.get());
        say(std::string("detached") + (*reason != '\0' ? ": " : "") + reason +
            "; link down until the server comes back");
        connections_ = 0;
        follow_link(false, mtu_);
    }
}

void StackDevice::establish() {
    Offer const& offer = *lvif_offer(device_.get());
    if (offer.mode == LVIF_MODE_SHARED && options_.dedicated) {
        refuse("the server attaches this guest as shared: do not ask for an address of its own, or configure it so");
        return;
    }
    start_ports();
    stack_.connected(offer, *frames_);
    frames_->connect();
    std::lock_guard const lock(mutex_);
    if (!offer_) {
        offer_ = offer;
        changed_.notify_all();
    }
}

void StackDevice::refuse(std::string const& why) {
    say(why);
    std::lock_guard const lock(mutex_);
    refusal_ = why;
    changed_.notify_all();
}

void StackDevice::follow_link(bool up, std::uint16_t mtu_bytes) {
    if (up == link_up_ && mtu_bytes == mtu_) {
        return;
    }
    link_up_ = up;
    mtu_ = mtu_bytes;
    stack_.link(up, mtu_bytes);
    if (up) {
        std::lock_guard const lock(mutex_);
        link_was_up_ = true;
        changed_.notify_all();
    }
}

// At the first connection: only then it is known who grants ports.
void StackDevice::start_ports() {
    Offer const& offer = *lvif_offer(device_.get());
    if (ports_started_) {
        return;
    }
    ports_started_ = true;
    if (offer.mode == LVIF_MODE_DEDICATED) {
        ports_.own_all();
        return;
    }
    PortAuthority* authority = &ring_ports_;
    try {
        if (!offer.port_authority_is_server) {
            authority = &host_->ports();
        }
    } catch (std::exception const& error) {
        ports_.fail();
        refuse(error.what());
        return;
    }
    ports_.start(*authority, host_->domain_outlives_program());
}

int StackDevice::wait_milliseconds() const {
    if (hypervisor_gone_) {
        return -1;
    }
    bool const has_vf = order_ && order_->is_open();
    if (next_us_ == UINT64_MAX) {
        return has_vf ? look_at_vf_ms : -1;
    }
    std::uint64_t const now = environment_.now_us(environment_.context);
    std::uint64_t const wait_ms = next_us_ > now ? (next_us_ - now + 999) / 1000 : 0;
    return static_cast<int>(std::min<std::uint64_t>(wait_ms, has_vf ? look_at_vf_ms : 3'600'000));
}

void StackDevice::wait_for_something() {
    bool const connected = !hypervisor_gone_ && (phase_ == LVIF_PHASE_CONNECTED || phase_ == LVIF_PHASE_CONNECTING);
    std::uint32_t const control = connected ? lvif_control_event(device_.get()) : 0;
    std::array<pollfd, 4> watched{pollfd{attention_.get(), POLLIN, 0},
                                  pollfd{hypervisor_gone_ ? -1 : host_->watch_fd(), POLLIN, 0},
                                  pollfd{connected ? host_->event_fd(control) : -1, POLLIN, 0},
                                  pollfd{hypervisor_gone_ ? -1 : ring_ports_.fd(), POLLIN, 0}};
    poll(watched.data(), watched.size(), wait_milliseconds());
    if (watched[0].revents != 0) {
        eventfd_t ignored = 0;
        eventfd_read(attention_.get(), &ignored);
    }
    if (watched[2].revents != 0) {
        host_->event_clear(control);
    }
    if (watched[3].revents != 0) {
        ring_ports_.clear();
    }
}

void StackDevice::hypervisor_is_gone() {
    hypervisor_gone_ = true;
    server_alive_.store(false, std::memory_order_relaxed);
    ring_ports_.close();
    ports_.fail();
    frames_->quiesce();
    if (order_) {
        order_->end();
        order_->close();
    }
    refuse("the hypervisor is gone, and this guest's domain with it: the link stays down");
    follow_link(false, mtu_);
}

}  // namespace librettos::guest
