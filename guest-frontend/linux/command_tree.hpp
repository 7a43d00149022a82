// SPDX-License-Identifier: BSD-2-Clause
// The guest's programs: COMMAND and everything that it starts.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "guest-frontend/linux/bind_filter.hpp"
#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

// COMMAND's descendants stay ours when their parents end (PR_SET_CHILD_SUBREAPER), so that a program that daemonises is
// not lost, and the guest lives until the last of them has ended. COMMAND itself is killed when the constructing thread
// dies: without librettos-guest there is no network and nobody to answer bind().
class CommandTree {
  public:
    // Forks; the child puts itself under `filter` (null: none) and waits for start(). Must be called before the process
    // has other threads, with the signals that wait() and forward() are about blocked. Throws std::system_error.
    CommandTree(std::vector<std::string> const& command, BindFilter const* filter);
    // Ends COMMAND if it was never started.
    ~CommandTree();
    CommandTree(CommandTree const&) = delete;
    CommandTree& operator=(CommandTree const&) = delete;

    // The listener of the filter, once. Empty without a filter.
    Descriptor take_listener() { return std::move(listener_); }
    // Executes COMMAND. Throws std::system_error when that fails.
    void start();
    bool started() const { return started_; }

    // After SIGCHLD. true: none is left.
    bool reap();
    // To COMMAND, or when it has ended to all that it left behind.
    void forward(int signal) const;
    // To every descendant.
    void signal_all(int signal) const;
    // As a shell has it: COMMAND's, 128 + n when signal n ended it.
    int exit_status() const { return exit_status_; }

  private:
    std::string program_;
    pid_t command_ = -1;
    bool command_ended_ = false;
    bool started_ = false;
    int exit_status_ = 0;
    Descriptor channel_;  // to the child until it executes
    Descriptor listener_;
};

}  // namespace librettos::guest
