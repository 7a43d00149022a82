// SPDX-License-Identifier: BSD-2-Clause
// Runs a part of a test in a child of its own: DPDK can be started once per process, and its traffic stays in a network
// namespace that ends with the child.
#pragma once

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>

namespace librettos {

inline bool namespaces_allowed() {
    pid_t const child = fork();
    if (child == 0) {
        _exit(unshare(CLONE_NEWNET) == 0 && std::system("ip link set lo up") == 0 ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status == 0;
}

inline void require(bool condition, std::string const& what) {
    if (!condition) {
        throw std::runtime_error(what);
    }
}

// Empty, or what `body` threw, or how the child ended.
inline std::string in_process(bool own_namespace, std::function<void()> const& body) {
    int ends[2];
    if (pipe(ends) != 0) {
        return "pipe failed";
    }
    pid_t const child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        std::string failure;
        try {
            require(!own_namespace || unshare(CLONE_NEWNET) == 0, "no namespace");
            body();
        } catch (std::exception const& error) {
            failure = error.what();
        }
        static_cast<void>(!write(ends[1], failure.data(), failure.size()));
        _exit(failure.empty() ? 0 : 1);
    }
    close(ends[1]);
    std::string failure;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;) {
        failure.append(buffer, static_cast<std::size_t>(n));
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (failure.empty() && status != 0) {
        failure = "ended with wait status " + std::to_string(status);
    }
    return failure;
}

inline std::string in_namespace(std::function<void()> const& body) {
    return in_process(true, body);
}

inline void shell(std::string const& command) {
    require(std::system(command.c_str()) == 0, command);
}

// va is the server's side, vb the wire's.
inline void make_veth(std::string const& mtu = "1500") {
    shell("ip link add va mtu " + mtu + " type veth peer name vb mtu " + mtu);
    shell("sysctl -qw net.ipv6.conf.va.disable_ipv6=1 net.ipv6.conf.vb.disable_ipv6=1");
    shell("ip link set va up && ip link set vb up");
}

}  // namespace librettos

#define NEEDS_NAMESPACES()                                                     \
    if (!librettos::namespaces_allowed()) {                                    \
        GTEST_SKIP() << "network namespaces cannot be made here (needs root)"; \
    }
