// SPDX-License-Identifier: BSD-2-Clause
#include "text.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

namespace {

TEST(Text, numbers_are_strict) {
    std::uint32_t number = 0;
    EXPECT_TRUE(lvif_parse_number("0", 0, &number));
    EXPECT_TRUE(lvif_parse_number("4294967295", UINT32_MAX, &number));
    EXPECT_EQ(number, UINT32_MAX);
    number = 17;
    for (char const* wrong : {"", " 1", "1 ", "01", "00", "+1", "-1", "1a", "0x1", "4294967296", "1\n",
                              "99999999999999999999999999999999999999", "18446744073709551616"}) {
        EXPECT_FALSE(lvif_parse_number(wrong, UINT32_MAX, &number)) << wrong;
        EXPECT_EQ(number, 17U) << "left alone";
    }
    EXPECT_FALSE(lvif_parse_number("10", 9, &number));
}

TEST(Text, appends_whole_or_not_at_all) {
    char bytes[8];
    lvif_text text = lvif_text_begin(bytes, sizeof bytes);
    EXPECT_TRUE(lvif_text_append(&text, "abc"));
    EXPECT_FALSE(lvif_text_append(&text, "defgh"));
    EXPECT_STREQ(bytes, "abc");
    EXPECT_TRUE(lvif_text_append_number(&text, 1234));
    EXPECT_STREQ(bytes, "abc1234");
    EXPECT_FALSE(lvif_text_append_number(&text, 0));
    char wide[16];
    text = lvif_text_begin(wide, sizeof wide);
    EXPECT_TRUE(lvif_text_append_number(&text, UINT32_MAX));
    EXPECT_STREQ(wide, "4294967295");
}

// The C library's parser is the judge; ours is stricter only where it says so.
TEST(Text, ipv6_agrees_with_inet_pton) {
    auto const seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::string const alphabet = "::::0123abf9";
    int valid = 0;
    for (int i = 0; i < 200000; i++) {
        std::string text;
        if (i % 2 == 0) {
            for (std::size_t n = random() % 12; n > 0; n--)
                text += alphabet[random() % alphabet.size()];
        } else {
            std::uint8_t address[16];
            for (auto& byte : address)
                byte = random() % 2 == 0 ? 0 : static_cast<std::uint8_t>(random());
            char printed[INET6_ADDRSTRLEN];
            text = inet_ntop(AF_INET6, address, printed, sizeof printed);
            if (text.find('.') != std::string::npos)
                continue;  // dotted tails are not taken
            if (random() % 4 == 0)
                text[random() % text.size()] = alphabet[random() % alphabet.size()];
        }
        std::uint8_t expected[16];
        std::uint8_t parsed[16];
        bool const ok = inet_pton(AF_INET6, text.c_str(), expected) == 1;
        ASSERT_EQ(lvif_parse_ipv6(text.c_str(), parsed), ok) << text;
        if (ok) {
            ASSERT_EQ(std::memcmp(parsed, expected, 16), 0) << text;
            valid++;
        }
    }
    EXPECT_GT(valid, 10000);
}

TEST(Text, ipv4_agrees_with_inet_pton) {
    auto const seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::string const alphabet = "...012259";
    int valid = 0;
    for (int i = 0; i < 200000; i++) {
        std::string text;
        for (int part = 0; part < 4; part++)
            text += (part > 0 ? "." : "") + std::to_string(random() % 300);
        if (random() % 2 == 0)
            text[random() % text.size()] = alphabet[random() % alphabet.size()];
        std::uint8_t expected[4];
        std::uint8_t parsed[4];
        bool const ok = inet_pton(AF_INET, text.c_str(), expected) == 1;
        ASSERT_EQ(lvif_parse_ipv4(text.c_str(), parsed), ok) << text;
        if (ok) {
            ASSERT_EQ(std::memcmp(parsed, expected, 4), 0) << text;
            valid++;
        }
    }
    EXPECT_GT(valid, 10000);
}

TEST(Text, printable_copy_is_bounded) {
    char to[4];
    char const from[6] = {'a', '\x1b', 'c', 'd', 'e', 'f'};
    lvif_text_copy_printable(to, sizeof to, from, sizeof from);
    EXPECT_STREQ(to, "a?c");
    lvif_text_copy_printable(to, sizeof to, from, 1);
    EXPECT_STREQ(to, "a");
}

}  // namespace
