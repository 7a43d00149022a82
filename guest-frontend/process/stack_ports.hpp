// SPDX-License-Identifier: BSD-2-Clause
// The ports of a stack in this process: claimed from the portmap's authority before a socket has them, given back when
// no socket has them any more, and leased in blocks for stacks that choose by themselves.
//
// Who claims waits for the authority: a request to the hypervisor, or to the server, which may be away; then 5 s at the
// most, and the claim fails. Who gives back does not wait: a thread does that. A port that is claimed again meanwhile
// stays.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "guest-frontend/linux/ephemeral_range.hpp"
#include "guest-frontend/linux/port_authority.hpp"

namespace librettos::guest {

class StackPorts {
  public:
    StackPorts();
    ~StackPorts();
    StackPorts(StackPorts const&) = delete;
    StackPorts& operator=(StackPorts const&) = delete;

    // At the first connection; does not wait. `authority` outlives close(). What was claimed before is asked for now.
    // release_first: what a program that had this domain before left behind.
    void start(PortAuthority& authority, bool release_first);
    // Until claims are asked for, or need not be.
    bool wait_until_started(std::chrono::milliseconds longest);
    // A dedicated guest's: all are its own.
    void own_all();
    // The hypervisor is gone: claims fail from now on.
    void fail();
    // Ends the thread. release_all: the domain lives on without us. Waits for the authority.
    void close(bool release_all);

    // 0; -EADDRINUSE: another's, or no quota left (logged); -ENETDOWN: no answer.
    int claim(Protocol protocol, std::uint16_t port);
    // One that the authority chooses.
    int claim_any(Protocol protocol, std::uint16_t& port);
    // A single port that no socket has. Leased ones are kept.
    void give_back(Protocol protocol, std::uint16_t port);
    // The same for all single ports that were claimed longer ago than `age` and are not in use.
    template <typename InUse>
    void give_back_unused(std::chrono::milliseconds age, InUse&& in_use) {
        auto const before = Clock::now() - age;
        std::lock_guard const lock(mutex_);
        for (auto& [key, claim] : single_) {
            if (!claim.unwanted && claim.since < before && !in_use(key.first, key.second)) {
                mark_unwanted(claim);
            }
        }
    }
    // A further block of both protocols; nothing when the authority has none, or none is needed.
    std::optional<PortBlock> lease(std::uint16_t count);
    bool owns(Protocol protocol, std::uint16_t port) const;

  private:
    using Clock = std::chrono::steady_clock;
    using Key = std::pair<Protocol, std::uint16_t>;
    struct Claim {
        Clock::time_point since;
        bool unwanted = false;
        bool asked_for = true;  // false: claimed before start()
    };
    enum class State { waiting, asking, all_ours, failed };

    bool leased(std::uint16_t port) const;
    void mark_unwanted(Claim& claim);
    int ask(Protocol protocol, std::uint16_t port);
    int refusal(int error, std::string const& what);
    void begin();
    std::optional<Key> next_early();
    std::optional<Key> next_unwanted();
    bool give_back_unwanted();
    void run();

    mutable std::mutex mutex_;  // guards what follows; held for no call to the authority
    State state_ = State::waiting;
    PortAuthority* authority_ = nullptr;  // set once
    bool release_first_ = false;
    std::map<Key, Claim> single_;
    std::vector<PortBlock> leased_;
    bool any_unwanted_ = false;
    bool stop_ = false;
    std::condition_variable changed_;

    std::mutex turn_;  // one call to the authority at a time; taken before mutex_
    std::thread thread_;
};

}  // namespace librettos::guest
