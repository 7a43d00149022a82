// SPDX-License-Identifier: BSD-2-Clause
// `guests`, `guest`, `limit`, `detach`: what is asked and what is printed.
#include "tests/unit/ctl/samples.hpp"

namespace librettos::test {
namespace {

using GuestsTest = ProgramTest;

TEST_F(GuestsTest, TableIsSortedWithTroubleFirst) {
    auto detached = sample_guest("zeta", "detached", 9);
    detached["detach_reason"] = "rx ring: tail is beyond head\x1b[2J";
    serve_result(Json::array({sample_guest("web", "connected", 3), detached, sample_guest("db", "connected", 12)}));
    auto const result = run({"guests"});
    ASSERT_EQ(result.status, 0) << result.err;
    auto const text = lines(result.out);
    ASSERT_EQ(text.size(), 6U);
    EXPECT_EQ(words(text[0]), (std::vector<std::string>{"GUEST", "STATE", "MODE", "PATH", "DOMAIN", "IPV4", "IPV6",
                                                        "PORTS", "QUEUES", "ATTACHED", "LIMIT", "PROGRAM"}));
    EXPECT_EQ(words(text[1])[0], "zeta");
    EXPECT_EQ(words(text[2]),
              (std::vector<std::string>{"db", "connected", "shared", "server", "12", "192.0.2.2", "-", "12", "2", "1",
                                        "min", "5", "s", "100", "Mbit/s,", "4,096", "ports", "nginx"}));
    EXPECT_EQ(words(text[3])[0], "web");
    EXPECT_EQ(text[1].find("nginx"), text[0].find("PROGRAM")) << "columns do not stand below their titles";
    EXPECT_EQ(text[2].find("nginx"), text[0].find("PROGRAM"));
    EXPECT_EQ(text[5], "zeta: rx ring: tail is beyond head?[2J") << "a guest's text must not drive the terminal";
}

TEST_F(GuestsTest, NoGuests) {
    serve_result(Json::array());
    auto const result = run({"guests"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out, "no guests\n");
}

TEST_F(GuestsTest, JsonIsTheReplyAsItCame) {
    auto const list = Json::array({sample_guest("web", "connected", 3)});
    serve_result(list);
    EXPECT_EQ(run({"guests", "--json"}).out, ok_reply(list));
}

TEST_F(GuestsTest, ShowOne) {
    auto guest = sample_guest("web", "connected", 3);
    guest["ring_bytes"] = 262144;
    guest["mtu_bytes"] = 1500;
    guest["features"] = {"tx_csum", "tx_tso4"};
    guest["frontend_path"] = "/local/domain/3/device/lvif/0";
    guest["tcp_ports"] = Json::parse(R"([[80, 80, "bound"], [40000, 40063, "leased"]])");
    guest["udp_ports"] = Json::array();
    serve_result(guest);
    auto const result = run({"guest", "web"});
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(only_request(), (Json{{"schema", 1}, {"command", "guest"}, {"guest", "web"}}));
    EXPECT_EQ(lines(result.out).at(0), "web is connected, shared, domain 3, for 1 min 5 s");
    EXPECT_EQ(line_with(result.out, "tcp ports"), "tcp ports   80, 40000-40063 leased");
    EXPECT_EQ(line_with(result.out, "udp ports"), "udp ports   none");
    EXPECT_EQ(line_with(result.out, "queues"), "queues      2, rings of 256 KiB");
    EXPECT_EQ(line_with(result.out, "features"), "features    tx_csum, tx_tso4");
    EXPECT_EQ(line_with(result.out, "detached"), "");
}

TEST_F(GuestsTest, UnknownGuestIsRefusedWithHint) {
    serve(
        [](Json const&) { return refusal("not-found", "no guest is named 'web'", "librettosctl guests lists them"); });
    auto const text = run({"guest", "web"});
    EXPECT_EQ(text.status, 1);
    EXPECT_EQ(text.out, "");
    EXPECT_EQ(text.err, "librettosctl: no guest is named 'web'\n  librettosctl guests lists them\n");
    auto const json = run({"--json", "guest", "web"});
    EXPECT_EQ(json.status, 1);
    EXPECT_EQ(Json::parse(json.out)["error"]["code"], "not-found");
}

TEST_F(GuestsTest, LimitSendsWhatWasGivenAndNothingElse) {
    serve_result({{"frames_per_s", 0}, {"bits_per_s", 1'500'000'000}, {"ports", 64}});
    auto const result = run({"limit", "web", "--bits-per-s", "1.5G", "--ports", "64"});
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(
        only_request(),
        (Json{{"schema", 1}, {"command", "limit"}, {"guest", "web"}, {"bits_per_s", 1'500'000'000}, {"ports", 64}}));
    EXPECT_EQ(result.out, "web: limit 1.50 Gbit/s, 64 ports\n");
}

TEST_F(GuestsTest, LimitZeroIsSentAsZero) {
    serve_result({{"frames_per_s", 0}, {"bits_per_s", 0}, {"ports", 0}});
    auto const result = run({"limit", "web", "--frames-per-s", "0"});
    EXPECT_EQ(only_request()["frames_per_s"], 0);
    EXPECT_EQ(result.out, "web: limit none\n");
}

TEST_F(GuestsTest, ANotConnectedGuestHasNoTime) {
    auto guest = sample_guest("web", "waiting", 3);
    guest["attached_s"] = nullptr;
    serve_result(guest);
    EXPECT_EQ(lines(run({"guest", "web"}).out).at(0), "web is waiting, shared, domain 3");
}

TEST_F(GuestsTest, Attach) {
    serve_result({{"guest", "web"}});
    EXPECT_EQ(run({"attach", "web"}).out, "web may connect again\n");
    EXPECT_EQ(only_request(), (Json{{"schema", 1}, {"command", "attach"}, {"guest", "web"}}));
}

TEST_F(GuestsTest, DetachWithReason) {
    serve_result({{"guest", "web"}});
    auto const result = run({"detach", "web", "--reason", "moved to host b"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out, "web is detached\n");
    EXPECT_EQ(only_request(),
              (Json{{"schema", 1}, {"command", "detach"}, {"guest", "web"}, {"reason", "moved to host b"}}));
}

}  // namespace
}  // namespace librettos::test
