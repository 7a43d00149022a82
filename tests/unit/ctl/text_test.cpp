// SPDX-License-Identifier: BSD-2-Clause
// Units, tables, quantities, and text that must not reach the terminal as it is.
#include "daemon/ctl/text.hpp"

#include <gtest/gtest.h>

namespace librettos::ctl {
namespace {

TEST(Text, Duration) {
    EXPECT_EQ(duration(0), "0 s");
    EXPECT_EQ(duration(59), "59 s");
    EXPECT_EQ(duration(60), "1 min");
    EXPECT_EQ(duration(7385), "2 h 3 min");
    EXPECT_EQ(duration(7200), "2 h");
    EXPECT_EQ(duration(90061), "1 d 1 h");
}

TEST(Text, Numbers) {
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(1000), "1,000");
    EXPECT_EQ(grouped(UINT64_MAX), "18,446,744,073,709,551,615");
    EXPECT_EQ(counted(1, "guest"), "1 guest");
    EXPECT_EQ(counted(0, "guest"), "0 guests");
    EXPECT_EQ(counted(1, "watch"), "1 watch");
    EXPECT_EQ(counted(2, "watch"), "2 watches");
    EXPECT_EQ(bit_rate(1.5e9), "1.50 Gbit/s");
    EXPECT_EQ(bit_rate(10e9), "10.0 Gbit/s");
    EXPECT_EQ(bit_rate(999), "999 bit/s");
    EXPECT_EQ(frame_rate(14'880'952), "14.9 M/s");
    EXPECT_EQ(byte_size(262144), "256 KiB");
    EXPECT_EQ(byte_size(1000), "1000 bytes");
}

TEST(Text, Quantity) {
    EXPECT_EQ(parse_quantity("0"), 0U);
    EXPECT_EQ(parse_quantity("250"), 250U);
    EXPECT_EQ(parse_quantity("10M"), 10'000'000U);
    EXPECT_EQ(parse_quantity("1.5G"), 1'500'000'000U);
    EXPECT_EQ(parse_quantity("250k"), 250'000U);
    EXPECT_EQ(parse_quantity("0.001k"), 1U);
    EXPECT_EQ(parse_quantity("18446744073709551615"), UINT64_MAX);
    for (auto const* bad : {"", "M", "-1", "+1", " 1", "1 ", "1.5", "1.", ".5M", "1.5x", "1e3", "0.0001k", "10MM",
                            "1.2.3M", "18446744073709551616", "18446744073709552k", "99999999T"})
        EXPECT_EQ(parse_quantity(bad), std::nullopt) << bad;
}

TEST(Text, PrintableKeepsTextAndStopsControlCharacters) {
    EXPECT_EQ(printable("Zürich ok"), "Zürich ok");
    EXPECT_EQ(printable("a\x1b[2Jb\nc\x7f"), "a?[2Jb?c?");
    EXPECT_EQ(printable("\xc2\x9b"
                        "31m"),
              "??31m")
        << "an 8-bit control sequence";
    EXPECT_EQ(printable("x\xff\xc3"), "x??");
}

TEST(Text, TableAlignsColumns) {
    Table table{{{"NAME"}, {"COUNT", Table::Align::right}, {"TEXT"}}};
    table.add({"ü", "12,345", "long text"});
    table.add({"abcdef", "1", ""});
    EXPECT_EQ(table.text(Style{false}),
              "NAME     COUNT  TEXT\n"
              "ü       12,345  long text\n"
              "abcdef       1  -\n");
}

TEST(Text, ColoursOnlyWhenAskedFor) {
    EXPECT_EQ(Style{false}.paint(Tone::bad, "x"), "x");
    EXPECT_EQ(Style{true}.paint(Tone::bad, "x"), "\x1b[1;31mx\x1b[0m");
    EXPECT_EQ(Style{true}.paint(Tone::plain, "x"), "x");
}

}  // namespace
}  // namespace librettos::ctl
