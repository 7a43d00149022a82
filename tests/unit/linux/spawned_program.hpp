// SPDX-License-Identifier: BSD-2-Clause
// A process beside others, with its standard input and output in the test's hands.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "guest-frontend/linux/descriptor.hpp"
#include "tests/unit/linux/running_program.hpp"

namespace librettos::guest {

class SpawnedProgram {
  public:
    explicit SpawnedProgram(std::vector<std::string> const& command) {
        std::array<int, 2> input{};
        std::array<int, 2> output{};
        if (pipe2(input.data(), O_CLOEXEC) < 0 || pipe2(output.data(), O_CLOEXEC) < 0) {
            throw_errno(errno, "pipe");
        }
        input_.reset(input[1]);
        output_.reset(output[0]);
        std::vector<char*> arguments;
        for (auto const& argument : command) {
            arguments.push_back(const_cast<char*>(argument.c_str()));
        }
        arguments.push_back(nullptr);
        pid_ = fork();
        if (pid_ == 0) {
            dup2(input[0], 0);
            dup2(output[1], 1);
            execv(arguments[0], arguments.data());
            _exit(127);
        }
        close(input[0]);
        close(output[1]);
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
    void signal(int number) {
        if (status_ < 0) {
            kill(pid_, number);
        }
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
    Descriptor input_;
    Descriptor output_;
};

}  // namespace librettos::guest
