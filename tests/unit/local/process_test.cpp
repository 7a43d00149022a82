// SPDX-License-Identifier: BSD-2-Clause
// The program: options, its socket, its end.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/unit/local/hypervisord_process.hpp"

namespace librettos::test {

namespace {

int exit_status(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST(Process, OptionsAreChecked) {
    EXPECT_EQ(exit_status(run_hypervisord({"--version"})), 0);
    EXPECT_EQ(exit_status(run_hypervisord({"--help"})), 0);
    EXPECT_EQ(exit_status(run_hypervisord({"--nonsense"})), 2);
    EXPECT_EQ(exit_status(run_hypervisord({"--quarantine", "-1"})), 2);
    EXPECT_EQ(exit_status(run_hypervisord({"--max-domains", "0"})), 2);
    EXPECT_EQ(exit_status(run_hypervisord({"--log-level", "loud"})), 2);
    for (char const* const level : {"warning", "warn"}) {
        EXPECT_EQ(exit_status(run_hypervisord({"--log-level", level, "--socket", "/proc/none/hv.sock"})), 1) << level;
    }
    EXPECT_EQ(exit_status(run_hypervisord({"--socket", "/" + std::string(200, 'x')})), 1);
    EXPECT_EQ(exit_status(run_hypervisord({"--socket", "/proc/none/hv.sock"})), 1);
}

TEST(Process, EndsCleanlyOnSignals) {
    for (int const signal : {SIGTERM, SIGINT}) {
        HypervisordProcess process;
        Client const guest{process, LVIF_HV_GUEST, "guest"};
        EXPECT_EQ(exit_status(process.stop(signal)), 0);
        EXPECT_FALSE(std::filesystem::exists(process.socket()));
    }
}

TEST(Process, TakesOverAStaleSocketOnly) {
    HypervisordProcess first;
    EXPECT_EQ(exit_status(run_hypervisord({"--socket", first.socket()})), 1) << "somebody answers there";
    EXPECT_NO_THROW((Client{first, LVIF_HV_GUEST, "guest"})) << "and still does";
    first.stop(SIGKILL);
    ASSERT_TRUE(std::filesystem::exists(first.socket()));

    std::string const other = first.directory() + "/file";
    std::ofstream{other} << "precious";
    EXPECT_EQ(exit_status(run_hypervisord({"--socket", other})), 1);
    EXPECT_TRUE(std::filesystem::is_regular_file(other));

    HypervisordProcess const second{{}, first.directory()};
    EXPECT_NO_THROW((Client{second, LVIF_HV_GUEST, "guest"}));
}

TEST(Process, NobodysSocketOfAnotherKindIsLeftAlone) {
    // A listening stream socket: connecting to it as SEQPACKET gives EPROTOTYPE, which is no proof that nobody is
    // there.
    HypervisordProcess first;
    std::string const path = first.directory() + "/stream.sock";
    int const fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::listen(fd, 1), 0);
    EXPECT_EQ(exit_status(run_hypervisord({"--socket", path})), 1);
    EXPECT_TRUE(std::filesystem::exists(path));
    ::close(fd);
}

TEST(Process, TellsSystemdThatItIsReady) {
    HypervisordProcess const other;  // for its directory
    std::string const path = other.directory() + "/notify.sock";
    int const fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    timeval const timeout{30, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    HypervisordProcess const process;
    ::unsetenv("NOTIFY_SOCKET");
    char message[64] = {};
    ASSERT_GT(::recv(fd, message, sizeof(message) - 1, 0), 0);
    EXPECT_STREQ(message, "READY=1");
    ::close(fd);
}

}  // namespace librettos::test
