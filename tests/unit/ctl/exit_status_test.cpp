// SPDX-License-Identifier: BSD-2-Clause
// Wrong usage, servers that are dead, deaf or talk nonsense; the completion script.
#include <chrono>
#include <cstdlib>
#include <fstream>

#include "tests/unit/ctl/samples.hpp"

namespace librettos::test {
namespace {

using ExitStatusTest = ProgramTest;

TEST_F(ExitStatusTest, UsageIsTwoAndAsksNobody) {
    serve_result(Json::array());
    std::vector<std::vector<std::string>> const wrong{{},
                                                      {"nonsense"},
                                                      {"ports", "who"},
                                                      {"ports", "who", "65536"},
                                                      {"ports", "who", "0"},
                                                      {"ports", "who", "-1"},
                                                      {"ports", "who", "http"},
                                                      {"ports", "--protocol", "sctp"},
                                                      {"guest"},
                                                      {"limit", "web"},
                                                      {"limit", "web", "--bits-per-s", "fast"},
                                                      {"limit", "web", "--bits-per-s", ""},
                                                      {"limit", "web", "--ports", "131073"},
                                                      {"detach"},
                                                      {"completion", "tcsh"},
                                                      {"stats", "--watch", "0"},
                                                      {"--timeout", "0", "status"}};
    for (auto const& arguments : wrong) {
        auto const result = run(arguments);
        EXPECT_EQ(result.status, 2) << Json(arguments);
        EXPECT_FALSE(result.err.empty()) << Json(arguments);
        EXPECT_EQ(result.out, "") << Json(arguments);
    }
    EXPECT_TRUE(server_->requests().empty());
    EXPECT_NE(run({"nonsense"}).err.find("there is no command 'nonsense'"), std::string::npos);
}

TEST_F(ExitStatusTest, NumbersOutOfRangeAreToldTheRange) {
    auto const said = [&](std::vector<std::string> const& arguments) { return lines(run(arguments).err).at(0); };
    EXPECT_EQ(said({"stats", "--watch", "0"}), "librettosctl: --watch: '0' is not within 0.05 .. 86400");
    EXPECT_EQ(said({"--timeout", "nan", "status"}), "librettosctl: --timeout: 'nan' is not within 0.01 .. 3600");
    EXPECT_EQ(said({"--timeout", "soon", "status"}), "librettosctl: --timeout: 'soon' is not within 0.01 .. 3600");
    EXPECT_EQ(said({"ports", "who", "65536"}), "librettosctl: PORT: '65536' is not within 1 .. 65535");
    EXPECT_EQ(said({"switch", "web", "direct", "--vf", "-1"}), "librettosctl: --vf: '-1' is not within 0 .. 65535");
}

TEST_F(ExitStatusTest, HelpIsCompleteAndFine) {
    for (auto const& command : std::vector<std::vector<std::string>>{{},
                                                                     {"status"},
                                                                     {"guests"},
                                                                     {"guest"},
                                                                     {"ports"},
                                                                     {"ports", "who"},
                                                                     {"ports", "why"},
                                                                     {"stats"},
                                                                     {"limit"},
                                                                     {"detach"},
                                                                     {"completion"}}) {
        auto arguments = command;
        arguments.emplace_back("--help");
        auto const result = run_ctl(arguments);
        EXPECT_EQ(result.status, 0) << Json(command);
        EXPECT_NE(result.out.find("Usage:"), std::string::npos) << Json(command);
    }
    EXPECT_EQ(run_ctl({"--version"}).status, 0);
}

TEST_F(ExitStatusTest, NoServer) {
    auto const result = run({"guests"});
    EXPECT_EQ(result.status, 3);
    EXPECT_NE(result.err.find(folder_.file("sock") + ": No such file or directory"), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("systemctl status librettos-netserver"), std::string::npos);
    auto const json = Json::parse(run({"--json", "guests"}).out);
    EXPECT_EQ(json["schema"], 1);
    EXPECT_EQ(json["ok"], false);
    EXPECT_EQ(json["error"]["code"], "unreachable");
}

TEST_F(ExitStatusTest, OutputThatCannotBeWritten) {
    auto const command = std::string(LIBRETTOSCTL) + " completion bash";
    EXPECT_EQ(WEXITSTATUS(std::system((command + " 2>/dev/null >/dev/full").c_str())), 1);
    ASSERT_EQ(std::system(("{ " + command + "; echo $? >&2; } 2>" + folder_.file("status") + " | true").c_str()), 0);
    std::string status;
    std::ifstream(folder_.file("status")) >> status;
    EXPECT_EQ(status, "0") << "a reader that has seen enough";
}

TEST_F(ExitStatusTest, DeadServerLeavesItsSocket) {
    serve_result(Json::array());
    server_.reset();
    auto const result = run({"guests"});
    EXPECT_EQ(result.status, 3);
    EXPECT_NE(result.err.find("Connection refused"), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("nobody listens"), std::string::npos);
}

TEST_F(ExitStatusTest, PermissionDeniedNamesTheGroup) {
    if (geteuid() != 0)
        GTEST_SKIP() << "needs root to become somebody who may not connect";
    serve_result(Json::array());
    ASSERT_EQ(chmod(folder_.file("sock").c_str(), 0600), 0);
    auto const child = fork();
    if (child == 0) {
        // The program as nobody: its own folder must be open to it, the socket must not.
        std::filesystem::permissions(std::filesystem::path{folder_.file("sock")}.parent_path(),
                                     std::filesystem::perms::all);
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(100);
        auto const result = run({"guests"});
        bool const told = result.err.find("Permission denied") != std::string::npos &&
                          result.err.find("paths.api_group") != std::string::npos;
        _exit(result.status == 127 ? 101 : result.status == 3 && told ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 101)
        GTEST_SKIP() << "the build folder is closed to the user nobody";
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(ExitStatusTest, SilentServerTimesOut) {
    serve([](Json const&) { return std::string{"{\"schema\""}; });
    auto const start = std::chrono::steady_clock::now();
    auto const result = run({"--timeout", "0.3", "guests"});
    EXPECT_EQ(result.status, 3);
    EXPECT_NE(result.err.find("did not answer within 0.30 s"), std::string::npos) << result.err;
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds{290});
}

TEST_F(ExitStatusTest, ServerThatHangsUp) {
    serve([](Json const&) { return std::nullopt; });
    auto const result = run({"guests"});
    EXPECT_EQ(result.status, 3);
    EXPECT_NE(result.err.find("closed the connection without an answer"), std::string::npos) << result.err;
}

TEST_F(ExitStatusTest, GarbageIsNoAnswer) {
    std::vector<std::string> const garbage{
        "",
        "hello",
        "[]",
        "{}",
        "\"\\ud800\"",
        std::string("\0\xff\x80", 3),
        R"({"schema": 2, "ok": true, "result": []})",
        R"({"schema": "1", "ok": true, "result": []})",
        R"({"schema": 1, "ok": "yes", "result": []})",
        R"({"schema": 1, "ok": true})",
        R"({"schema": 1, "ok": false})",
        R"({"schema": 1, "ok": false, "error": "no"})",
        R"({"schema": 1, "ok": false, "error": {"message": 7}})",
        R"({"schema": 1, "ok": true, "result": {"a": 1}})",
        R"({"schema": 1, "ok": true, "result": [{"name": 7}]})",
        R"({"schema": 1, "ok": true, "result": [{"limit": {"ports": "many"}}]})",
        std::string(100'000, '['),
    };
    for (auto const& line : garbage) {
        serve([&](Json const&) { return line + "\n"; });
        auto const result = run({"guests"});
        EXPECT_EQ(result.status, 3) << line.substr(0, 80) << "\n" << result.out;
        EXPECT_NE(result.err.find("no proper answer"), std::string::npos) << line.substr(0, 80) << "\n" << result.err;
        server_.reset();
        std::filesystem::remove(folder_.file("sock"));
    }
}

TEST_F(ExitStatusTest, GarbageStatusAndPorts) {
    serve_result(Json::array({7}));
    for (auto const& arguments : std::vector<std::vector<std::string>>{
             {"ports"}, {"ports", "who", "80"}, {"ports", "why", "80"}, {"guest", "x"}, {"status"}}) {
        auto const result = run(arguments);
        EXPECT_NE(result.status, 2) << Json(arguments);
        EXPECT_LT(result.status, 128) << Json(arguments) << " was killed by a signal";
    }
}

TEST_F(ExitStatusTest, LongRepliesArriveWhole) {
    Json list = Json::array();
    for (int i = 0; i < 5000; ++i)
        list.push_back(sample_guest("guest-" + std::to_string(i), "connected", i + 1));
    serve_result(list);
    EXPECT_EQ(lines(run({"guests"}).out).size(), 5001U);
}

TEST_F(ExitStatusTest, BashCompletionCompletes) {
    serve_result(Json::array({sample_guest("web", "connected", 3), sample_guest("db", "connected", 4)}));
    auto const script = folder_.file("completion.bash");
    auto const complete = [&](std::string const& typed) {
        auto const command = "source <('" LIBRETTOSCTL "' completion bash); librettosctl() { '" LIBRETTOSCTL
                             "' --socket '" +
                             folder_.file("sock") + "' \"$@\"; }; COMP_WORDS=(" + typed +
                             "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _librettosctl; echo \"${COMPREPLY[*]}\"";
        std::string output;
        FILE* pipe = popen(("bash -c '" +
                            [&] {
                                std::string quoted;
                                for (char const c : command)
                                    quoted += c == '\'' ? std::string{"'\\''"} : std::string(1, c);
                                return quoted;
                            }() +
                            "'")
                               .c_str(),
                           "r");
        for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe))
            output += static_cast<char>(c);
        EXPECT_EQ(pclose(pipe), 0);
        return output;
    };
    EXPECT_EQ(complete("librettosctl sta"), "status stats\n");
    EXPECT_EQ(complete("librettosctl ports w"), "who why\n");
    EXPECT_EQ(complete("librettosctl --timeout 3 ports --protocol ''"), "tcp udp\n");
    EXPECT_EQ(complete("librettosctl detach ''"), "db web\n");
    EXPECT_EQ(complete("librettosctl guest w"), "web\n");
    EXPECT_EQ(complete("librettosctl limit web --b"), "--bits-per-s\n");
}

}  // namespace
}  // namespace librettos::test
