// SPDX-License-Identifier: BSD-2-Clause
// Types, ranges, unknown keys, and the places that errors name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/config/refusal.hpp"

namespace librettos {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Parse, MinimumTakesDefaults) {
    Config const config = parse_config(with_minimum(""), "f");
    Config const defaults;
    EXPECT_EQ(config.port.device, "net_null0");
    EXPECT_EQ(config.port.buffers, defaults.port.buffers);
    EXPECT_EQ(config.attach.names, std::vector<std::string>{"*"});
    EXPECT_EQ(config.limits.ports, 4096U);
    EXPECT_EQ(config.network.ipv4->address, "192.0.2.10");
    EXPECT_EQ(config.network.ipv4->prefix, 24);
    EXPECT_EQ(config.network.ipv6->prefix, 64);
}

TEST(Parse, EveryKeyIsRead) {
    Config const c = parse_config(R"(
hypervisor = "local"
hypervisor_socket = "/tmp/h"
[port]
device = "0000:03:00.0"
eal = ["--log-level=8", "-n4"]
huge_pages = true
memory_mib = 512
mtu_bytes = 9000
buffers = 20000
descriptors = 512
promiscuous = true
[network]
mac = "02:00:00:00:00:01"
ipv4 = "10.0.0.5/8"
gateway4 = "10.0.0.1"
ipv6 = "2001:db8::5/48"
gateway6 = "fe80::1"
vlan = 7
unowned_tcp = "silent"
unowned_udp = "silent"
replies_per_s = 1
[dedicated]
ipv4 = ["10.0.0.6", "10.0.0.7"]
ipv6 = ["2001:db8::6"]
mac_prefix = "06:00:01"
[attach]
names = ["web-*", "db"]
dedicated = ["db"]
[limits]
frames_per_s = 5
bits_per_s = 6
ports = 7
queues = 2
ring_bytes = 65536
guests = 9
[data]
threads = 2
cores = [0, 1]
poll_us = 3
gro = false
[paths]
api_socket = "/tmp/a"
api_group = "wheel"
stats = "/tmp/s"
[log]
level = "debug"
)",
                                  "f");
    EXPECT_EQ(c.hypervisor_socket, "/tmp/h");
    EXPECT_EQ(c.port.device, "0000:03:00.0");
    EXPECT_EQ(c.port.eal, (std::vector<std::string>{"--log-level=8", "-n4"}));
    EXPECT_TRUE(c.port.huge_pages && c.port.promiscuous);
    EXPECT_EQ(c.port.memory_mib, 512U);
    EXPECT_EQ(c.port.mtu_bytes, 9000);
    EXPECT_EQ(c.port.buffers, 20000U);
    EXPECT_EQ(c.port.descriptors, 512);
    EXPECT_EQ(c.network.mac, "02:00:00:00:00:01");
    EXPECT_EQ(c.network.ipv4->prefix, 8);
    EXPECT_EQ(c.network.gateway4, "10.0.0.1");
    EXPECT_EQ(c.network.ipv6->address, "2001:db8::5");
    EXPECT_EQ(c.network.gateway6, "fe80::1");
    EXPECT_EQ(c.network.vlan, 7);
    EXPECT_EQ(c.network.unowned_tcp, "silent");
    EXPECT_EQ(c.network.unowned_udp, "silent");
    EXPECT_EQ(c.network.replies_per_s, 1U);
    EXPECT_EQ(c.dedicated.ipv4, (std::vector<std::string>{"10.0.0.6", "10.0.0.7"}));
    EXPECT_EQ(c.dedicated.ipv6, std::vector<std::string>{"2001:db8::6"});
    EXPECT_EQ(c.dedicated.mac_prefix, "06:00:01");
    EXPECT_EQ(c.attach.names, (std::vector<std::string>{"web-*", "db"}));
    EXPECT_EQ(c.attach.dedicated, std::vector<std::string>{"db"});
    EXPECT_EQ(c.limits.frames_per_s, 5U);
    EXPECT_EQ(c.limits.bits_per_s, 6U);
    EXPECT_EQ(c.limits.ports, 7U);
    EXPECT_EQ(c.limits.queues, 2);
    EXPECT_EQ(c.limits.ring_bytes, 65536U);
    EXPECT_EQ(c.limits.guests, 9U);
    EXPECT_EQ(c.data.threads, 2);
    EXPECT_EQ(c.data.cores, (std::vector<std::uint16_t>{0, 1}));
    EXPECT_EQ(c.data.poll_us, 3U);
    EXPECT_FALSE(c.data.gro);
    EXPECT_EQ(c.paths.api_socket, "/tmp/a");
    EXPECT_EQ(c.paths.api_group, "wheel");
    EXPECT_EQ(c.paths.stats, "/tmp/s");
    EXPECT_EQ(c.log.level, "debug");
}

TEST(Parse, AnEmptyListReplacesTheDefault) {
    EXPECT_TRUE(parse_config(with_minimum("[attach]\nnames = []\n"), "f").attach.names.empty());
}

TEST(Parse, SyntaxErrorNamesLineAndColumn) {
    EXPECT_THAT(refusal("[port]\ndevice = \n"), StartsWith("f:2:"));
}

TEST(Parse, UnknownKeySuggestsTheNearest) {
    EXPECT_THAT(refusal(with_minimum("[data]\npoll_ms = 3\n")),
                AllOf(StartsWith("f:7:1: unknown key \"data.poll_ms\""), HasSubstr("write \"poll_us\"")));
    EXPECT_THAT(refusal(with_minimum("[limit]\nguests = 3\n")), HasSubstr("\"limits\""));
    EXPECT_THAT(refusal(with_minimum("[data]\nzzzzzzzzzz = 3\n")),
                AllOf(HasSubstr("remove it"), HasSubstr("threads"), HasSubstr("gro")));
}

TEST(Parse, WrongTypesSayWhatToWrite) {
    EXPECT_THAT(refusal(with_minimum("[data]\nthreads = \"2\"\n")),
                AllOf(StartsWith("f:7:"), HasSubstr("data.threads: is a string"), HasSubstr("integer from 1 to 16")));
    EXPECT_THAT(refusal(with_minimum("[data]\ngro = 1\n")), HasSubstr("true or false"));
    EXPECT_THAT(refusal(with_minimum("[data]\ncores = 1\n")), HasSubstr("a list in square brackets"));
    EXPECT_THAT(refusal(with_minimum("[log]\nlevel = 3\n")), HasSubstr("a string in quotes"));
    EXPECT_THAT(refusal(with_minimum("[attach]\nnames = [\"a\", 2]\n")), HasSubstr("attach.names[1]: is an integer"));
    EXPECT_THAT(refusal("port = 3\n"), AllOf(StartsWith("f:1:"), HasSubstr("[port]")));
}

struct OutOfRange {
    char const* text;
    char const* part;
};

class Ranges : public ::testing::TestWithParam<OutOfRange> {};

TEST_P(Ranges, AreChecked) {
    EXPECT_THAT(refusal(with_minimum(GetParam().text)), AllOf(StartsWith("f:7:"), HasSubstr(GetParam().part)));
}

INSTANTIATE_TEST_SUITE_P(Values, Ranges,
                         ::testing::Values(OutOfRange{"[data]\nthreads = 0", "from 1 to 16"},
                                           OutOfRange{"[data]\nthreads = 17", "from 1 to 16"},
                                           OutOfRange{"[data]\nthreads = -1", "-1 is out of range"},
                                           OutOfRange{"[data]\npoll_us = 9223372036854775807", "out of range"},
                                           OutOfRange{"[data]\ncores = [0, 1]", "one core for each thread"},
                                           OutOfRange{"[limits]\nqueues = 17", "from 1 to 16"},
                                           OutOfRange{"[limits]\nring_bytes = 100000", "power of two"},
                                           OutOfRange{"[limits]\nring_bytes = 32768", "from 65536"},
                                           OutOfRange{"[limits]\nports = 131073", "from 0 to 131072"},
                                           OutOfRange{"[limits]\nguests = 1024", "from 1 to 1023"},
                                           OutOfRange{"[limits]\nframes_per_s = -5", "out of range"},
                                           OutOfRange{"[log]\nlevel = \"loud\"", "\"trace\", \"debug\""},
                                           OutOfRange{"[paths]\nstats = \"stats\"", "begins with /"},
                                           OutOfRange{"[paths]\nstats = \"/run/librettos/control.sock\"", "another"},
                                           OutOfRange{"[dedicated]\nmac_prefix = \"01:00:00\"", "unicast"},
                                           OutOfRange{"[attach]\nnames = [\"\"]", "shell pattern"}));

TEST(Parse, TheControlSocketHasRoomForItsUnfinishedName) {
    auto const socket = [](std::size_t bytes) {
        return with_minimum("[paths]\napi_socket = \"/" + std::string(bytes - 1, 'x') + "\"");
    };
    EXPECT_NO_THROW(parse_config(socket(99), "f"));
    EXPECT_THAT(refusal(socket(100)), HasSubstr("longer than 99 bytes"));
}

TEST(Parse, PortRules) {
    auto const port = [](std::string const& lines) {
        return refusal("[network]\nipv4 = \"192.0.2.1/24\"\n[port]\n" + lines + "\n");
    };
    EXPECT_THAT(port("mtu_bytes = 1500"), HasSubstr("port.device: is missing"));
    EXPECT_THAT(port("device = \"net_af_packet0,iface=eth1,qpairs=2\""), HasSubstr("write \"eth1\""));
    EXPECT_THAT(port("device = \"an interface\""), HasSubstr("neither a Linux interface"));
    EXPECT_EQ(port("device = \"eth1\""), "accepted");
    EXPECT_THAT(port("device = \"net_x\"\nmtu_bytes = 1279"), HasSubstr("from 1280 to 9000"));
    EXPECT_THAT(port("device = \"net_x\"\nbuffers = 2000"), HasSubstr("write at least 4096"));
    EXPECT_THAT(port("device = \"net_x\"\nmemory_mib = 32"), HasSubstr("write at least 47"));
    EXPECT_THAT(port("device = \"net_x\"\nmemory_mib = 47"), "accepted");
}

TEST(Parse, XenIsTakenWhereItIsBuilt) {
    auto const text = "hypervisor = \"xen\"\n" + with_minimum("");
#if LIBRETTOS_WITH_XEN
    EXPECT_EQ(parse_config(text, "f").hypervisor, "xen");
#else
    EXPECT_THAT(refusal(text), AllOf(StartsWith("f:1:"), HasSubstr("install libxen-dev")));
#endif
    EXPECT_THAT(refusal("hypervisor = \"kvm\"\n" + with_minimum("")), HasSubstr("\"xen\""));
}

#if LIBRETTOS_WITH_XEN
TEST(Parse, OnXenOnlyNamedDomainsAreAttached) {
    auto const names = [](std::string const& lines) {
        return parse_config("hypervisor = \"xen\"\n" + with_minimum(lines), "f").attach.names;
    };
    EXPECT_TRUE(names("").empty());
    EXPECT_EQ(names("[attach]\nnames = [\"web-*\"]"), std::vector<std::string>{"web-*"});
    EXPECT_EQ(parse_config(with_minimum(""), "f").attach.names, std::vector<std::string>{"*"});
}
#endif

TEST(Parse, SteeringNeedsItsInterfaces) {
    auto const direct = [](std::string const& lines) {
        return refusal(with_minimum("[direct]\nsteering = \"bridge\"\n" + lines));
    };
    std::string const bridge = "bridge = \"br0\"\nserver_port = \"port0\"\n";
    EXPECT_THAT(direct(bridge + "vfs = [\"vf0\", \"vf1\"]\n"), "accepted");
    EXPECT_THAT(direct(""), AllOf(HasSubstr("direct.bridge: is missing"), HasSubstr("bridge = \"br0\"")));
    EXPECT_THAT(direct("bridge = \"br0\"\n"), HasSubstr("direct.server_port: is missing"));
    EXPECT_THAT(direct(bridge), HasSubstr("direct.vfs: names 0 VFs"));
    EXPECT_THAT(direct(bridge + "vfs = [\"fifteen-letters\"]\n"), HasSubstr("write 1 to 14 characters"));
    EXPECT_THAT(direct(bridge + "vfs = [\"a b\"]\n"), HasSubstr("is no interface's name"));
    EXPECT_THAT(direct(bridge + "vfs = [\"vf0\", \"vf0\"]\n"), HasSubstr("direct.vfs[1]"));
    EXPECT_THAT(direct(bridge + "vfs = [\"vf0\", \"vf0b\"]\n"), HasSubstr("direct.vfs[1]"));
    EXPECT_THAT(direct(bridge + "vfs = [\"br0\"]\n"), HasSubstr("direct.vfs[0]"));
    EXPECT_THAT(refusal(with_minimum("vlan = 5\n[direct]\nsteering = \"bridge\"\n" + bridge + "vfs = [\"vf0\"]\n")),
                "accepted");
    EXPECT_THAT(refusal(with_minimum("[direct]\nsteering = \"sriov\"\n")), HasSubstr("\"none\", \"bridge\""));
    EXPECT_THAT(refusal(with_minimum("[direct.auto]\nenabled = true\npromote_mbps = 50\nwindow_s = 1\n")), "accepted");
    EXPECT_THAT(refusal(with_minimum("[direct.auto]\ndemote_mbps = 100\n")),
                AllOf(HasSubstr("direct.auto.demote_mbps"), HasSubstr("promote_mbps (100)")));
    EXPECT_THAT(refusal(with_minimum("[direct.auto]\ntakeover_percent = 100\n")), HasSubstr("110 to 10000"));
    EXPECT_THAT(refusal(with_minimum("[direct.auto]\ndwell = 1\n")), HasSubstr("write \"dwell_s\""));
    auto const ixgbe = [](std::string const& lines) {
        return refusal(with_minimum("[direct]\nsteering = \"ixgbe\"\n" + lines));
    };
    EXPECT_THAT(ixgbe("vfs = [\"0000:01:10.0\", \"0000:01:1f.7\"]\nrate_mbps = 100\n"), "accepted");
    EXPECT_THAT(ixgbe(""), AllOf(HasSubstr("direct.vfs: names 0 VFs"), HasSubstr("0000:01:10.0")));
    EXPECT_THAT(ixgbe("vfs = [\"0000:01:10.8\"]\n"), HasSubstr("direct.vfs[0]: \"0000:01:10.8\" is no PCI address"));
    EXPECT_THAT(ixgbe("vfs = [\"vf0\"]\n"), HasSubstr("is no PCI address"));
    EXPECT_THAT(ixgbe("vfs = [\"0000:01:10.0\", \"0000:01:10.0\"]\n"), HasSubstr("direct.vfs[1]"));
    EXPECT_THAT(ixgbe("vfs = [\"0000:01:10.0\"]\nrate_mbps = 10001\n"), HasSubstr("direct.rate_mbps"));
    auto const kernel = [](std::string const& lines) {
        return refusal(with_minimum("[direct]\nsteering = \"kernel\"\n" + lines));
    };
    EXPECT_THAT(kernel("pf = \"eth1\"\nvfs = [\"0000:01:10.0\"]\n"), "accepted");
    EXPECT_THAT(kernel("vfs = [\"0000:01:10.0\"]\n"), AllOf(HasSubstr("direct.pf: is missing"), HasSubstr("eth1")));
    EXPECT_THAT(kernel("pf = \"a/b\"\nvfs = [\"0000:01:10.0\"]\n"), HasSubstr("is no interface's name"));
    EXPECT_THAT(kernel("pf = \"eth1\"\nvfs = [\"vf0\"]\n"), HasSubstr("is no PCI address"));
}

TEST(Parse, ZeroBytesInStringsAreRefused) {
    EXPECT_THAT(refusal(with_minimum("[paths]\nstats = \"/a\\u0000b\"\n")), HasSubstr("zero byte"));
}

TEST(Load, MissingFileAndDirectory) {
    std::string const missing = "/nonexistent/netserver.toml";
    EXPECT_THAT([&] { load_config(missing); },
                ::testing::ThrowsMessage<ConfigError>(
                    AllOf(StartsWith(missing + ": cannot be read"), HasSubstr("No such file"), HasSubstr("--config"))));
    EXPECT_THROW(load_config("/"), ConfigError);
}

TEST(Load, EmptyFileIsReportedByWhatItLacks) {
    auto const path = std::filesystem::temp_directory_path() / ("librettos-config-" + std::to_string(getpid()));
    std::ofstream(path).close();
    EXPECT_THAT([&] { load_config(path); },
                ::testing::ThrowsMessage<ConfigError>(HasSubstr("port.device: is missing")));
    std::filesystem::remove(path);
}

}  // namespace
}  // namespace librettos
