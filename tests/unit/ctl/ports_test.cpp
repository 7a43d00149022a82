// SPDX-License-Identifier: BSD-2-Clause
// `ports`, `ports who`, `ports why`.
#include "tests/unit/ctl/samples.hpp"

namespace librettos::test {
namespace {

using PortsTest = ProgramTest;

Json range(char const* protocol, int first, int last, char const* state, char const* owner, bool leased) {
    return {{"protocol", protocol}, {"first", first}, {"last", last},    {"state", state},
            {"owner", owner},       {"domain", 3},    {"leased", leased}};
}

Json bound_port(char const* protocol) {
    return {{"protocol", protocol}, {"port", 80},          {"state", "bound"},       {"owner", "web"},
            {"domain", 3},          {"leased", false},     {"attached", true},       {"age_s", 3700},
            {"owner_ports", 2},     {"owner_limit", 4096}, {"quarantine_left_s", 0}, {"explanation", "bound by web"}};
}

Json free_port(char const* protocol) {
    return {{"protocol", protocol}, {"port", 80}, {"state", "free"}, {"owner", nullptr}, {"domain", nullptr}};
}

TEST_F(PortsTest, TableIsSortedByProtocolAndPort) {
    serve_result(
        Json::array({range("udp", 53, 53, "bound", "dns", false), range("tcp", 40000, 40063, "bound", "web", true),
                     range("tcp", 80, 80, "quarantined", "web", false)}));
    auto const result = run({"ports"});
    ASSERT_EQ(result.status, 0) << result.err;
    auto const text = lines(result.out);
    ASSERT_EQ(text.size(), 4U);
    EXPECT_EQ(words(text[0]), (std::vector<std::string>{"PROTOCOL", "PORTS", "STATE", "OWNER", "DOMAIN", "LEASED"}));
    EXPECT_EQ(words(text[1]), (std::vector<std::string>{"tcp", "80", "quarantined", "web", "3", "no"}));
    EXPECT_EQ(words(text[2]), (std::vector<std::string>{"tcp", "40000-40063", "bound", "web", "3", "yes"}));
    EXPECT_EQ(words(text[3]), (std::vector<std::string>{"udp", "53", "bound", "dns", "3", "no"}));
    EXPECT_EQ(only_request(), (Json{{"schema", 1}, {"command", "ports"}}));
}

TEST_F(PortsTest, FiltersByGuestAndProtocol) {
    serve_result(
        Json::array({range("udp", 53, 53, "bound", "dns", false), range("tcp", 80, 80, "bound", "dns", false)}));
    auto const result = run({"--json", "ports", "--guest", "dns", "--protocol", "udp"});
    EXPECT_EQ(only_request()["guest"], "dns");
    auto const document = Json::parse(result.out);
    EXPECT_EQ(document["schema"], 1);
    ASSERT_EQ(document["result"].size(), 1U);
    EXPECT_EQ(document["result"][0]["protocol"], "udp");
}

TEST_F(PortsTest, WhoOwnsIt) {
    serve_result(Json::array({bound_port("tcp"), free_port("udp")}));
    auto const result = run({"ports", "who", "80"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out, "tcp 80: web (domain 3)\nudp 80: nobody's\n");
    EXPECT_EQ(only_request(), (Json{{"schema", 1}, {"command", "port"}, {"port", 80}}));
}

TEST_F(PortsTest, NobodyOwnsIt) {
    serve_result(Json::array({free_port("tcp")}));
    auto const result = run({"ports", "who", "80", "--protocol", "tcp"});
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.out, "tcp 80: nobody's\n");
    EXPECT_EQ(only_request()["protocol"], "tcp");
}

TEST_F(PortsTest, Why) {
    auto quarantined = bound_port("udp");
    quarantined["state"] = "quarantined";
    quarantined["quarantine_left_s"] = 42;
    quarantined["explanation"] = "its domain was destroyed";
    serve_result(Json::array({bound_port("tcp"), quarantined}));
    auto const result = run({"ports", "why", "80"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out,
              "tcp 80: web (domain 3)\n"
              "  bound by web\n"
              "  in this state for 1 h 1 min\n"
              "  its owner has 2 ports of at most 4,096\n"
              "udp 80: kept for web (domain 3), which is gone, for 42 s\n"
              "  its domain was destroyed\n"
              "  in this state for 1 h 1 min\n");
}

TEST_F(PortsTest, AnOwnerThatIsNotAttachedIsToldAbout) {
    auto entry = bound_port("tcp");
    entry["attached"] = false;
    serve_result(Json::array({entry}));
    EXPECT_NE(run({"ports", "who", "80"}).out.find("not attached"), std::string::npos);
}

}  // namespace
}  // namespace librettos::test
