// SPDX-License-Identifier: BSD-2-Clause
// A process beside others, with its standard input and output in the test's hands.
#pragma once

#include <signal.h>
#include <sys/wait.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/unit/linux/dialogue.hpp"
#include "tests/unit/linux/running_program.hpp"

namespace librettos::guest {

class SpawnedProgram {
  public:
    explicit SpawnedProgram(std::vector<std::string> const& command) {
        std::vector<char*> arguments;
        for (auto const& argument : command) {
            arguments.push_back(const_cast<char*>(argument.c_str()));
        }
        arguments.push_back(nullptr);
        pid_ = fork();
        if (pid_ == 0) {
            dialogue_.take_place();
            execv(arguments[0], arguments.data());
            _exit(127);
        }
        dialogue_.let_go();
    }
    // In order if it can be.
    ~SpawnedProgram() {
        signal(SIGTERM);
        if (wait() == -1) {
            signal(SIGKILL);
            wait();
        }
    }
    SpawnedProgram(SpawnedProgram const&) = delete;
    SpawnedProgram& operator=(SpawnedProgram const&) = delete;

    std::string line() { return dialogue_.line(); }
    void go_on() { dialogue_.go_on(); }
    void signal(int number) {
        if (status_ < 0) {
            kill(pid_, number);
        }
    }
    bool has_children() const {
        std::string const pid = std::to_string(pid_);
        std::ifstream children("/proc/" + pid + "/task/" + pid + "/children");
        pid_t child = 0;
        return static_cast<bool>(children >> child);
    }
    // The exit status as a shell has it; -1: it goes on for long.
    int wait() {
        eventually([this] {
            int status = 0;
            if (status_ < 0 && waitpid(pid_, &status, WNOHANG) == pid_) {
                status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            }
            return status_ >= 0;
        });
        return status_;
    }

  private:
    pid_t pid_ = -1;
    int status_ = -1;
    Dialogue dialogue_;
};

}  // namespace librettos::guest
