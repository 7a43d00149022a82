// SPDX-License-Identifier: BSD-2-Clause
// Pipes instead of files: a write is noticed.
#include "tests/nic82599/function_resets.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace nic82599 {

FunctionResets::FunctionResets(SysfsTree const& sysfs, Nic& nic) : nic_(nic), end_(eventfd(0, EFD_CLOEXEC)) {
    for (unsigned vf = 0; vf < nic.vfs(); ++vf) {
        // Open for writing, too: so it does not end when a writer does.
        files_.push_back(::open(sysfs.reset_file(vf).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
        if (files_.back() < 0) {
            throw std::system_error(errno, std::generic_category(), sysfs.reset_file(vf).string());
        }
    }
    thread_ = std::thread([this] { run(); });
}

FunctionResets::~FunctionResets() {
    eventfd_write(end_, 1);
    thread_.join();
    for (int const file : files_) {
        ::close(file);
    }
    ::close(end_);
}

void FunctionResets::run() {
    std::vector<pollfd> waiting{{end_, POLLIN, 0}};
    for (int const file : files_) {
        waiting.push_back({file, POLLIN, 0});
    }
    while (poll(waiting.data(), waiting.size(), -1) >= 0 || errno == EINTR) {
        if (waiting[0].revents != 0) {
            return;
        }
        for (unsigned vf = 0; vf < files_.size(); ++vf) {
            std::array<char, 16> text{};
            if (waiting[vf + 1].revents != 0 && ::read(files_[vf], text.data(), text.size()) > 0 && text[0] == '1') {
                nic_.function_level_reset(Function::vf(vf));
            }
        }
    }
}

}  // namespace nic82599
