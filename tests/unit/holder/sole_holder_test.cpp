// SPDX-License-Identifier: BSD-2-Clause
// Who may be a holder beside another one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

#include "daemon/holder/sole_holder.hpp"

namespace librettos {
namespace {

using ::testing::HasSubstr;

class SoleHolders : public ::testing::Test {
  protected:
    ~SoleHolders() override { std::filesystem::remove_all(directory_); }
    Config::Paths paths(std::string const& api_socket, std::string const& stats) const {
        return {.api_socket = directory_ / api_socket, .api_group = "", .stats = directory_ / stats};
    }
    // What another process is told that wants to be a holder; empty: it may.
    static std::string refusal(Config::Paths const& paths) {
        int said[2];
        if (pipe(said) != 0) {
            return "no pipe";
        }
        pid_t const other = fork();
        if (other == 0) {
            try {
                SoleHolder const holder(paths);
            } catch (std::exception const& error) {
                (void)!write(said[1], error.what(), std::strlen(error.what()));
            }
            _exit(0);
        }
        close(said[1]);
        std::string text(4096, '\0');
        auto const length = read(said[0], text.data(), text.size());
        close(said[0]);
        waitpid(other, nullptr, 0);
        text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
        return text;
    }

    std::filesystem::path const directory_ =
        std::filesystem::temp_directory_path() / ("librettos-sole-" + std::to_string(getpid()));
};

TEST_F(SoleHolders, MakeTheirDirectories) {
    std::filesystem::create_directory(directory_);
    SoleHolder const first(paths("api/socket", "counters/stats"));
    EXPECT_TRUE(std::filesystem::exists(directory_ / "api/socket.lock"));
    EXPECT_TRUE(std::filesystem::exists(directory_ / "counters/stats.lock"));
}

TEST_F(SoleHolders, SayWhichDirectoryCannotBeMade) {
    try {
        SoleHolder const first(paths("socket", "/proc/nosuch/stats"));
        FAIL();
    } catch (std::system_error const& error) {
        EXPECT_THAT(error.what(), HasSubstr("mkdir -p /proc/nosuch"));
    }
}

TEST_F(SoleHolders, ShareNothing) {
    SoleHolder const first(paths("socket", "stats"));
    auto const another = "another librettos-netserver (process " + std::to_string(getpid()) + ") has ";
    EXPECT_THAT(refusal(paths("socket", "stats")), HasSubstr(another));
    EXPECT_THAT(refusal(paths("socket", "other-stats")), HasSubstr(another + (directory_ / "socket.lock").string()));
    EXPECT_THAT(refusal(paths("other-socket", "stats")), HasSubstr(another + (directory_ / "stats.lock").string()));
    EXPECT_EQ(refusal(paths("other-socket", "other-stats")), "");
}

TEST_F(SoleHolders, EndWithTheirProcess) {
    EXPECT_EQ(refusal(paths("socket", "stats")), "");
    EXPECT_EQ(refusal(paths("socket", "stats")), "") << "what the first one left is in nobody's way";
}

}  // namespace
}  // namespace librettos
