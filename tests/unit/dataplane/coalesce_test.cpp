// SPDX-License-Identifier: BSD-2-Clause
// What may be merged into one frame, and what may not.
#include "daemon/engine/datapath/coalesce.hpp"

#include "daemon/engine/datapath/headers.hpp"
#include "tests/unit/dataplane/world.hpp"

namespace librettos::test {
namespace {

FrameSpec segment(std::uint32_t sequence, std::size_t payload = 1000) {
    FrameSpec spec = world->inbound(80);
    spec.protocol = protocol::tcp;
    spec.sequence = sequence;
    spec.payload_bytes = payload;
    return spec;
}

bool continued_by(Bytes const& next) {
    Bytes const first = make_frame(segment(1));
    GrowingFrame growing;
    growing.start(first, *TcpSegment::parse(first));
    auto const parsed = TcpSegment::parse(next);
    return parsed && growing.continues(next, *parsed);
}

TEST(Coalesce, NextInSequenceOfTheSameFlow) {
    EXPECT_TRUE(continued_by(make_frame(segment(1001))));
    EXPECT_TRUE(continued_by(make_frame(segment(1001, 10)))) << "a shorter last one";
    EXPECT_FALSE(continued_by(make_frame(segment(1002)))) << "a gap";
    EXPECT_FALSE(continued_by(make_frame(segment(1)))) << "seen before";
    EXPECT_FALSE(continued_by(make_frame(segment(1001, 1001)))) << "longer than the parts before";
}

TEST(Coalesce, AnythingElseThatDiffersKeepsThemApart) {
    for (auto const change : {+[](FrameSpec& s) { s.source_port++; }, +[](FrameSpec& s) { s.destination_port++; },
                              +[](FrameSpec& s) { s.source++; }, +[](FrameSpec& s) { s.source_mac.bytes[5]++; },
                              +[](FrameSpec& s) { s.tcp_flags = 0x11; }, +[](FrameSpec& s) { s.tcp_flags = 0x14; }}) {
        FrameSpec spec = segment(1001);
        change(spec);
        EXPECT_FALSE(continued_by(make_frame(spec)));
    }
    Bytes other_ttl = make_frame(segment(1001));
    other_ttl[ether_bytes + 8] = 3;
    EXPECT_FALSE(continued_by(other_ttl));
    Bytes other_acknowledgement = make_frame(segment(1001));
    other_acknowledgement[ether_bytes + ipv4_bytes + 8] = 3;
    EXPECT_FALSE(continued_by(other_acknowledgement));
}

TEST(Coalesce, AfterPushOrAShortOneNothingFollows) {
    FrameSpec pushed = segment(1);
    pushed.tcp_flags = 0x18;
    Bytes const first = make_frame(pushed);
    GrowingFrame growing;
    growing.start(first, *TcpSegment::parse(first));
    EXPECT_FALSE(growing.is_open());

    Bytes const open = make_frame(segment(1));
    growing.start(open, *TcpSegment::parse(open));
    Bytes const shorter = make_frame(segment(1001, 400));
    growing.grow(*TcpSegment::parse(shorter));
    EXPECT_FALSE(growing.is_open());
    EXPECT_EQ(growing.frame_bytes(), 54U + 1400);
    EXPECT_EQ(load_be16(growing.headers().data() + 16), 40 + 1400);
}

TEST(Coalesce, TruncationsAreNotSegments) {
    Bytes const whole = make_frame(segment(1));
    for (std::size_t length = 0; length < whole.size(); ++length) {
        EXPECT_FALSE(TcpSegment::parse(std::span(whole).first(length)));
    }
}

}  // namespace
}  // namespace librettos::test
