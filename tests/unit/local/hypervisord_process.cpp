// SPDX-License-Identifier: BSD-2-Clause
// A librettos-hypervisord of the test's own.
#include "tests/unit/local/hypervisord_process.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace librettos::test {

namespace {

pid_t spawn(std::vector<std::string> const& options) {
    std::vector<char*> arguments{const_cast<char*>(LIBRETTOS_HYPERVISORD_PROGRAM)};
    for (std::string const& option : options)
        arguments.push_back(const_cast<char*>(option.c_str()));
    arguments.push_back(nullptr);
    pid_t const pid = ::fork();
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::execv(arguments[0], arguments.data());
        ::_exit(127);
    }
    if (pid < 0)
        throw std::runtime_error{"fork"};
    return pid;
}

}  // namespace

HypervisordProcess::HypervisordProcess(std::vector<std::string> options, std::string directory)
    : directory_{std::move(directory)} {
    if (directory_.empty())
        directory_ = own_directory_.emplace().path();
    socket_ = directory_ + "/hv.sock";
    options.insert(options.end(), {"--socket", socket_, "--log-level", "warning"});
    pid_ = spawn(options);
    bool const up = eventually([&] {
        lvif_hv* hv = nullptr;
        bool const answered = lvif_hv_connect(socket_.c_str(), LVIF_HV_CONTROL, nullptr, &hv) == 0;
        lvif_hv_close(answered ? hv : nullptr);
        return answered || ::waitpid(pid_, nullptr, WNOHANG) == pid_;
    });
    if (!up || !std::filesystem::exists(socket_))
        throw std::runtime_error{"librettos-hypervisord does not come up"};
}

HypervisordProcess::~HypervisordProcess() {
    if (pid_ > 0)
        stop(SIGKILL);
}

int HypervisordProcess::stop(int signal) {
    int status = 0;
    ::kill(pid_, signal);
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
}

#ifdef LIBRETTOS_KEEPS_FREED_MEMORY
bool const HypervisordProcess::reuses_memory = false;
#else
bool const HypervisordProcess::reuses_memory = true;
#endif

std::size_t HypervisordProcess::open_fds() const {
    std::filesystem::directory_iterator const fds{"/proc/" + std::to_string(pid_) + "/fd"};
    return static_cast<std::size_t>(std::distance(begin(fds), end(fds)));
}

std::size_t HypervisordProcess::resident_kib() const {
    std::ifstream status{"/proc/" + std::to_string(pid_) + "/status"};
    std::string word;
    std::size_t kib = 0;
    while (status >> word)
        if (word == "VmRSS:")
            status >> kib;
    return kib;
}

int run_hypervisord(std::vector<std::string> const& options) {
    int status = 0;
    ::waitpid(spawn(options), &status, 0);
    return status;
}

Client::Client(HypervisordProcess const& process, lvif_hv_role role, char const* name) {
    int const error = lvif_hv_connect(process.socket().c_str(), role, name, &hv_);
    if (error != 0)
        throw std::runtime_error{std::string{"connecting to hypervisord: "} + std::strerror(-error)};
}

void Client::close() {
    lvif_hv_close(hv_);
    hv_ = nullptr;
}

}  // namespace librettos::test
