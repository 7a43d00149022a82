// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/command_tree.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace librettos::guest {

namespace {

// What the child says over the channel: 0 and the listener (or 0 alone), later the errno of a failed exec.
void say(int channel, int value, int descriptor) noexcept {
    iovec data{&value, sizeof value};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (descriptor >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    (void)sendmsg(channel, &message, MSG_NOSIGNAL);
}

// false: the child has closed the channel, by exec or by ending.
bool hear(int channel, int& value, Descriptor& descriptor) {
    iovec data{&value, sizeof value};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != sizeof value) {
        return false;
    }
    if (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr && header->cmsg_type == SCM_RIGHTS) {
        int received = -1;
        std::memcpy(&received, CMSG_DATA(header), sizeof received);
        descriptor.reset(received);
    }
    return true;
}

// Between fork and exec: system calls only.
[[noreturn]] void become(char* const* arguments, BindFilter const* filter, int channel, pid_t parent) noexcept {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
    int const listener = filter != nullptr ? filter->install() : -1;
    if (filter != nullptr && listener < 0) {
        say(channel, -listener, -1);
        _exit(127);
    }
    say(channel, 0, listener);
    if (listener >= 0) {
        close(listener);
    }
    char go = 0;
    if (read(channel, &go, 1) != 1) {
        _exit(127);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    execvp(arguments[0], arguments);
    say(channel, errno, -1);
    _exit(127);
}

std::vector<pid_t> children_of(pid_t process) {
    std::vector<pid_t> children;
    std::error_code gone;
    for (auto const& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task", gone)) {
        std::ifstream list(thread.path() / "children");
        for (pid_t child = 0; list >> child;) {
            children.push_back(child);
        }
    }
    return children;
}

// Parents before their children: one that lives on would see its children die, and act on it.
void add_descendants(pid_t process, unsigned depth, std::vector<pid_t>& found) {
    constexpr unsigned deepest = 64;
    for (pid_t const child : children_of(process)) {
        found.push_back(child);
        if (depth < deepest) {
            add_descendants(child, depth + 1, found);
        }
    }
}

}  // namespace

CommandTree::CommandTree(std::vector<std::string> const& command, BindFilter const* filter)
    : program_(command.front()) {
    std::vector<char*> arguments;
    for (auto const& argument : command) {
        arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0) {
        throw_errno(errno, "open a socket pair");
    }
    channel_.reset(ends[0]);
    Descriptor childs_end(ends[1]);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        throw_errno(errno, "become the reaper of the guest's programs");
    }
    pid_t const parent = getpid();
    command_ = fork();
    if (command_ < 0) {
        throw_errno(errno, "fork");
    }
    if (command_ == 0) {
        become(arguments.data(), filter, ends[1], parent);
    }
    childs_end.reset();
    // The filter's listener, or why there is none; a throwing constructor runs no destructor, so the child is ended
    // here.
    int error = EPIPE;
    if (!hear(channel_.get(), error, listener_) || error != 0) {
        kill(command_, SIGKILL);
        waitpid(command_, nullptr, 0);
        throw_errno(error, error == EINVAL  ? "trap bind(2) (needs Linux 5.19)"
                           : error == EBUSY ? "trap bind(2) (this shell runs under a seccomp notification already)"
                                            : "prepare the command");
    }
}

CommandTree::~CommandTree() {
    if (!started_ && !command_ended_ && command_ > 0) {
        kill(command_, SIGKILL);
        waitpid(command_, nullptr, 0);
    }
}

void CommandTree::start() {
    char const go = 1;
    if (send(channel_.get(), &go, 1, MSG_NOSIGNAL) != 1) {
        throw_errno(errno, "start the command");
    }
    int error = 0;
    Descriptor none;
    if (hear(channel_.get(), error, none)) {
        throw_errno(error, "execute " + program_);
    }
    channel_.reset();
    started_ = true;
}

bool CommandTree::reap() {
    int status = 0;
    pid_t ended = 0;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
        if (ended == command_) {
            command_ended_ = true;
            exit_status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
    }
    return ended < 0 && errno == ECHILD;
}

void CommandTree::forward(int signal) const {
    if (!command_ended_) {
        kill(command_, signal);
        return;
    }
    for (pid_t const child : children_of(getpid())) {
        kill(child, signal);
    }
}

void CommandTree::signal_all(int signal) const {
    std::vector<pid_t> descendants;
    add_descendants(getpid(), 0, descendants);
    for (pid_t const process : descendants) {
        kill(process, signal);
    }
}

}  // namespace librettos::guest
