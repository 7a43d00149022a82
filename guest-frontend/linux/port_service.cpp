// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/port_service.hpp"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>

namespace librettos::guest {

namespace {

constexpr auto comparison_interval = std::chrono::seconds(1);
constexpr auto full_interval = std::chrono::seconds(30);
constexpr int binds_per_turn = 64;

bool readable(int fd) {
    pollfd watched{fd, POLLIN, 0};
    return poll(&watched, 1, 0) == 1 && (watched.revents & POLLIN) != 0;
}

}  // namespace

PortService::PortService(PortAuthority& authority, std::uint16_t lease_ports)
    : claims_(authority, lease_ports), stop_(checked_descriptor(eventfd(0, EFD_CLOEXEC), "create an eventfd")) {
}

PortService::~PortService() {
    if (thread_.joinable()) {
        eventfd_write(stop_.get(), 1);
        thread_.join();
        settle_quietly();
    }
}

void PortService::start(Descriptor listener) {
    binds_.emplace(std::move(listener), claims_);
    listening_ = true;
    next_comparison_ = std::chrono::steady_clock::now() + comparison_interval;
    thread_ = std::jthread([this] { run(); });
}

void PortService::run() {
    for (;;) {
        auto const left =
            std::chrono::ceil<std::chrono::milliseconds>(next_comparison_ - std::chrono::steady_clock::now());
        std::array<pollfd, 2> watched{pollfd{stop_.get(), POLLIN, 0},
                                      pollfd{listening_ ? binds_->fd() : -1, POLLIN, 0}};
        poll(watched.data(), watched.size(), std::max(0, static_cast<int>(left.count())));
        if (watched[0].revents != 0) {
            return;
        }
        try {
            if ((watched[1].revents & POLLIN) != 0) {
                answer_binds();
            } else if (watched[1].revents != 0) {
                listening_ = false;
            }
            compare();
        } catch (std::exception const& error) {
            // Nothing is latched: whatever could not be done is done by the next comparison.
            spdlog::error("ports: {}", error.what());
            next_comparison_ = std::chrono::steady_clock::now() + comparison_interval;
        }
    }
}

void PortService::begin_anew() {
    anew_ = true;
}

// What fails is tried again with the next comparison.
void PortService::claim_anew() {
    if (!anew_.exchange(false)) {
        return;
    }
    try {
        claims_.begin_anew();
    } catch (...) {
        anew_ = true;
        throw;
    }
    bound_ = true;
}

void PortService::answer_binds() {
    bound_ = true;
    for (int i = 0; i < binds_per_turn && readable(binds_->fd()); ++i) {
        binds_->serve();
    }
}

void PortService::compare() {
    auto const now = std::chrono::steady_clock::now();
    if (now < next_comparison_) {
        return;
    }
    next_comparison_ = now + comparison_interval;
    claim_anew();
    if (is_worth_a_dump()) {
        next_full_ = now + full_interval;
        bound_ = false;
        claims_.settle(dump_.used_ports());
    }
}

bool PortService::is_worth_a_dump() {
    std::string counters = socket_counters();
    bool const moved = counters != counters_;
    counters_ = std::move(counters);
    return moved || bound_ || claims_.unsettled() || next_comparison_ >= next_full_;
}

void PortService::settle_quietly() noexcept {
    try {
        claims_.settle(dump_.used_ports());
    } catch (std::exception const& error) {
        spdlog::debug("ports: {}", error.what());
    }
}

}  // namespace librettos::guest
