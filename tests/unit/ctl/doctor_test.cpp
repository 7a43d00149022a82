// SPDX-License-Identifier: BSD-2-Clause
// `doctor`: what it looks at, what it prints, and that it needs no server. `attach` with an address.
#include <sys/socket.h>
#include <sys/un.h>

#include <fstream>

#include "drivers/kernel_check.hpp"
#include "tests/unit/ctl/samples.hpp"

namespace librettos::test {
namespace {

class DoctorTest : public ProgramTest {
  protected:
    void configure(std::string const& first_lines, std::string const& device = "net_null0") {
        std::ofstream(folder_.file("config"))
            << first_lines << "[port]\ndevice = \"" << device << "\"\n[network]\nipv4 = \"192.0.2.10/24\"\n";
    }
    std::string socket_line() const { return "hypervisor_socket = \"" + folder_.file("hypervisor") + "\"\n"; }
    void listen_there() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        folder_.file("hypervisor").copy(address.sun_path, sizeof address.sun_path - 1);
        listening_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        ASSERT_EQ(listen(listening_, 4), 0);
    }
    ~DoctorTest() override {
        if (listening_ >= 0)
            close(listening_);
    }
    Output doctor(bool json = false) const {
        std::vector<std::string> arguments{"doctor", "--config", folder_.file("config")};
        if (json)
            arguments.emplace_back("--json");
        return run(arguments);
    }

    int listening_ = -1;
};

TEST_F(DoctorTest, AllIsWell) {
    configure(socket_line());
    listen_there();
    auto const result = doctor();
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, "good     configuration: " + folder_.file("config") + "\ngood     kernel: Linux " +
                              kernel_release() + "\ngood     librettos-hypervisord: listens at " +
                              folder_.file("hypervisor") + "\n");
}

TEST_F(DoctorTest, WhatIsMissingComesWithItsCommand) {
    configure(socket_line(), "nosuch0");
    auto const text = lines(doctor().out);
    EXPECT_EQ(doctor().status, 4);
    ASSERT_EQ(text.size(), 6U);
    EXPECT_EQ(text[2],
              "bad      interface: there is no interface nosuch0 for port.device "
              "\"nosuch0\" in this network namespace");
    EXPECT_EQ(text[3], "         see those there are with: ip link");
    EXPECT_EQ(text[5], "         systemctl start librettos-hypervisord");
}

TEST_F(DoctorTest, Json) {
    configure(socket_line());
    auto const result = doctor(true);
    EXPECT_EQ(result.status, 4);
    auto const checks = Json::parse(result.out).at("result").at("checks");
    ASSERT_EQ(checks.size(), 3U);
    EXPECT_EQ(
        checks[0],
        (Json{{"name", "configuration"}, {"verdict", "good"}, {"found", folder_.file("config")}, {"mend", nullptr}}));
    EXPECT_EQ(checks[2].at("verdict"), "bad");
    EXPECT_EQ(checks[2].at("mend"), "systemctl start librettos-hypervisord");
}

TEST_F(DoctorTest, BrokenConfigurationIsTheFirstFinding) {
    configure("hypervisor = \"none\"\n");
    auto const result = doctor();
    EXPECT_EQ(result.status, 4);
    EXPECT_TRUE(result.out.starts_with("bad      configuration: " + folder_.file("config") + ":1:")) << result.out;
    EXPECT_EQ(lines(result.out).size(), 2U);
}

TEST(Kernel, OldOnesAreRefused) {
    for (char const* const release : {"5.10.0-28-amd64", "4.19.0", "5.9", ""}) {
        auto const check = check_kernel(release);
        EXPECT_EQ(check.verdict, StartCheck::Verdict::bad) << release;
        EXPECT_TRUE(check.found.starts_with("Linux " + std::string(release) + " is too old: ")) << check.found;
        EXPECT_EQ(check.mend, "boot Linux 5.11 or newer");
    }
    for (char const* const release : {"5.11.0", "5.15.0-91-generic", "6.1.0-28-amd64", "10.0"})
        EXPECT_EQ(check_kernel(release).verdict, StartCheck::Verdict::good) << release;
}

TEST_F(DoctorTest, XenIsLookedForWhereItIsConfigured) {
    configure("hypervisor = \"xen\"\n");
    if (std::filesystem::exists("/sys/hypervisor/type"))
        GTEST_SKIP() << "this is a Xen domain";
    auto const result = doctor();
    EXPECT_EQ(result.status, 4);
    EXPECT_NE(result.out.find("\"local\""), std::string::npos) << result.out;
}

TEST_F(DoctorTest, AttachTellsTheServerWhatAddress) {
    serve_result({{"guest", "web"}, {"made", true}});
    EXPECT_EQ(run({"attach", "web", "--ip", "192.0.2.20"}).out, "web has a device now\n");
    EXPECT_EQ(
        only_request(),
        (Json{{"schema", 1}, {"command", "attach"}, {"guest", "web"}, {"mode", "dedicated"}, {"ipv4", "192.0.2.20"}}));
    EXPECT_EQ(run({"attach", "web", "--ip", "192.0.2.20", "--shared"}).status, 2);
    EXPECT_EQ(run({"attach", "web", "--ip", "192.0.2"}).status, 2);
    EXPECT_EQ(run({"attach", "web", "--dedicated", "--shared"}).status, 2);
}

}  // namespace
}  // namespace librettos::test
