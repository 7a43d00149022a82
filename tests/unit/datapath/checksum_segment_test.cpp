// SPDX-License-Identifier: BSD-2-Clause
// Checksums and segments against those that scapy makes.
#include <gtest/gtest.h>

#include "daemon/engine/datapath/checksum.hpp"
#include "daemon/engine/datapath/headers.hpp"
#include "daemon/engine/datapath/segment.hpp"
#include "tests/unit/datapath/corpus.hpp"

namespace librettos::test {

namespace {

class ScapyFrames : public testing::Test {
  protected:
    void SetUp() override {
        std::string why;
        corpus_ = corpus(why);
        if (corpus_ == nullptr) {
            GTEST_SKIP() << why;
        }
    }
    nlohmann::json const* corpus_ = nullptr;
};

}  // namespace

TEST_F(ScapyFrames, ChecksumsAgree) {
    for (auto const& text : (*corpus_)["checksums"]) {
        Bytes packet = from_hex(text["packet"].get<std::string>());
        std::size_t const field = text["field"];
        ASSERT_TRUE(packet_checksums_ok(packet)) << text;
        for (std::size_t at : {field, packet.size() - 1}) {
            packet[at] ^= 0x40;
            EXPECT_FALSE(packet_checksums_ok(packet)) << text;
            packet[at] ^= 0x40;
        }
    }
}

TEST_F(ScapyFrames, PartialChecksumsAreCompleted) {
    for (auto const& text : (*corpus_)["checksums"]) {
        Bytes const packet = from_hex(text["packet"].get<std::string>());
        bool const v4 = packet[0] >> 4 == 4;
        std::size_t const start = v4 ? 20 : 40;
        std::uint8_t const transport = v4 ? packet[9] : packet[6];
        auto const length = static_cast<std::uint32_t>(packet.size() - start);
        std::span<std::uint8_t const> const all(packet);
        bool const pseudo = transport != protocol::icmp;
        std::uint64_t const sum = !pseudo ? 0
                                  : v4    ? pseudo_header_sum(all.subspan(12, 4), all.subspan(16, 4), transport, length)
                                       : pseudo_header_sum(all.subspan(8, 16), all.subspan(24, 16), transport, length);
        Bytes partial = packet;
        std::size_t const field = text["field"];
        checksum_store(partial.data() + field, checksum_fold(sum));
        ASSERT_TRUE(complete_checksum(partial, start, field - start));
        EXPECT_EQ(partial, packet);
    }
}

TEST(Checksum, FieldsOutsideTheFrameAreRefused) {
    Bytes frame(60, 0xff);
    Bytes const before = frame;
    EXPECT_FALSE(complete_checksum(frame, 60, 0));
    EXPECT_FALSE(complete_checksum(frame, 59, 0));
    EXPECT_FALSE(complete_checksum(frame, 34, 25));
    EXPECT_FALSE(complete_checksum(frame, 65535, 65535));
    EXPECT_EQ(frame, before);
    EXPECT_TRUE(complete_checksum(frame, 34, 24));
}

TEST(Checksum, EveryLengthAndAlignmentSumsLikeWordByWord) {
    Bytes bytes(400);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::uint8_t>(i * 97 + 255);
    }
    for (std::size_t start = 0; start < 9; ++start) {
        for (std::size_t length = 0; length < 300; ++length) {
            std::uint32_t plain = 0;
            for (std::size_t i = 0; i < length; ++i) {
                plain += static_cast<std::uint32_t>(bytes[start + i]) << (i % 2 == 0 ? 8 : 0);
            }
            plain = (plain & 0xffff) + (plain >> 16);
            plain = (plain & 0xffff) + (plain >> 16);
            std::uint8_t stored[2];
            checksum_store(stored, checksum_fold(checksum_add(std::span(bytes).subspan(start, length))));
            ASSERT_EQ(load_be16(stored), plain) << start << " " << length;
        }
    }
}

TEST(Checksum, UpdateIsWhatANewSumWouldBe) {
    for (std::uint32_t word = 0; word < 65536; word += 251) {
        std::uint8_t bytes[6] = {0x12, 0x34, 0, 0, 0xfe, 0xdc};
        store_be16(bytes + 2, static_cast<std::uint16_t>(word));
        std::uint8_t before[2];
        checksum_store(before, checksum_finish(checksum_add(bytes)));
        store_be16(bytes + 2, 0xbeef);
        std::uint8_t after[2];
        checksum_store(after, checksum_finish(checksum_add(bytes)));
        EXPECT_EQ(checksum_update(load_be16(before), static_cast<std::uint16_t>(word), 0xbeef), load_be16(after));
    }
}

TEST_F(ScapyFrames, SegmentsAreThoseOfScapy) {
    for (auto const& text : (*corpus_)["segments"]) {
        SCOPED_TRACE(text["name"].get<std::string>());
        Bytes frame = from_hex(text["frame"].get<std::string>());
        std::size_t const plain_bytes = frame.size();
        frame.resize(plain_bytes + (plain_bytes < 100 ? 6 : 0));  // Ethernet padding is not payload
        auto const segmenter = Segmenter::make(frame, text["gso_size"].get<std::uint16_t>());
        ASSERT_TRUE(segmenter.has_value());
        ASSERT_EQ(segmenter->count(), text["segments"].size());
        EXPECT_EQ(segmenter->count(),
                  segment_count(plain_bytes, segmenter->header_bytes(), text["gso_size"].get<std::size_t>()));
        for (std::size_t i = 0; i < segmenter->count(); ++i) {
            Bytes const expected = from_hex(text["segments"][i].get<std::string>());
            Bytes out(segmenter->segment_bytes(i));
            ASSERT_EQ(segmenter->write(i, out), expected.size());
            EXPECT_EQ(to_hex(out), to_hex(expected)) << "segment " << i;
            Bytes small(out.size() - 1);
            EXPECT_EQ(segmenter->write(i, small), 0u);
        }
    }
}

TEST_F(ScapyFrames, BrokenFramesAreNotSegmented) {
    auto const& text = (*corpus_)["segments"][4];
    Bytes const frame = from_hex(text["frame"].get<std::string>());
    EXPECT_FALSE(Segmenter::make(frame, 0).has_value());
    for (std::size_t cut = 0; cut < frame.size(); ++cut) {
        Bytes const part(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(cut));
        EXPECT_FALSE(Segmenter::make(part, 500).has_value()) << cut;
    }
    for (auto const& [at, value] : std::vector<std::pair<std::size_t, std::uint8_t>>{
             {12, 9}, {14, 0x44}, {14, 0x65}, {17, 30}, {20, 0x20}, {21, 1}, {23, 17}, {46, 0x40}}) {
        Bytes broken = frame;
        broken[at] = value;
        EXPECT_FALSE(Segmenter::make(broken, 500).has_value()) << at;
    }
}

}  // namespace librettos::test
