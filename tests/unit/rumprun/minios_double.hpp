// SPDX-License-Identifier: BSD-2-Clause
// rumprun's platform beneath the component, with a server of another domain's: cooperative threads, event handlers on
// an interrupt stack, grants, xenbus, in virtual time. It behaves, and what the rules (guest-frontend/rumprun/minios.h)
// forbid is kept as a violation.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../frontend/fake_server.hpp"
#include "../frontend/fake_world.hpp"
#include "minios/platform.h"

// A thread of the scheduler's: only one of them runs, until it blocks.
struct bmk_thread {
    std::string name;
    std::thread thread;
    std::condition_variable turn;
    bool runnable = true;
    bool prepared = false;
    bool timed_out = false;
    bool ended = false;
    bool scheduled = false;      // has the rump kernel's virtual CPU
    bool inside_kernel = false;  // sleeps in the rump kernel, which expects nobody to wake it
    std::int64_t deadline = BMK_SCHED_BLOCK_INFTIME;
};

class MiniOs {
  public:
    MiniOs();
    ~MiniOs();
    MiniOs(MiniOs const&) = delete;
    MiniOs& operator=(MiniOs const&) = delete;

    // The platform that the C functions work on; a test has one.
    static MiniOs& machine();

    // As the test's thread: lets others run until it is so; false when it is not within that (virtual) time.
    bool run_until(std::function<bool()> const& so, std::int64_t longest_ms = 20'000);
    void run_for(std::int64_t ms);
    // In the rump kernel: `use` runs scheduled.
    template <typename Use>
    auto in_kernel(Use&& use) {
        kernel_enter();
        struct Leave {
            MiniOs& os;
            ~Leave() { os.kernel_leave(); }
        } const leave{*this};
        return use();
    }

    void delivered(void const* frame, std::size_t bytes);
    void fire(std::uint32_t port);
    std::string held() const;

    FakeWorld world{1};
    FakeServer server{world};
    std::vector<std::string> violations;
    std::vector<std::string> frames;  // delivered
    std::string console;
    std::function<void()> while_delivering = [] {};  // the kernel lets others run with a frame in its hands
    std::set<std::uint32_t> busy_grants;             // mapped by somebody, whatever the server says
    std::function<int(unsigned long, void*)> hypercall = [](unsigned long, void*) { return -38; };
    unsigned events_to_lose = 0;
    unsigned pages_to_refuse = 0;
    bool refuse_events = false;
    bool refuse_writes = false;
    unsigned grants_in_use() const { return static_cast<unsigned>(grants_.size()); }
    bool is_readonly(std::uint32_t grant) const { return grants_.at(grant).readonly; }
    unsigned readonly_grants() const {
        return static_cast<unsigned>(
            std::count_if(grants_.begin(), grants_.end(), [](auto const& one) { return one.second.readonly; }));
    }
    std::size_t pages_in_use() const { return page_block_.size(); }

    // what the C functions do
    struct Calls;

  private:
    friend struct Calls;
    struct Grant {
        std::uintptr_t page;
        std::uint16_t domain;
        bool readonly;
    };
    struct Channel {
        evtchn_handler_t handler;
        void* data;
        bool masked = true;
        bool pending = false;
    };
    struct Block {
        void* memory;
        std::size_t pages_left;
    };

    void violation(std::string text) { violations.push_back(std::move(text)); }
    void check_thread(char const* call);
    void kernel_enter();
    void kernel_leave();
    void others_turn();  // the server and what it causes
    void interrupts();
    void schedule();
    void yield();
    void block_until(std::int64_t deadline);
    bmk_thread* next_runnable();
    void note_region(std::string const& key, std::string const& value);
    void post_watch();

    std::mutex baton_;
    std::deque<std::unique_ptr<bmk_thread>> threads_;
    std::deque<bmk_thread*> run_queue_;
    bmk_thread* running_ = nullptr;
    bmk_thread* cpu_owner_ = nullptr;
    std::int64_t now_ns_ = 1'000'000'000;
    bool in_handler_ = false;
    unsigned long priority_ = 0;
    std::map<std::uint32_t, Channel> channels_;
    std::map<std::uint32_t, Grant> grants_;
    std::deque<std::uint32_t> free_grants_;
    std::map<std::uint32_t, std::uint32_t> region_of_;  // by grant
    std::map<std::uintptr_t, std::shared_ptr<Block>> page_block_;
    std::set<void*> texts_;
    std::set<void*> memory_;
    xenbus_event_queue* watch_queue_ = nullptr;
    std::set<std::string> watches_;
};
