// SPDX-License-Identifier: BSD-2-Clause
// `librettosctl stats`: from a file, with no server anywhere.
#include "tests/unit/ctl/samples.hpp"

namespace librettos::test {
namespace {

class StatsTest : public ProgramTest {
  protected:
    StatsTest() {
        memory_.add_guest(1, 7, "web");
        memory_.add_guest(2, 8, "db");
        memory_.count(0, 0, Counter::wire_rx_frames, 1'234'567);
        memory_.count(0, 1, Counter::drop_ring_full, 5);
        memory_.count(0, 1, Counter::to_guest_frames, 42);
    }
    StatsMemory memory_{folder_.file("stats")};
};

TEST_F(StatsTest, NonZeroCountersDropsLastWithMeaning) {
    auto const result = run({"stats"});
    ASSERT_EQ(result.status, 0) << result.err;
    auto const text = lines(result.out);
    EXPECT_TRUE(text.at(0).starts_with("engine 1, pid " + std::to_string(getpid()) + ", up ")) << text.at(0);
    EXPECT_EQ(text.at(1), "thread 0: asleep, 0 turns, 0 sleeps, busy 0 s");
    EXPECT_EQ(words(text.at(3)), (std::vector<std::string>{"wire", "COUNT", "RATE", "MEANING"}));
    EXPECT_EQ(
        words(line_with(result.out, "wire_rx_frames")),
        (std::vector<std::string>{"wire_rx_frames", "1,234,567", "-", "frames", "received", "from", "the", "NIC"}));
    EXPECT_EQ(result.out.find("wire_tx_frames"), std::string::npos) << "is zero";
    auto const web = result.out.substr(result.out.find("web (domain 7)"));
    EXPECT_LT(web.find("to_guest_frames"), web.find("drop_ring_full"));
    EXPECT_NE(line_with(web, "drop_ring_full").find("the guest's rx ring had no room"), std::string::npos);
    EXPECT_LT(result.out.find("db (domain 8)"), result.out.find("web (domain 7)")) << "not sorted by name";
    EXPECT_NE(result.out.find("nothing yet"), std::string::npos) << "db has done nothing";
}

TEST_F(StatsTest, AllShowsEveryCounterOfOneGuest) {
    auto const result = run({"stats", "--all", "--guest", "7"});
    EXPECT_EQ(result.out.find("db (domain"), std::string::npos);
    for (std::size_t i = 1; i < counter_count; ++i)
        EXPECT_FALSE(line_with(result.out, std::string{counter_texts[i].name} + " ").empty()) << counter_texts[i].name;
}

TEST_F(StatsTest, Json) {
    memory_.header().engine_pid = 4'194'305;
    auto const result = run({"--json", "stats"});
    ASSERT_EQ(result.status, 0);
    auto const document = Json::parse(result.out);
    EXPECT_EQ(document["schema"], 1);
    EXPECT_EQ(document["ok"], true);
    auto const& guests = document["result"]["guests"];
    ASSERT_EQ(guests.size(), 3U);
    EXPECT_EQ(guests[0]["name"], "wire");
    EXPECT_EQ(guests[0]["domain"], nullptr);
    EXPECT_EQ(guests[0]["counters"], (Json{{"wire_rx_frames", 1'234'567}}));
    EXPECT_EQ(guests[2]["counters"], (Json{{"to_guest_frames", 42}, {"drop_ring_full", 5}}));
    EXPECT_EQ(document["result"]["engine"]["running"], false);
    EXPECT_EQ(document["result"]["threads"][0]["sleeping"], true);
}

TEST_F(StatsTest, SaysThatTheEngineIsDeadAndStillCounts) {
    memory_.header().engine_pid = 4'194'305;
    auto const result = run({"stats"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(lines(result.out).at(0), "engine 1, pid 4194305, does not run");
    EXPECT_FALSE(line_with(result.out, "wire_rx_frames").empty());
}

TEST_F(StatsTest, WatchPrintsRatesUntilInterrupted) {
    Program program{{"--stats-file", folder_.file("stats"), "--json", "stats", "--watch", "0.1", "--guest", "web"}};
    program.read_until("\n", 1);
    memory_.count(0, 1, Counter::to_guest_frames, 1000);
    program.read_until("\n", 5);
    program.signal(SIGINT);
    auto const result = program.finish();
    EXPECT_EQ(result.status, 0);
    double summed = 0;
    std::uint64_t before_ns = 0;
    for (auto const& line : lines(result.out)) {
        auto const reading = Json::parse(line)["result"];
        auto const taken_ns = reading["taken_ns"].get<std::uint64_t>();
        if (before_ns != 0)
            summed += reading["guests"][0]["per_second"]["to_guest_frames"].get<double>() *
                      static_cast<double>(taken_ns - before_ns) / 1e9;
        before_ns = taken_ns;
    }
    EXPECT_NEAR(summed, 1000, 0.5) << "rates times time is what was counted";
}

TEST_F(StatsTest, WatchInTextHasARateColumn) {
    Program program{{"--stats-file", folder_.file("stats"), "stats", "--watch", "0.05"}};
    program.read_until("wire_rx_frames", 2);
    program.signal(SIGTERM);
    auto const result = program.finish();
    EXPECT_EQ(result.status, 0);
    auto const second = result.out.substr(result.out.rfind("wire_rx_frames"));
    EXPECT_EQ(words(lines(second).at(0))[2], "0");
}

TEST_F(StatsTest, PrometheusHasEveryCounterOnceAndDropsByReason) {
    memory_.header().engine_pid = 4'194'305;
    memory_.header().thread[0].busy_ns = 1'500'000'000;
    auto const result = run({"stats", "--prometheus"});
    ASSERT_EQ(result.status, 0) << result.err;
    auto const text = lines(result.out);
    auto const has = [&text](std::string const& line) { return std::count(text.begin(), text.end(), line) == 1; };
    EXPECT_TRUE(has("librettos_wire_rx_frames_total 1234567"));
    EXPECT_TRUE(has("librettos_to_guest_frames_total{guest=\"web\",domain=\"7\"} 42"));
    EXPECT_TRUE(has("librettos_to_guest_frames_total{guest=\"db\",domain=\"8\"} 0")) << "a series begins with 0";
    EXPECT_TRUE(has("librettos_dropped_frames_total{guest=\"web\",domain=\"7\",reason=\"ring_full\"} 5"));
    EXPECT_TRUE(has("librettos_dropped_frames_total{guest=\"wire\",domain=\"\",reason=\"malformed\"} 0"));
    EXPECT_TRUE(has("librettos_thread_busy_seconds_total{thread=\"0\"} 1.500000000"));
    EXPECT_TRUE(has("librettos_engine_up 0"));
    EXPECT_TRUE(has("librettos_engine_starts_total 1"));
    EXPECT_TRUE(has("# TYPE librettos_dropped_frames_total counter"));
    for (std::size_t i = 1; i < counter_count; ++i) {
        std::string const name{counter_texts[i].name};
        EXPECT_EQ(has("# HELP librettos_" + name + "_total " + std::string{counter_texts[i].meaning}),
                  !name.starts_with("drop_"))
            << name;
    }
    for (auto const& line : text)
        EXPECT_EQ(line.find("web"), line.find("web\"")) << "a guest stands in a label: " << line;
}

TEST_F(StatsTest, PrometheusLabelsAreEscaped) {
    memory_.add_guest(3, 9, "a\"b\\c\nd");
    auto const result = run({"stats", "--prometheus", "--guest", "9"});
    EXPECT_NE(result.out.find("{guest=\"a\\\"b\\\\c?d\",domain=\"9\"}"), std::string::npos) << result.out;
    EXPECT_EQ(result.out.find("\"web\""), std::string::npos);
}

TEST_F(StatsTest, PrometheusIsOneFormatAndOneReading) {
    EXPECT_EQ(run({"--json", "stats", "--prometheus"}).status, 2);
    EXPECT_EQ(run({"stats", "--prometheus", "--watch"}).status, 2);
}

TEST_F(StatsTest, UnknownGuestIsNotFound) {
    auto const result = run({"stats", "--guest", "nobody"});
    EXPECT_EQ(result.status, 1);
    EXPECT_NE(result.err.find("'nobody'"), std::string::npos);
    EXPECT_EQ(Json::parse(run({"--json", "stats", "--guest", "nobody"}).out)["error"]["code"], "not-found");
}

TEST_F(StatsTest, NoFileIsUnreachable) {
    std::filesystem::remove(folder_.file("stats"));
    auto const result = run({"stats"});
    EXPECT_EQ(result.status, 3);
    EXPECT_NE(result.err.find(folder_.file("stats")), std::string::npos);
    EXPECT_NE(result.err.find("systemctl status librettos-netserver"), std::string::npos);
}

TEST_F(StatsTest, ADamagedFileIsSaidToBeDamaged) {
    memory_.header().cells_offset = UINT64_MAX - 7;
    auto const result = run({"stats"});
    EXPECT_EQ(result.status, 3);
    EXPECT_NE(result.err.find("damaged"), std::string::npos);
}

TEST_F(StatsTest, NamesWithControlCharactersAreMadePrintable) {
    memory_.add_guest(3, 9, "x\x1b[31m\xff");
    EXPECT_EQ(run({"stats"}).out.find('\x1b'), std::string::npos);
    EXPECT_TRUE(Json::accept(run({"--json", "stats"}).out));
}

}  // namespace
}  // namespace librettos::test
