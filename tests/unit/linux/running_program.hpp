// SPDX-License-Identifier: BSD-2-Clause
// A program under test with its standard input and output in the test's hands.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "guest-frontend/linux/bind_filter.hpp"
#include "guest-frontend/linux/command_tree.hpp"
#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

constexpr auto patience = std::chrono::seconds(20);

inline bool eventually(std::function<bool()> const& holds) {
    for (auto const end = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < end;) {
        if (holds()) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return holds();
}

// Moves the calling thread into a namespace of its own, without a name: nothing to clean up. false: not allowed.
inline bool enter_private_network() {
    return unshare(CLONE_NEWNET) == 0;
}

class RunningProgram {
  public:
    RunningProgram(std::vector<std::string> const& command, BindFilter const* filter)
        : pipes_(), tree_((redirect(), command), filter) {
        restore();
    }
    ~RunningProgram() {
        if (!ended_) {
            tree_.signal_all(SIGKILL);
            wait();
        }
    }

    CommandTree& tree() { return tree_; }
    void start() { tree_.start(); }
    // "" when the program has ended or said nothing for long.
    std::string line() {
        std::string text;
        char byte = 0;
        pollfd output{output_.get(), POLLIN, 0};
        while (poll(&output, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) == 1 &&
               read(output_.get(), &byte, 1) == 1 && byte != '\n') {
            text += byte;
        }
        return text;
    }
    void go_on() { (void)!write(input_.get(), "\n", 1); }
    int wait() {
        ended_ = eventually([this] { return tree_.reap(); });
        return ended_ ? tree_.exit_status() : -1;
    }

  private:
    void redirect() {
        std::array<int, 2> input{};
        std::array<int, 2> output{};
        if (pipe2(input.data(), O_CLOEXEC) < 0 || pipe2(output.data(), O_CLOEXEC) < 0) {
            throw_errno(errno, "pipe");
        }
        input_.reset(input[1]);
        output_.reset(output[0]);
        pipes_[0].reset(fcntl(0, F_DUPFD_CLOEXEC, 3));
        pipes_[1].reset(fcntl(1, F_DUPFD_CLOEXEC, 3));
        dup2(input[0], 0);
        dup2(output[1], 1);
        close(input[0]);
        close(output[1]);
    }
    void restore() {
        dup2(pipes_[0].get(), 0);
        dup2(pipes_[1].get(), 1);
    }

    std::array<Descriptor, 2> pipes_;  // the test's own input and output meanwhile
    Descriptor input_;
    Descriptor output_;
    bool ended_ = false;
    CommandTree tree_;
};

}  // namespace librettos::guest
