// SPDX-License-Identifier: BSD-2-Clause
// Off-load fields between TAP frames and ring records, and those that do not fit their frame.
#include "guest-frontend/linux/virtio_header.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace librettos::guest {
namespace {

constexpr std::uint16_t tcp_start = 34;

std::vector<std::uint8_t> tcp_frame(std::size_t bytes, std::uint8_t tcp_words) {
    std::vector<std::uint8_t> frame(bytes);
    frame[tcp_start + 12] = static_cast<std::uint8_t>(tcp_words << 4);
    return frame;
}

VirtioHeader large_segment() {
    return {VirtioHeader::needs_csum, VirtioHeader::gso_tcp4, 1500, 1448, tcp_start, 16};
}

TEST(ToRing, PassesAnOrdinaryFrame) {
    lvif_offload offload{};
    EXPECT_TRUE(to_ring({}, std::vector<std::uint8_t>(60), offload));
    EXPECT_EQ(offload.flags, 0);
}

TEST(ToRing, TakesTheEndOfTheTcpHeaderFromTheFrame) {
    lvif_offload offload{};
    ASSERT_TRUE(to_ring(large_segment(), tcp_frame(20000, 8), offload));
    EXPECT_EQ(offload.flags, LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4);
    EXPECT_EQ(offload.csum_start, tcp_start);
    EXPECT_EQ(offload.csum_offset, 16);
    EXPECT_EQ(offload.gso_size, 1448);
    EXPECT_EQ(offload.header_length, tcp_start + 32);
    VirtioHeader six = large_segment();
    six.gso_type = VirtioHeader::gso_tcp6;
    ASSERT_TRUE(to_ring(six, tcp_frame(20000, 5), offload));
    EXPECT_EQ(offload.flags, LVIF_CSUM_PARTIAL | LVIF_GSO_TCP6);
    EXPECT_EQ(offload.header_length, tcp_start + 20);
}

TEST(ToRing, RefusesWhatWasNotAgreedOrDoesNotFit) {
    lvif_offload offload{};
    VirtioHeader udp = large_segment();
    udp.gso_type = 3;
    EXPECT_FALSE(to_ring(udp, tcp_frame(20000, 5), offload));
    VirtioHeader no_checksum = large_segment();
    no_checksum.flags = 0;
    EXPECT_FALSE(to_ring(no_checksum, tcp_frame(20000, 5), offload));
    EXPECT_FALSE(to_ring(large_segment(), tcp_frame(20000, 4), offload)) << "TCP header shorter than 20 bytes";
    EXPECT_FALSE(to_ring(large_segment(), tcp_frame(60, 15), offload)) << "TCP header beyond the frame";
    EXPECT_FALSE(to_ring({VirtioHeader::needs_csum, 0, 0, 0, 59, 0}, std::vector<std::uint8_t>(60), offload));
    EXPECT_TRUE(to_ring({VirtioHeader::needs_csum, 0, 0, 0, 58, 0}, std::vector<std::uint8_t>(60), offload));
}

TEST(ToKernel, TranslatesWhatFits) {
    VirtioHeader header{};
    EXPECT_TRUE(to_kernel({}, 60, header));
    EXPECT_EQ(header.flags, 0);
    EXPECT_TRUE(to_kernel({LVIF_CSUM_OK, 0, 0, 0, 0}, 60, header));
    EXPECT_EQ(header.flags, VirtioHeader::data_valid);
    ASSERT_TRUE(to_kernel({LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4, tcp_start, 16, 1448, tcp_start + 32}, 30000, header));
    EXPECT_EQ(header.flags, VirtioHeader::needs_csum);
    EXPECT_EQ(header.gso_type, VirtioHeader::gso_tcp4);
    EXPECT_EQ(header.gso_size, 1448);
    EXPECT_EQ(header.hdr_len, tcp_start + 32);
    EXPECT_EQ(header.csum_start, tcp_start);
    EXPECT_EQ(header.csum_offset, 16);
}

TEST(ToKernel, RefusesWhatLies) {
    constexpr std::uint16_t gso4 = LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4;
    std::vector<std::pair<lvif_offload, std::uint32_t>> const lies = {
        {{LVIF_CSUM_PARTIAL, 65535, 65535, 0, 0}, 65535},
        {{LVIF_CSUM_PARTIAL, 50, 9, 0, 0}, 60},
        {{LVIF_CSUM_PARTIAL, 0, 16, 0, 0}, 60},
        {{LVIF_GSO_TCP4, tcp_start, 16, 1448, 54}, 3000},
        {{gso4, tcp_start, 16, 0, 54}, 3000},
        {{gso4, tcp_start, 6, 1448, 54}, 3000},
        {{gso4, tcp_start, 16, 1448, 53}, 3000},
        {{gso4, tcp_start, 16, 1448, 3001}, 3000},
        {{gso4, 20, 16, 1448, 54}, 3000},
        {{gso4 | LVIF_GSO_TCP6, tcp_start, 16, 1448, 54}, 3000},
        {{LVIF_CSUM_PARTIAL | LVIF_GSO_TCP6, tcp_start, 16, 1448, 54}, 3000},
    };
    for (std::size_t i = 0; i < lies.size(); ++i) {
        VirtioHeader header{};
        EXPECT_FALSE(to_kernel(lies[i].first, lies[i].second, header)) << i;
    }
}

}  // namespace
}  // namespace librettos::guest
