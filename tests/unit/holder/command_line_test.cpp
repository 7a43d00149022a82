// SPDX-License-Identifier: BSD-2-Clause
// What the program answers without starting anything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace {

using ::testing::HasSubstr;

struct Answer {
    int status;
    std::string text;
};

Answer ask(std::string const& arguments, std::string const& input = "") {
    std::string const command = "printf '%b' '" + input + "' | " HOLDER " " + arguments + " 2>&1";
    Answer answer{-1, ""};
    std::FILE* const pipe = popen(command.c_str(), "r");
    char buffer[1024];
    while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) {
        answer.text += buffer;
    }
    answer.status = WEXITSTATUS(pclose(pipe));
    return answer;
}

TEST(CommandLine, Version) {
    Answer const answer = ask("--version");
    EXPECT_EQ(answer.status, 0);
    EXPECT_THAT(answer.text, HasSubstr("librettos-netserver "));
}

TEST(CommandLine, UsageErrorsAreTwo) {
    EXPECT_EQ(ask("--frobnicate").status, 2);
    EXPECT_EQ(ask("--log-level=loud").status, 2);
    EXPECT_EQ(ask("--help").status, 0);
}

TEST(CommandLine, CheckConfig) {
    char const* const good = "[port]\\ndevice=\"net_null0\"\\n[network]\\nipv4=\"192.0.2.1/24\"\\n";
    EXPECT_EQ(ask("--check-config --config -", good).status, 0);
    Answer const wrong = ask("--check-config --config -", "[port]\\ndevise=\"net_null0\"\\n");
    EXPECT_EQ(wrong.status, 1);
    EXPECT_THAT(wrong.text, HasSubstr("standard input:2:1: unknown key \"port.devise\"; write \"device\""));
}

TEST(CommandLine, MissingFile) {
    Answer const answer = ask("--config /nonexistent");
    EXPECT_EQ(answer.status, 1);
    EXPECT_THAT(answer.text, HasSubstr("/nonexistent: cannot be read"));
}

}  // namespace
