// SPDX-License-Identifier: BSD-2-Clause
// The test's ends of a program's standard input and output.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>

#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

constexpr auto patience = std::chrono::seconds(20);

class Dialogue {
  public:
    Dialogue() {
        std::array<int, 2> input{};
        std::array<int, 2> output{};
        if (pipe2(input.data(), O_CLOEXEC) < 0 || pipe2(output.data(), O_CLOEXEC) < 0) {
            throw_errno(errno, "pipe");
        }
        theirs_[0].reset(input[0]);
        input_.reset(input[1]);
        output_.reset(output[0]);
        theirs_[1].reset(output[1]);
    }

    // The program's ends become descriptors 0 and 1 of the calling process.
    void take_place() const {
        dup2(theirs_[0].get(), 0);
        dup2(theirs_[1].get(), 1);
    }
    // The program has its ends: without ours it can be seen to have ended.
    void let_go() {
        theirs_[0].reset();
        theirs_[1].reset();
    }

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

  private:
    Descriptor input_;
    Descriptor output_;
    std::array<Descriptor, 2> theirs_;
};

}  // namespace librettos::guest
