// SPDX-License-Identifier: BSD-2-Clause
// The example that is installed: it is accepted, shows every key, and its commented values are the defaults.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "daemon/config/config.hpp"

namespace librettos {
namespace {

std::string example() {
    std::ostringstream text;
    text << std::ifstream(EXAMPLE_CONFIG).rdbuf();
    return text.str();
}

// Lines "#key = value" become "key = value".
std::string uncommented(std::string const& text) {
    std::istringstream lines(text);
    std::string result;
    for (std::string line; std::getline(lines, line);) {
        bool const setting =
            line.size() > 1 && line[0] == '#' && line[1] != ' ' && line.find(" = ") != std::string::npos;
        result += (setting ? line.substr(1) : line) + "\n";
    }
    return result;
}

TEST(Example, IsAcceptedAsItIs) {
    EXPECT_NO_THROW(parse_config(example(), "netserver.toml"));
}

TEST(Example, IsAcceptedWithEverySettingWritten) {
    EXPECT_NO_THROW(parse_config(uncommented(example()), "netserver.toml"));
}

TEST(Example, ShowsEveryKey) {
    for (char const* key : {"hypervisor",
                            "hypervisor_socket",
                            "portmap_authority",
                            "device",
                            "eal",
                            "huge_pages",
                            "memory_mib",
                            "mtu_bytes",
                            "buffers",
                            "descriptors",
                            "promiscuous",
                            "mac",
                            "ipv4",
                            "ipv6",
                            "gateway4",
                            "gateway6",
                            "vlan",
                            "unowned_tcp",
                            "unowned_udp",
                            "replies_per_s",
                            "mac_prefix",
                            "steering",
                            "bridge",
                            "server_port",
                            "pf",
                            "vfs",
                            "names",
                            "dedicated",
                            "frames_per_s",
                            "bits_per_s",
                            "ports",
                            "queues",
                            "ring_bytes",
                            "guests",
                            "threads",
                            "cores",
                            "poll_us",
                            "gro",
                            "api_socket",
                            "api_group",
                            "stats",
                            "level"}) {
        EXPECT_NE(uncommented(example()).find("\n" + std::string(key) + " = "), std::string::npos) << key;
    }
}

TEST(Example, CommentedValuesAreTheDefaults) {
    Config const shown = parse_config(uncommented(example()), "netserver.toml");
    Config const fresh;
    EXPECT_EQ(shown.hypervisor_socket, fresh.hypervisor_socket);
    EXPECT_EQ(shown.portmap_authority, fresh.portmap_authority);
    EXPECT_EQ(shown.port.memory_mib, fresh.port.memory_mib);
    EXPECT_EQ(shown.port.mtu_bytes, fresh.port.mtu_bytes);
    EXPECT_EQ(shown.port.buffers, fresh.port.buffers);
    EXPECT_EQ(shown.port.descriptors, fresh.port.descriptors);
    EXPECT_EQ(shown.network.replies_per_s, fresh.network.replies_per_s);
    EXPECT_EQ(shown.dedicated.mac_prefix, fresh.dedicated.mac_prefix);
    EXPECT_EQ(shown.attach.names, fresh.attach.names);
    EXPECT_EQ(shown.limits.ports, fresh.limits.ports);
    EXPECT_EQ(shown.limits.queues, fresh.limits.queues);
    EXPECT_EQ(shown.limits.ring_bytes, fresh.limits.ring_bytes);
    EXPECT_EQ(shown.limits.guests, fresh.limits.guests);
    EXPECT_EQ(shown.data.threads, fresh.data.threads);
    EXPECT_EQ(shown.data.poll_us, 200U);  // the least of what it is without
    EXPECT_EQ(shown.paths.api_socket, fresh.paths.api_socket);
    EXPECT_EQ(shown.paths.stats, fresh.paths.stats);
    EXPECT_EQ(shown.log.level, fresh.log.level);
}

}  // namespace
}  // namespace librettos
