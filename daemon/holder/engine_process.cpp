// SPDX-License-Identifier: BSD-2-Clause
// Forks an engine, talks to it, reaps it.
#include "daemon/holder/engine_process.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {  // glibc 2.36 leaves that to us
#include <sys/pidfd.h>
}

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include <spdlog/spdlog.h>

#include "daemon/holder/logging.hpp"
#include "drivers/nic/adopt.hpp"
#include "drivers/nic/wait_fds.hpp"

namespace librettos {
namespace {

constexpr int exit_without_parent = 3;

// What the child has of its parent and must not use.
void shed_holder(std::set<int> const& keep, int socket) {
    for (int const fd : open_fds()) {
        if (fd > STDERR_FILENO && fd != socket && !keep.contains(fd)) {
            close(fd);
        }
    }
    for (char const* const name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
        unsetenv(name);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void run_engine(EngineBoot boot, int image, std::set<int> keep, int socket, pid_t holder,
                             std::string const& log_level) {
    // An engine without its holder would work on queues that a new holder sets up.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != holder) {
        _exit(exit_without_parent);
    }
    setsid();  // Ctrl-C is for the holder, which stops the engine in order
    prctl(PR_SET_NAME, "lvif-engine");
    int status = EXIT_FAILURE;
    try {
        keep.insert(image);
        shed_holder(keep, socket);
        set_up_logging(log_level, "engine");
        adopt_port_in_child(boot.port);
        boot.holder_fd = socket;
        status = load_engine(image)(&boot);
    } catch (std::exception const& error) {
        spdlog::error("{}", error.what());
    }
    _exit(status);  // not exit(): what is registered there, DPDK's clean-up included, is the holder's
}

}  // namespace

EngineProcess::EngineProcess(EngineBoot const& boot, EngineImage const& image, std::set<int> const& keep,
                             std::string const& log_level)
    : started_(std::chrono::steady_clock::now()) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
        throw std::system_error(errno, std::generic_category(), "socketpair to the engine");
    }
    pid_t const holder = getpid();
    pid_ = fork();
    if (pid_ == 0) {
        run_engine(boot, image.fd(), keep, ends[1], holder, log_level);
    }
    int const error = errno;
    close(ends[1]);
    socket_ = ends[0];
    if (pid_ < 0) {
        close(socket_);
        throw std::system_error(error, std::generic_category(), "fork of the engine");
    }
    pidfd_ = pidfd_open(pid_, 0);
    if (pidfd_ < 0) {
        int const pidfd_error = errno;
        ::kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        close(socket_);
        throw std::system_error(pidfd_error, std::generic_category(), "pidfd_open of the engine");
    }
}

EngineProcess::~EngineProcess() {
    if (pid_ > 0) {
        kill();
        reap();
    }
    close(pidfd_);
    close(socket_);
}

std::chrono::milliseconds EngineProcess::age() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - started_);
}

bool EngineProcess::send(HolderMessage const& message) const {
    return ::send(socket_, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) ==
           static_cast<ssize_t>(sizeof(message));
}

EngineProcess::Received EngineProcess::receive(HolderMessage& message) const {
    std::array<unsigned char, sizeof(HolderMessage) + 1> bytes{};
    ssize_t const length = recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (length < 0) {
        return errno == EAGAIN || errno == EINTR ? Received::none : Received::ended;
    }
    if (length == 0) {
        return Received::ended;
    }
    if (length != static_cast<ssize_t>(sizeof(message))) {
        return Received::malformed;
    }
    std::memcpy(&message, bytes.data(), sizeof(message));
    switch (message.type) {
        case HolderMessageType::ready:
        case HolderMessageType::add_mac:
        case HolderMessageType::remove_mac:
        case HolderMessageType::operate_vf:
            return Received::message;
        default:
            return Received::malformed;
    }
}

void EngineProcess::kill() const {
    if (pid_ > 0) {
        pidfd_send_signal(pidfd_, SIGKILL, nullptr, 0);
    }
}

std::string EngineProcess::reap() {
    siginfo_t info{};
    while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) {
    }
    pid_ = -1;
    crashed_ = info.si_code != CLD_EXITED && info.si_status != SIGKILL && info.si_status != SIGTERM;
    exited_ = info.si_code == CLD_EXITED;
    ended_in_order_ = exited_ && info.si_status == 0;
    if (exited_) {
        return "exited with status " + std::to_string(info.si_status);
    }
    return "was killed by signal " + std::to_string(info.si_status) + " (" + strsignal(info.si_status) + ")" +
           (info.si_code == CLD_DUMPED ? ", core dumped" : "");
}

}  // namespace librettos
