// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/process/stack_ports.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "guest-frontend/process/say.hpp"

namespace librettos::guest {

namespace {

constexpr auto next_attempt = std::chrono::seconds(1);

std::string text_of(Protocol protocol, std::uint16_t port) {
    return std::string(name_of(protocol)) + " port " + std::to_string(port);
}

}  // namespace

StackPorts::StackPorts() : thread_([this] { run(); }) {
}

StackPorts::~StackPorts() {
    close(false);
}

void StackPorts::start(PortAuthority& authority, bool release_first) {
    std::lock_guard const lock(mutex_);
    if (state_ == State::waiting && authority_ == nullptr) {
        authority_ = &authority;
        release_first_ = release_first;
        changed_.notify_all();
    }
}

bool StackPorts::wait_until_started(std::chrono::milliseconds longest) {
    std::unique_lock lock(mutex_);
    auto const started = [this] { return state_ != State::waiting; };
    if (longest == std::chrono::milliseconds::max()) {
        changed_.wait(lock, started);
        return true;
    }
    return changed_.wait_for(lock, longest, started);
}

// Nobody is there any more to be refused: what another guest has is lost for the socket, and that is said.
void StackPorts::begin() {
    std::lock_guard const turn(turn_);
    if (release_first_) {
        authority_->release_all();
    }
    while (auto const early = next_early()) {
        int const result = authority_->bind(early->first, early->second);
        if (result == -ETIMEDOUT) {
            continue;
        }
        std::lock_guard const lock(mutex_);
        if (result == 0) {
            single_[*early].asked_for = true;
        } else {
            single_.erase(*early);
            say(text_of(early->first, early->second) + " was bound before there was a network, and is another guest's");
        }
    }
}

// A port that is to be asked for; else claims are asked for from now on.
std::optional<StackPorts::Key> StackPorts::next_early() {
    std::lock_guard const lock(mutex_);
    for (auto const& [key, claim] : single_) {
        if (!claim.asked_for && !stop_ && state_ == State::waiting) {
            return key;
        }
    }
    if (state_ == State::waiting) {
        state_ = State::asking;
    }
    changed_.notify_all();
    return std::nullopt;
}

void StackPorts::own_all() {
    std::lock_guard const lock(mutex_);
    if (state_ == State::waiting) {
        state_ = State::all_ours;
        changed_.notify_all();
    }
}

void StackPorts::fail() {
    std::lock_guard const lock(mutex_);
    state_ = State::failed;
    changed_.notify_all();
}

void StackPorts::close(bool release_all) {
    {
        std::lock_guard const lock(mutex_);
        if (stop_) {
            return;
        }
        stop_ = true;
        changed_.notify_all();
    }
    thread_.join();
    std::lock_guard const turn(turn_);
    std::unique_lock lock(mutex_);
    bool const ask = release_all && state_ == State::asking;
    state_ = State::failed;
    lock.unlock();
    if (ask) {
        authority_->release_all();
    }
}

int StackPorts::claim(Protocol protocol, std::uint16_t port) {
    {
        std::lock_guard const lock(mutex_);
        auto const known = single_.find({protocol, port});
        if (known != single_.end()) {  // the thread forgets a port before it gives it back
            known->second.since = Clock::now();
            known->second.unwanted = false;
            return state_ == State::failed ? -ENETDOWN : 0;
        }
        if (state_ == State::all_ours || leased(port)) {
            return 0;
        }
        if (state_ == State::waiting) {
            single_[{protocol, port}] = {Clock::now(), false, false};
            return 0;
        }
    }
    return ask(protocol, port);
}

int StackPorts::ask(Protocol protocol, std::uint16_t port) {
    std::lock_guard const turn(turn_);
    {
        std::lock_guard const lock(mutex_);
        if (state_ == State::failed) {
            return -ENETDOWN;
        }
    }
    int const result = authority_->bind(protocol, port);
    if (result != 0) {
        return refusal(result, text_of(protocol, port));
    }
    std::lock_guard const lock(mutex_);
    single_[{protocol, port}] = {Clock::now()};
    return 0;
}

int StackPorts::claim_any(Protocol protocol, std::uint16_t& port) {
    std::lock_guard const turn(turn_);
    {
        std::lock_guard const lock(mutex_);
        if (state_ == State::failed) {
            return -ENETDOWN;
        }
        if (state_ != State::asking) {
            port = 0;
            return 0;
        }
    }
    int const result = authority_->bind_any(protocol, port);
    if (result != 0) {
        return refusal(result, "a port");
    }
    std::lock_guard const lock(mutex_);
    single_[{protocol, port}] = {Clock::now()};
    return 0;
}

int StackPorts::refusal(int error, std::string const& what) {
    if (error == -EADDRINUSE) {
        return error;
    }
    say("no claim of " + what + ": " +
        (error == -EDQUOT ? "this guest's limit of ports is reached (librettosctl limit)" : std::strerror(-error)));
    return error == -EDQUOT ? -EADDRINUSE : -ENETDOWN;
}

void StackPorts::give_back(Protocol protocol, std::uint16_t port) {
    std::lock_guard const lock(mutex_);
    if (auto const known = single_.find({protocol, port}); known != single_.end()) {
        mark_unwanted(known->second);
    }
}

void StackPorts::mark_unwanted(Claim& claim) {
    claim.unwanted = true;
    any_unwanted_ = true;
    changed_.notify_all();
}

std::optional<PortBlock> StackPorts::lease(std::uint16_t count) {
    std::lock_guard const turn(turn_);
    {
        std::lock_guard const lock(mutex_);
        if (state_ != State::asking) {
            return std::nullopt;
        }
    }
    std::uint16_t first = 0;
    if (int const result = authority_->lease(count, first); result != 0) {
        say(std::string("no lease of ports: ") + std::strerror(-result));
        return std::nullopt;
    }
    std::lock_guard const lock(mutex_);
    leased_.push_back({first, static_cast<std::uint16_t>(first + count - 1)});
    return leased_.back();
}

bool StackPorts::owns(Protocol protocol, std::uint16_t port) const {
    std::lock_guard const lock(mutex_);
    return state_ == State::all_ours || leased(port) || single_.contains({protocol, port});
}

bool StackPorts::leased(std::uint16_t port) const {
    return std::any_of(leased_.begin(), leased_.end(),
                       [port](PortBlock const& block) { return port >= block.first && port <= block.last; });
}

// The port, which is no longer ours from here on. While nobody grants ports it is only forgotten.
std::optional<StackPorts::Key> StackPorts::next_unwanted() {
    std::lock_guard const lock(mutex_);
    for (auto at = single_.begin(); at != single_.end();) {
        if (!at->second.unwanted) {
            ++at;
            continue;
        }
        Key const key = at->first;
        at = single_.erase(at);
        if (state_ == State::asking) {
            return key;
        }
    }
    any_unwanted_ = false;
    return std::nullopt;
}

void StackPorts::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        auto const to_begin = [this] { return state_ == State::waiting && authority_ != nullptr; };
        changed_.wait(lock, [&] { return stop_ || any_unwanted_ || to_begin(); });
        if (stop_) {
            return;
        }
        bool const begins = to_begin();
        lock.unlock();
        if (begins) {
            begin();
        }
        bool const away = !give_back_unwanted();
        lock.lock();
        if (away) {
            changed_.wait_for(lock, next_attempt, [this] { return stop_; });
        }
    }
}

// False: the authority is away.
bool StackPorts::give_back_unwanted() {
    std::lock_guard const turn(turn_);
    while (auto const key = next_unwanted()) {
        if (authority_->release(key->first, key->second) == -ETIMEDOUT) {
            std::lock_guard const lock(mutex_);
            mark_unwanted(single_[*key]);
            return false;
        }
    }
    return true;
}

}  // namespace librettos::guest
