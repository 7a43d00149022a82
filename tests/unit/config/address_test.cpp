// SPDX-License-Identifier: BSD-2-Clause
// Addresses that must fit each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/config/text.hpp"
#include "tests/unit/config/refusal.hpp"

namespace librettos {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string with_network(std::string const& lines) {
    return refusal("port.device = \"net_null0\"\n[network]\n" + lines + "\n");
}

TEST(Network, NeedsAnAddress) {
    EXPECT_THAT(with_network("vlan = 3"), HasSubstr("network: has no address"));
}

TEST(Network, AddressesAreParsed) {
    for (char const* bad :
         {"192.0.2.1", "192.0.2.1/", "192.0.2.1/x", "192.0.2.1/24x", "192.0.2/24", "192.0.2.1/33", "192.0.2.1/0",
          "0.0.0.0/24", "127.0.0.1/8", "224.0.0.1/24", "192.0.2.0/24", "192.0.2.255/24", "/24", ""}) {
        EXPECT_THAT(with_network("ipv4 = \"" + std::string(bad) + "\""), StartsWith("f:3:")) << bad;
    }
    for (char const* bad : {"::/64", "::1/64", "ff02::1/64", "2001:db8::/64", "2001:db8::1/129", "192.0.2.1/24"}) {
        EXPECT_THAT(with_network("ipv6 = \"" + std::string(bad) + "\""), StartsWith("f:3:")) << bad;
    }
    EXPECT_EQ(with_network("ipv4 = \"192.0.2.0/31\""), "accepted");
    EXPECT_EQ(with_network("ipv4 = \"192.0.2.1/32\""), "accepted");
}

TEST(Network, GatewayIsInTheSubnet) {
    EXPECT_THAT(with_network("ipv4 = \"192.0.2.10/24\"\ngateway4 = \"192.0.3.1\""),
                AllOf(StartsWith("f:4:"), HasSubstr("outside the subnet of network.ipv4 (192.0.2.10/24)")));
    EXPECT_THAT(with_network("ipv4 = \"192.0.2.10/24\"\ngateway4 = \"192.0.2.10\""),
                HasSubstr("the shared address itself"));
    EXPECT_THAT(with_network("ipv4 = \"192.0.2.10/24\"\ngateway6 = \"fe80::1\""), HasSubstr("needs network.ipv6"));
    EXPECT_EQ(with_network("ipv6 = \"2001:db8::10/64\"\ngateway6 = \"fe80::1\""), "accepted");
    EXPECT_THAT(with_network("ipv6 = \"2001:db8::10/64\"\ngateway6 = \"2001:db9::1\""), HasSubstr("outside"));
}

TEST(Network, DedicatedPool) {
    std::string const head = "ipv4 = \"192.0.2.10/24\"\ngateway4 = \"192.0.2.1\"\n[dedicated]\nipv4 = ";
    EXPECT_EQ(with_network(head + "[\"192.0.2.11\", \"192.0.2.12\"]"), "accepted");
    EXPECT_THAT(with_network(head + "[\"192.0.2.11\", \"192.0.3.12\"]"),
                AllOf(StartsWith("f:6:23:"), HasSubstr("dedicated.ipv4[1]"), HasSubstr("outside")));
    EXPECT_THAT(with_network(head + "[\"192.0.2.10\"]"), HasSubstr("is the shared address"));
    EXPECT_THAT(with_network(head + "[\"192.0.2.1\"]"), HasSubstr("gateway's address"));
    EXPECT_THAT(with_network(head + "[\"192.0.2.255\"]"), HasSubstr("broadcast"));
    EXPECT_THAT(with_network(head + "[\"192.0.2.11\", \"192.0.2.11\"]"), HasSubstr("twice"));
    EXPECT_THAT(with_network("ipv4 = \"192.0.2.10/24\"\n[dedicated]\nipv6 = [\"2001:db8::1\"]"),
                HasSubstr("needs network.ipv6"));
    EXPECT_THAT(with_network("ipv6 = \"2001:db8::10/64\"\n[dedicated]\nipv6 = [\"2001:db8::1\", \"2001:DB8:0::1\"]"),
                HasSubstr("twice"));
}

TEST(Network, Mac) {
    for (char const* bad :
         {"02:00:00:00:00", "02:00:00:00:00:0g", "01:00:00:00:00:01", "00:00:00:00:00:00", "02-00-00-00-00-01"}) {
        EXPECT_THAT(with_network("ipv4 = \"192.0.2.10/24\"\nmac = \"" + std::string(bad) + "\""),
                    HasSubstr("unicast MAC"))
            << bad;
    }
    EXPECT_EQ(with_network("ipv4 = \"192.0.2.10/24\"\nmac = \"02:00:00:00:00:01\""), "accepted");
}

TEST(Text, NearestWord) {
    std::array<std::string_view, 3> const words{"threads", "cores", "poll_us"};
    EXPECT_EQ(nearest_word("thread", words), "threads");
    EXPECT_EQ(nearest_word("core", words), "cores");
    EXPECT_EQ(nearest_word("colour_of_the_sky", words), "");
    EXPECT_EQ(nearest_word(std::string(100'000, 'x'), words), "");
}

TEST(Text, SubnetBits) {
    auto const a = *parse_ipv4("10.1.2.3");
    EXPECT_TRUE(same_subnet(a, *parse_ipv4("10.1.3.3"), 23));
    EXPECT_FALSE(same_subnet(a, *parse_ipv4("10.1.3.3"), 24));
    EXPECT_TRUE(host_bits_are(*parse_ipv4("10.1.3.255"), 24, true));
    EXPECT_TRUE(host_bits_are(*parse_ipv4("10.1.2.0"), 23, false));
    EXPECT_FALSE(host_bits_are(*parse_ipv4("10.1.3.0"), 23, false));
}

}  // namespace
}  // namespace librettos
