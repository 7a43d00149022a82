// SPDX-License-Identifier: BSD-2-Clause
// `librettosctl status` as printed, and its exit status.
#include "tests/unit/ctl/samples.hpp"

namespace librettos::test {
namespace {

using StatusTest = ProgramTest;

TEST_F(StatusTest, HealthyServer) {
    auto status = healthy_status();
    status["readopted"]["ms"] = 4.512345;
    serve_result(status);
    StatsMemory memory{folder_.file("stats")};
    auto const run_result = run({"status"});
    EXPECT_EQ(run_result.status, 0) << run_result.err;
    EXPECT_EQ(lines(run_result.out).at(0), "serving 3 guests on eth1 (link up), up 2 h 3 min, engine 1");
    EXPECT_EQ(lines(run_result.out).at(1), "") << "nothing is wrong";
    EXPECT_EQ(line_with(run_result.out, "port "),
              "port        eth1, driver packet_socket, MAC 02:00:00:00:00:01, 10.0 Gbit/s, MTU "
              "1500, 1 queue");
    EXPECT_EQ(line_with(run_result.out, "address"), "address     192.0.2.2/24, 02:00:00:00:00:01, gateway 192.0.2.1");
    EXPECT_EQ(line_with(run_result.out, "guests"), "guests      3 connected, 1 connecting, 0 detached");
    EXPECT_EQ(line_with(run_result.out, "ports"), "ports       1,200 tcp, 3 udp, 0 quarantined");
    EXPECT_EQ(line_with(run_result.out, "buffers"), "buffers     1,024 of 16,384 in use, 0 lost");
    EXPECT_EQ(line_with(run_result.out, "offloads"), "offloads    tx_tso, rx_checksum");
    EXPECT_EQ(line_with(run_result.out, "waking"),
              "waking      takes 5 us here; data threads look on for up to 200 us before they sleep");
    EXPECT_EQ(line_with(run_result.out, "readopted"), "readopted   3 guests in 4.5 ms");
    EXPECT_EQ(run_result.out.find('\x1b'), std::string::npos) << "colours into a pipe";
    EXPECT_EQ(only_request(), (Json{{"schema", 1}, {"command", "status"}}));
}

TEST_F(StatusTest, UnknownSpeedIsCalledSo) {
    auto status = healthy_status();
    status["port"]["speed_mbps"] = nullptr;
    serve_result(status);
    EXPECT_EQ(line_with(run({"status"}).out, "port "),
              "port        eth1, driver packet_socket, MAC 02:00:00:00:00:01, speed unknown, MTU 1500, 1 queue");
}

TEST_F(StatusTest, WorksWithoutStatisticsFile) {
    serve_result(healthy_status());
    EXPECT_EQ(run({"status"}).status, 0);
}

TEST_F(StatusTest, LinkDownIsUnhealthyAndComesFirst) {
    auto status = healthy_status();
    status["port"]["link"] = "down";
    status["engine_generation"] = 2;
    serve_result(status);
    auto const run_result = run({"status"});
    EXPECT_EQ(run_result.status, 4);
    auto const text = lines(run_result.out);
    EXPECT_EQ(text.at(0), "serving 3 guests on eth1 (link down), up 2 h 3 min, engine 2");
    EXPECT_EQ(text.at(1), "PROBLEM  the link of eth1 is down");
    EXPECT_EQ(text.at(3), "note     the engine was restarted 1 time");
}

TEST_F(StatusTest, NotesAloneAreHealthy) {
    auto status = healthy_status();
    status["engine_generation"] = 4;
    status["guests"]["detached"] = 1;
    serve_result(status);
    auto const run_result = run({"status"});
    EXPECT_EQ(run_result.status, 0);
    EXPECT_FALSE(line_with(run_result.out, "note     the engine was restarted 3 times").empty());
    EXPECT_FALSE(line_with(run_result.out, "note     1 guest is detached").empty());
}

TEST_F(StatusTest, JsonIsTheReplyAsItCameAndTheExitStatusStillJudges) {
    auto status = healthy_status();
    status["port"]["link"] = "down";
    status["a_key_of_tomorrow"] = Json::array({1});
    serve_result(status);
    auto const run_result = run({"--json", "status"});
    EXPECT_EQ(run_result.status, 4);
    EXPECT_EQ(run_result.out, ok_reply(status));
    EXPECT_EQ(Json::parse(run_result.out)["result"], status);
}

TEST_F(StatusTest, DeadServerIsExplainedByTheStatisticsFile) {
    StatsMemory memory{folder_.file("stats")};
    memory.header().engine_generation = 5;
    memory.header().engine_pid = 4'194'305;  // above the kernel's largest pid
    auto const run_result = run({"status"});
    EXPECT_EQ(run_result.status, 3);
    EXPECT_NE(run_result.err.find("engine 5 (pid 4194305) does not run"), std::string::npos) << run_result.err;
    EXPECT_NE(run_result.err.find(") runs"), std::string::npos) << "the holder, here the test's parent";
}

}  // namespace
}  // namespace librettos::test
