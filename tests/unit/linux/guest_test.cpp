// SPDX-License-Identifier: BSD-2-Clause
// librettos-guest as users run it: two guests of a real librettos-hypervisord with a patch cable for a server.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "tests/unit/linux/patch_cable.hpp"
#include "tests/unit/linux/spawned_program.hpp"
#include "tests/unit/temporary_folder.hpp"

namespace librettos::guest {
namespace {

class TwoGuests : public testing::Test {
  protected:
    void SetUp() override {
        // Names of namespaces, too, are the test's own.
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0 ||
            (mkdir("/run/netns", 0755) < 0 && errno != EEXIST) ||
            mount("none", "/run/netns", "tmpfs", 0, nullptr) < 0) {
            GTEST_SKIP() << "needs root: a mount namespace of its own";
        }
        socket_ = folder_.file("hypervisor.sock");
        hypervisor_.emplace(std::vector<std::string>{HYPERVISORD, "--socket", socket_, "--log-level", "warning"});
        ASSERT_TRUE(eventually([&] {  // its socket is there before it listens
            lvif_hv* attempt = nullptr;
            bool const answered = lvif_hv_connect(socket_.c_str(), LVIF_HV_CONTROL, nullptr, &attempt) == 0;
            lvif_hv_close(answered ? attempt : nullptr);
            return answered;
        }));
    }
    void TearDown() override {
        guests_[0].reset();
        guests_[1].reset();
        cable_.reset();
        hypervisor_.reset();
    }
    void plug_in() { cable_.emplace(socket_, std::array<std::string, 2>{"first", "second"}); }
    SpawnedProgram& run(unsigned guest, std::vector<std::string> const& steps) {
        std::vector<std::string> command{
            LIBRETTOS_GUEST, "run",    "--hypervisor-socket",           socket_, "--wait",      "20", "--log-level",
            "warning",       "--name", guest == 0 ? "first" : "second", "--",    STATIC_PROGRAM};
        command.insert(command.end(), steps.begin(), steps.end());
        guests_[guest].reset();
        guests_[guest].emplace(command);
        return *guests_[guest];
    }

    test::TemporaryFolder folder_;
    std::string socket_;
    std::optional<SpawnedProgram> hypervisor_;
    std::optional<PatchCable> cable_;
    std::array<std::optional<SpawnedProgram>, 2> guests_;
};

TEST_F(TwoGuests, TalkOverTheRings) {
    plug_in();
    auto& server = run(0, {"tcp4", "bind", "0.0.0.0", "8080", "listen", "accept", "receive", "20000000"});
    server.line();
    EXPECT_EQ(server.line(), "bind ok 8080");
    EXPECT_EQ(server.line(), "listen ok 8080");
    auto& client = run(1, {"tcp4", "connect", "192.0.2.10", "8080", "send", "20000000", "wait"});
    client.line();
    EXPECT_EQ(client.line().substr(0, 10), "connect ok");
    EXPECT_EQ(client.line().substr(0, 7), "send ok");
    EXPECT_EQ(server.line(), "accept ok 8080");
    EXPECT_EQ(server.line(), "receive ok 8080") << "20 MB, each byte checked";
    client.go_on();
    EXPECT_EQ(client.wait(), 0);
    EXPECT_EQ(server.wait(), 0);
    EXPECT_GT(cable_->large_frames(), 0u);
    EXPECT_TRUE(std::filesystem::is_empty("/run/netns")) << "namespaces are removed";
}

TEST_F(TwoGuests, DeliverWhatAProgramSentLast) {
    plug_in();
    auto& server = run(0, {"tcp4", "bind", "0.0.0.0", "8080", "listen", "accept", "wait", "receive", "400000"});
    server.line();
    EXPECT_EQ(server.line(), "bind ok 8080");
    EXPECT_EQ(server.line(), "listen ok 8080");
    auto& client = run(1, {"tcp4", "sendbuffer", "1000000", "connect", "192.0.2.10", "8080", "send", "400000"});
    client.line();
    EXPECT_EQ(client.line(), "sendbuffer ok 0");
    EXPECT_EQ(client.line().substr(0, 10), "connect ok");
    EXPECT_EQ(client.line().substr(0, 7), "send ok") << "most of it still in the kernel, since nobody reads yet";
    EXPECT_EQ(server.line(), "accept ok 8080");
    ASSERT_TRUE(eventually([&] { return !client.has_children(); })) << "its program is gone";
    server.go_on();
    EXPECT_EQ(server.line(), "receive ok 8080");
    EXPECT_EQ(client.wait(), 0);
    EXPECT_EQ(server.wait(), 0);
}

TEST_F(TwoGuests, ShareOnePortmap) {
    plug_in();
    auto& first = run(0, {"tcp4", "bind", "0.0.0.0", "8080", "wait", "close", "wait"});
    first.line();
    EXPECT_EQ(first.line(), "bind ok 8080");
    auto& second = run(1, {"tcp4", "bind", "0.0.0.0", "8080", "udp4", "bind", "0.0.0.0", "8080", "wait", "tcp4", "bind",
                           "0.0.0.0", "8080"});
    second.line();
    EXPECT_EQ(second.line(), "bind EADDRINUSE 0");
    second.line();
    EXPECT_EQ(second.line(), "bind ok 8080");
    first.go_on();
    EXPECT_EQ(first.line(), "close ok 0");
    std::this_thread::sleep_for(std::chrono::seconds(4));
    second.go_on();
    second.line();
    EXPECT_EQ(second.line(), "bind ok 8080") << "the first one has released it";
}

TEST_F(TwoGuests, SurviveTheServersCrash) {
    plug_in();
    auto& server =
        run(0, {"tcp4", "bind", "0.0.0.0", "8080", "listen", "accept", "receive", "1000000", "receive", "1000000"});
    for (int i = 0; i < 3; ++i) {
        server.line();
    }
    auto& client =
        run(1, {"tcp4", "connect", "192.0.2.10", "8080", "send", "1000000", "wait", "send", "1000000", "wait"});
    client.line();
    EXPECT_EQ(client.line().substr(0, 10), "connect ok");
    server.line();
    EXPECT_EQ(server.line(), "receive ok 8080");
    client.line();
    cable_.reset();
    client.go_on();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    plug_in();
    EXPECT_EQ(server.line(), "receive ok 8080") << "the same connection, over the same rings";
    EXPECT_EQ(client.line().substr(0, 7), "send ok");
}

TEST_F(TwoGuests, ComeBackAfterADetach) {
    plug_in();
    auto& server =
        run(0, {"tcp4", "bind", "0.0.0.0", "8080", "listen", "accept", "receive", "1000000", "receive", "1000000"});
    for (int i = 0; i < 3; ++i) {
        server.line();
    }
    auto& client =
        run(1, {"tcp4", "connect", "192.0.2.10", "8080", "send", "1000000", "wait", "send", "1000000", "wait"});
    client.line();
    client.line();
    client.line();
    server.line();
    EXPECT_EQ(server.line(), "receive ok 8080");
    cable_->detach(0);
    ASSERT_TRUE(eventually([&] { return cable_->connections(0) == 2; }));
    client.go_on();
    EXPECT_EQ(server.line(), "receive ok 8080") << "address and connection are back";
}

TEST_F(TwoGuests, EndWithTheHypervisor) {
    plug_in();
    auto& guest = run(0, {"tcp4", "wait"});
    EXPECT_EQ(guest.line(), "tcp4 ok 0");
    hypervisor_->signal(SIGKILL);
    EXPECT_EQ(guest.wait(), 70);
    EXPECT_TRUE(std::filesystem::is_empty("/run/netns"));
}

TEST_F(TwoGuests, GiveUpWithoutAServer) {
    SpawnedProgram guest({LIBRETTOS_GUEST, "run", "--hypervisor-socket", socket_, "--wait", "1", "--log-level", "off",
                          "--name", "first", "--", STATIC_PROGRAM});
    EXPECT_EQ(guest.wait(), 1);
    EXPECT_TRUE(std::filesystem::is_empty("/run/netns"));
}

}  // namespace
}  // namespace librettos::guest
