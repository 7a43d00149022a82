// SPDX-License-Identifier: BSD-2-Clause
// Operations on VFs, one after the other in a thread of their own: the kernel may take its time over them, and the
// holder's loop has a watchdog to feed. Says when a VF's state changes, too, and what those in use send and receive.
//
// A request of an engine that died meanwhile is carried out all the same: the next one repeats what it needs, later.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "daemon/engine/holder_messages.hpp"
#include "drivers/steering/steering.hpp"
#include "drivers/unique_fd.hpp"

namespace librettos {

class SteeringThread {
  public:
    static constexpr std::size_t most_waiting = 1024;

    struct News {
        std::uint64_t engine = 0;  // the generation that asked; 0: for any
        HolderMessage message;     // `done` or `vf`
        std::string failure;       // with `done`: what was refused, for the log
    };

    // The thread begins with a look at all VFs. `steered` is EngineBoot's. Throws std::system_error.
    SteeringThread(std::unique_ptr<Steering> steering, std::span<std::atomic<std::uint64_t>> steered);
    ~SteeringThread();  // after the operation under way
    SteeringThread(SteeringThread const&) = delete;
    SteeringThread& operator=(SteeringThread const&) = delete;

    // False: too many wait.
    bool ask(std::uint64_t engine, HolderMessage const& request);
    // The link changed, of which the steering may not have heard.
    void look();
    int fd() const { return news_fd_.get(); }  // readable when take() has something
    std::vector<News> take();

  private:
    struct Request {
        std::uint64_t engine;
        HolderMessage message;
    };
    void run();
    bool wait_for_work();
    void look_at_vfs();
    bool needs_looks() const;
    void carry_out(Request const& request);
    void operate(Request const& request);
    void note_steered(Request const& request);
    void tell(News news);

    std::unique_ptr<Steering> steering_;  // the thread's
    std::vector<VfState> told_;           // likewise
    std::span<std::atomic<std::uint64_t>> steered_;
    UniqueFd wake_fd_;
    UniqueFd news_fd_;
    std::mutex mutex_;
    std::deque<Request> waiting_;
    std::vector<News> news_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace librettos
