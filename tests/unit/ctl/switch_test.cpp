// SPDX-License-Identifier: BSD-2-Clause
// `switch` and `vf`: what is asked, what is waited for, over servers that die, and what is said about the outcome.
#include <deque>

#include "tests/unit/ctl/samples.hpp"

namespace librettos::test {
namespace {

Json switching(int serial, std::string const& step) {
    auto guest = sample_guest("db", "connected", 3);
    guest["mode"] = "dedicated";
    guest["path"] = "switching";
    guest["switch"] = {{"step", step}, {"vf", 1}, {"serial", serial}, {"last", nullptr}};
    return guest;
}

Json ended(int serial, std::string const& path, bool reached, Json const& reason) {
    auto guest = switching(serial, path == "direct" ? "direct" : "rings");
    guest["path"] = path;
    guest["switch"]["last"] = {
        {"serial", serial},
        {"to", "direct"},
        {"reached", reached},
        {"reason", reason},
        {"took_us", 2345},
        {"steps", {{{"step", "giving"}, {"took_us", 1200}}, {{"step", "preparing"}, {"took_us", 45}}}},
        {"frames_drained", 12}};
    return guest;
}

class SwitchTest : public ProgramTest {
  protected:
    // Answers `switch` with serial 7, and `guest` with these in turn, the last one again and again; null: no answer.
    void serve_guests(std::deque<Json> guests, bool already = false) {
        serve([guests = std::move(guests), already](Json const& request) mutable -> std::optional<std::string> {
            if (request.at("command") == "switch")
                return ok_reply({{"guest", "db"},
                                 {"to", request.at("to")},
                                 {"already", already},
                                 {"vf", 1},
                                 {"serial", 7},
                                 {"steps", {"giving", "preparing"}}});
            auto const now = guests.front();
            if (guests.size() > 1)
                guests.pop_front();
            return now.is_null() ? std::nullopt : std::optional(ok_reply(now));
        });
    }
};

TEST_F(SwitchTest, WaitsForTheOutcomeAndSaysWhatItCost) {
    serve_guests({switching(7, "giving"), switching(7, "preparing"), ended(7, "direct", true, nullptr)});
    auto const result = run({"switch", "db", "direct", "--vf", "1", "--timeout", "300"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_NE(result.out.find("db uses its VF after 2.345 ms; 12 frames drained"), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("giving"), std::string::npos);
    EXPECT_NE(result.out.find("1.200 ms"), std::string::npos);
    auto const request = server_->requests().front();
    EXPECT_EQ(request.at("vf"), 1);
    EXPECT_EQ(request.at("timeout_ms"), 300);
    EXPECT_EQ(request.at("dry_run"), false);
}

TEST_F(SwitchTest, AServerThatDiesIsWaitedFor) {
    serve_guests({nullptr, switching(7, "steering"), nullptr, nullptr, ended(7, "direct", true, nullptr)});
    EXPECT_EQ(run({"switch", "db", "direct"}).status, 0);
}

TEST_F(SwitchTest, AnOlderOutcomeIsNotThisOne) {
    serve_guests({ended(6, "server", true, "by the operator"), ended(7, "direct", true, nullptr)});
    EXPECT_EQ(run({"switch", "db", "direct"}).status, 0);
}

TEST_F(SwitchTest, WhyItDidNotSucceedIsSaid) {
    serve_guests({ended(7, "server", false, "the guest: No such device\x1b[2J")});
    auto const result = run({"switch", "db", "direct"});
    EXPECT_EQ(result.status, 1);
    EXPECT_NE(result.out.find("db does not use its VF after 2.345 ms: the guest: No such device?[2J"),
              std::string::npos)
        << result.out;
    auto const json = run({"--json", "switch", "db", "direct"});
    EXPECT_EQ(json.status, 1);
    EXPECT_EQ(Json::parse(json.out).at("result").at("path"), "server");
}

TEST_F(SwitchTest, ARefusalIsOne) {
    serve([](Json const&) { return refusal("busy", "no VF is free", "librettosctl vf shows whose they are"); });
    auto const result = run({"switch", "db", "direct"});
    EXPECT_EQ(result.status, 1);
    EXPECT_NE(result.err.find("no VF is free"), std::string::npos);
}

TEST_F(SwitchTest, ASwitchThatNeverEndsIsGivenUp) {
    serve_guests({switching(7, "preparing")});
    auto const result = run({"--timeout", "0.2", "switch", "db", "direct", "--timeout", "10"});
    EXPECT_EQ(result.status, 3);
    EXPECT_NE(result.err.find("is not over after"), std::string::npos) << result.err;
}

TEST_F(SwitchTest, NothingToWaitFor) {
    serve_guests({}, true);
    EXPECT_EQ(run({"switch", "db", "direct"}).out, "db uses its VF already\n");
}

TEST_F(SwitchTest, ADryRunPrintsThePlan) {
    serve_guests({});
    auto const result = run({"switch", "db", "server", "--dry-run"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out, "db would use the server (VF 1): giving, preparing\n");
    EXPECT_EQ(server_->requests().size(), 1U);
}

TEST_F(SwitchTest, ByItsLoadIsNotWaitedFor) {
    serve_guests({});
    auto const result = run({"switch", "db", "auto"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, "db is moved by its load from now on\n");
    EXPECT_EQ(server_->requests().front().at("to"), "auto");
    EXPECT_EQ(server_->requests().size(), 1U);
}

TEST_F(SwitchTest, WrongUsage) {
    EXPECT_EQ(run({"switch", "db"}).status, 2);
    EXPECT_EQ(run({"switch", "db", "sometimes"}).status, 2);
    EXPECT_EQ(run({"switch", "db", "auto", "--vf", "1"}).status, 2);
    EXPECT_EQ(run({"switch", "db", "direct", "--timeout", "0"}).status, 2);
    EXPECT_EQ(run({"switch", "db", "direct", "--vf", "x"}).status, 2);
}

TEST_F(SwitchTest, TheVfsAreATable) {
    serve_result(Json::parse(R"([
        {"vf": 0, "interface": "vf0", "present": true, "link": "up", "guest": "db", "mac": "02:4c:52:00:00:01", "step": "direct",
         "traffic": {"received_frames": 1234567, "received_bytes": 9, "sent_frames": 5, "sent_bytes": 8}, "way": "auto",
         "why": "300 Mb/s: busy enough for its VF"},
        {"vf": 1, "interface": "vf1", "present": false, "link": "down", "guest": null, "mac": null, "step": null}])"));
    auto const text = lines(run({"vf"}).out);
    ASSERT_EQ(text.size(), 5U);
    EXPECT_EQ(words(text[0]),
              (std::vector<std::string>{"VF", "INTERFACE", "LINK", "GUEST", "MAC", "STEP", "WAY", "RECEIVED", "SENT"}));
    EXPECT_EQ(words(text[1]), (std::vector<std::string>{"0", "vf0", "up", "db", "02:4c:52:00:00:01", "direct", "auto",
                                                        "1,234,567", "5"}));
    EXPECT_EQ(words(text[2]), (std::vector<std::string>{"1", "vf1", "gone", "-", "-", "-", "-", "-", "-"}));
    EXPECT_EQ(text[4], "db: 300 Mb/s: busy enough for its VF");
}

TEST_F(SwitchTest, WithoutVfsTheConfigurationIsNamed) {
    serve_result(Json::array());
    EXPECT_NE(run({"vf"}).out.find("direct.steering"), std::string::npos);
}

TEST_F(SwitchTest, AGuestShowsItsWayAndTheLastSwitch) {
    auto guest = ended(7, "direct", true, nullptr);
    for (auto const* key : {"tcp_ports", "udp_ports", "features"})
        guest[key] = Json::array();
    serve_result(guest);
    auto const text = run({"guest", "db"}).out;
    EXPECT_NE(text.find("direct, VF 1, step direct"), std::string::npos) << text;
    EXPECT_NE(text.find("to direct, reached in 2345 us"), std::string::npos) << text;
}

TEST_F(SwitchTest, AGuestThatIsMovedByItsLoadSaysWhyItIsThere) {
    auto guest = ended(7, "direct", true, nullptr);
    for (auto const* key : {"tcp_ports", "udp_ports", "features"})
        guest[key] = Json::array();
    guest["switch"]["way"] = "auto";
    guest["switch"]["why"] = "is being measured";
    serve_result(guest);
    EXPECT_NE(run({"guest", "db"}).out.find("auto: is being measured"), std::string::npos);
}

}  // namespace
}  // namespace librettos::test
