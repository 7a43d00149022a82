// SPDX-License-Identifier: BSD-2-Clause
// A program under test with its standard input and output in the test's hands.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <string>
#include <vector>

#include "guest-frontend/linux/bind_filter.hpp"
#include "guest-frontend/linux/command_tree.hpp"
#include "guest-frontend/linux/descriptor.hpp"
#include "tests/unit/eventually.hpp"
#include "tests/unit/linux/dialogue.hpp"

namespace librettos::guest {

// Moves the calling thread into a namespace of its own, without a name: nothing to clean up. false: not allowed.
inline bool enter_private_network() {
    return unshare(CLONE_NEWNET) == 0;
}

class RunningProgram {
  public:
    RunningProgram(std::vector<std::string> const& command, BindFilter const* filter)
        : tree_((redirect(), command), filter) {
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
    std::string line() { return dialogue_.line(); }
    void go_on() { dialogue_.go_on(); }
    int wait() {
        ended_ = eventually([this] { return tree_.reap(); });
        return ended_ ? tree_.exit_status() : -1;
    }

  private:
    void redirect() {
        own_[0].reset(fcntl(0, F_DUPFD_CLOEXEC, 3));
        own_[1].reset(fcntl(1, F_DUPFD_CLOEXEC, 3));
        dialogue_.take_place();
        dialogue_.let_go();
    }
    void restore() {
        dup2(own_[0].get(), 0);
        dup2(own_[1].get(), 1);
    }

    std::array<Descriptor, 2> own_;  // the test's own input and output meanwhile
    Dialogue dialogue_;
    bool ended_ = false;
    CommandTree tree_;
};

}  // namespace librettos::guest
