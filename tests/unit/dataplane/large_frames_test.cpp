// SPDX-License-Identifier: BSD-2-Clause
#include <librettos/handshake.h>
#include <rte_ethdev.h>

#include <cstring>

#include "daemon/engine/datapath/checksum.hpp"
#include "daemon/engine/datapath/headers.hpp"
#include "tests/unit/dataplane/one_thread.hpp"

namespace librettos::test {
namespace {

constexpr std::size_t headers = ether_bytes + ipv4_bytes + tcp_bytes;
constexpr std::uint16_t mss = 1460;
constexpr std::uint32_t takes_all = LVIF_F_ALL;

Bytes large(FrameSpec spec, std::size_t payload) {
    spec.protocol = protocol::tcp;
    spec.payload_bytes = payload;
    Bytes frame = make_frame(spec);
    for (std::size_t i = headers; i < frame.size(); ++i) {
        frame[i] = static_cast<std::uint8_t>(i * 31 >> 3);
    }
    return frame;
}

lvif_record tso(std::uint16_t gso_size) {
    lvif_record record{};
    record.flags = LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4;
    record.csum_start = ether_bytes + ipv4_bytes;
    record.csum_offset = 16;
    record.gso_size = gso_size;
    record.header_length = headers;
    return record;
}

Bytes content(rte_mbuf const* buffer) {
    Bytes bytes;
    for (; buffer != nullptr; buffer = buffer->next) {
        auto const* const at = rte_pktmbuf_mtod(buffer, std::uint8_t const*);
        bytes.insert(bytes.end(), at, at + buffer->data_len);
    }
    return bytes;
}

// As a port that merges gives it: in pieces.
rte_mbuf* merged(Bytes const& frame, std::uint16_t segment_bytes, std::size_t piece = 1500) {
    rte_mbuf* head = nullptr;
    for (std::size_t at = 0; at < frame.size(); at += piece) {
        rte_mbuf* const buffer = rte_pktmbuf_alloc(world->pool());
        auto const length = static_cast<std::uint16_t>(std::min(piece, frame.size() - at));
        std::memcpy(rte_pktmbuf_append(buffer, length), frame.data() + at, length);
        if (head == nullptr) {
            head = buffer;
        } else {
            rte_pktmbuf_chain(head, buffer);
        }
    }
    head->ol_flags = RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE;
    head->tso_segsz = segment_bytes;
    return head;
}

class LargeFrames : public DataThreadTest {
  protected:
    void SetUp() override {
        DataThreadTest::SetUp();
        world->port.tx_tso = true;
    }
    void TearDown() override {
        world->port.tx_tso = false;
        DataThreadTest::TearDown();
        EXPECT_EQ(world->buffers_in_use(), 0U);
    }
};

TEST_F(LargeFrames, OfAGuestGoToThePortWhole) {
    TestGuest& guest = serve(1, takes_all, {80});
    Bytes const frame = large(world->outbound(80), 30'000);
    ASSERT_TRUE(guest.send(frame, tso(mss)));
    turn();
    rte_mbuf* const sent = world->take_sent();
    ASSERT_NE(sent, nullptr);
    EXPECT_EQ(world->take_sent(), nullptr);
    EXPECT_EQ(content(sent), frame);
    EXPECT_EQ(sent->pkt_len, frame.size());
    EXPECT_EQ(sent->nb_segs, (frame.size() + 2047) / 2048);
    EXPECT_EQ(sent->ol_flags, RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4);
    EXPECT_EQ(sent->l2_len, ether_bytes);
    EXPECT_EQ(sent->l3_len, ipv4_bytes);
    EXPECT_EQ(sent->l4_len, tcp_bytes);
    EXPECT_EQ(sent->tso_segsz, mss);
    EXPECT_EQ(world->count(1, Counter::segmented_frames), 0U);
    rte_pktmbuf_free(sent);
}

TEST_F(LargeFrames, OfAGuestAreTaggedForTheWiresVlan) {
    network_.vlan = 7;
    TestGuest& guest = serve(1, takes_all, {80});
    Bytes const frame = large(world->outbound(80), 5000);
    guest.send(frame, tso(mss));
    turn();
    rte_mbuf* const sent = world->take_sent();
    ASSERT_NE(sent, nullptr);
    Bytes const tagged = content(sent);
    EXPECT_EQ(sent->l2_len, ether_bytes + vlan_tag_bytes);
    EXPECT_EQ(sent->pkt_len, frame.size() + vlan_tag_bytes);
    EXPECT_EQ(load_be32(tagged.data() + 12), 0x81000007U);
    EXPECT_EQ(Bytes(tagged.begin() + 16, tagged.end()), Bytes(frame.begin() + 12, frame.end()));
    rte_pktmbuf_free(sent);
}

TEST_F(LargeFrames, ThatNoPortShouldCutAreCutInSoftware) {
    TestGuest& guest = serve(1, takes_all, {80});
    guest.send(large(world->outbound(80), 2000), tso(100));
    turn();
    EXPECT_EQ(world->sent().size(), 20U);
    EXPECT_EQ(world->count(1, Counter::segmented_frames), 1U);
}

TEST_F(LargeFrames, WhoseSegmentsDoNotFitTheWireAreDropped) {
    TestGuest& guest = serve(1, takes_all, {80});
    guest.send(large(world->outbound(80), 9000), tso(1800));
    turn();
    EXPECT_TRUE(world->sent().empty());
    EXPECT_EQ(world->count(1, Counter::drop_bad_offload), 1U);
}

TEST_F(LargeFrames, WithoutEnoughBuffersAreDroppedAndLoseNone) {
    TestGuest& guest = serve(1, takes_all, {80});
    std::vector<rte_mbuf*> taken;
    while (rte_mbuf* const buffer = rte_pktmbuf_alloc(world->pool())) {
        taken.push_back(buffer);
    }
    constexpr std::size_t left = 64 + 8;  // the thread takes 64 at once
    for (std::size_t i = 0; i < left; ++i) {
        rte_pktmbuf_free(taken.back());
        taken.pop_back();
    }
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(guest.send(large(world->outbound(80), 30'000), tso(mss)));
        turn();
    }
    EXPECT_GT(world->count(1, Counter::drop_no_memory), 0U);
    for (rte_mbuf* const buffer : taken) {
        rte_pktmbuf_free(buffer);
    }
    world->sent();
}

TEST_F(LargeFrames, HalfBuiltWhenAnEngineDiedAreGivenBack) {
    InFlight& thread = *world->boot(1).in_flight;
    thread.building = merged(Bytes(9000), 0);
    EXPECT_GT(world->buffers_in_use(), 0U);
    start();
    EXPECT_EQ(thread.building, nullptr);
}

TEST_F(LargeFrames, OfTheWireReachAGuestThatTakesThemWhole) {
    TestGuest& guest = serve(1, takes_all, {80});
    Bytes const frame = large(world->inbound(80), 20'000);
    world->arrive(merged(frame, mss));
    turn();
    auto const received = guest.receive();
    ASSERT_EQ(received.size(), 1U);
    lvif_record const expected = tso(mss);
    lvif_record const& record = received[0].record;
    EXPECT_EQ(record.flags, expected.flags);
    EXPECT_EQ(record.csum_start, expected.csum_start);
    EXPECT_EQ(record.csum_offset, expected.csum_offset);
    EXPECT_EQ(record.gso_size, expected.gso_size);
    EXPECT_EQ(record.header_length, expected.header_length);
    Bytes completed = received[0].frame;
    ASSERT_EQ(completed.size(), frame.size());
    EXPECT_TRUE(complete_checksum(completed, record.csum_start, record.csum_offset));
    EXPECT_TRUE(checksums_hold(completed));
    EXPECT_EQ(Bytes(completed.begin() + headers, completed.end()), Bytes(frame.begin() + headers, frame.end()));
}

// Cut: for a guest without segmentation, and for one whose ring takes no frame so large.
TEST_F(LargeFrames, OfTheWireAreCutForAGuestThatDoesNotTakeThem) {
    struct {
        std::uint32_t features;
        std::size_t payload;
    } const cases[] = {{0, 10'000}, {takes_all, 40'000}};
    std::uint16_t domain = 1;
    for (auto const& [features, payload] : cases) {
        SCOPED_TRACE(payload);
        auto const port = static_cast<std::uint16_t>(80 + domain);
        TestGuest& guest = serve(domain, features, {port});
        Bytes const frame = large(world->inbound(port), payload);
        world->arrive(merged(frame, mss));
        turn();
        auto const received = guest.receive();
        EXPECT_EQ(received.size(), (payload + mss - 1) / mss);
        Bytes together;
        for (auto const& segment : received) {
            EXPECT_TRUE(checksums_hold(segment.frame));
            together.insert(together.end(), segment.frame.begin() + headers, segment.frame.end());
        }
        EXPECT_EQ(together, Bytes(frame.begin() + headers, frame.end()));
        ++domain;
    }
}

TEST_F(LargeFrames, OfATaggedWireLoseTheirTag) {
    network_.vlan = 7;
    TestGuest& guest = serve(1, takes_all, {80});
    Bytes frame = large(world->inbound(80), 4000);
    Bytes const untagged = frame;
    constexpr std::uint8_t tag[] = {0x81, 0, 0, 7};
    frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
    world->arrive(merged(frame, mss));
    turn();
    auto received = guest.receive();
    ASSERT_EQ(received.size(), 1U);
    EXPECT_EQ(received[0].record.header_length, headers);
    EXPECT_EQ(received[0].record.csum_start, ether_bytes + ipv4_bytes);
    EXPECT_TRUE(complete_checksum(received[0].frame, received[0].record.csum_start, received[0].record.csum_offset));
    EXPECT_TRUE(checksums_hold(received[0].frame));
    EXPECT_EQ(received[0].frame.size(), untagged.size());
}

TEST_F(LargeFrames, ThatAreNotWhatThePortSaysAreDropped) {
    serve(1, takes_all, {80});
    FrameSpec udp = world->inbound(80);
    udp.payload_bytes = 4000;
    world->arrive(merged(make_frame(udp), mss));
    world->arrive(merged(large(world->inbound(80), 4000), 0));
    rte_mbuf* const not_merged = merged(large(world->inbound(80), 4000), mss);
    not_merged->ol_flags = 0;
    world->arrive(not_merged);
    turn();
    EXPECT_EQ(world->count(0, Counter::drop_too_long), 3U);
    EXPECT_EQ(world->count(1, Counter::to_guest_frames), 0U);
}

TEST_F(LargeFrames, MergedOfOneSegmentAreOrdinaryOnes) {
    TestGuest& guest = serve(1, takes_all, {80});
    world->arrive(merged(large(world->inbound(80), 1000), mss));
    turn();
    auto const received = guest.receive();
    ASSERT_EQ(received.size(), 1U);
    EXPECT_EQ(received[0].record.flags, LVIF_CSUM_PARTIAL);
    EXPECT_EQ(received[0].record.gso_size, 0);
}

// Of a neighbour on the same machine: its kernel leaves the checksum to whoever needs it.
TEST_F(LargeFrames, ChecksumsLeftOpenByThePortArePassedOnOrCompleted) {
    for (std::uint8_t const transport : {protocol::tcp, protocol::udp}) {
        SCOPED_TRACE(int{transport});
        world->reset();
        thread_.reset();
        TestGuest& completes = serve(1, takes_all, {80});
        TestGuest& leaves_it = serve(2, 0, {81});
        for (std::uint16_t const port : {std::uint16_t{80}, std::uint16_t{81}}) {
            FrameSpec spec = world->inbound(port);
            spec.protocol = transport;
            Bytes frame = make_frame(spec);
            std::size_t const l4 = ether_bytes + ipv4_bytes;
            std::uint64_t const pseudo = pseudo_header_sum({frame.data() + 26, 4}, {frame.data() + 30, 4}, transport,
                                                           static_cast<std::uint32_t>(frame.size() - l4));
            checksum_store(frame.data() + l4 + (transport == protocol::tcp ? 16 : 6), checksum_fold(pseudo));
            rte_mbuf* const buffer = merged(frame, 0, frame.size());
            buffer->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
            world->arrive(buffer);
        }
        turn();
        auto passed_on = completes.receive();
        ASSERT_EQ(passed_on.size(), 1U);
        lvif_record const& record = passed_on[0].record;
        EXPECT_EQ(record.flags, LVIF_CSUM_PARTIAL);
        EXPECT_TRUE(complete_checksum(passed_on[0].frame, record.csum_start, record.csum_offset));
        EXPECT_TRUE(checksums_hold(passed_on[0].frame));
        auto const completed = leaves_it.receive();
        ASSERT_EQ(completed.size(), 1U);
        EXPECT_EQ(completed[0].record.flags, 0);
        EXPECT_TRUE(checksums_hold(completed[0].frame));
    }
}

}  // namespace
}  // namespace librettos::test
