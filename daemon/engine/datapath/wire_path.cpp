// SPDX-License-Identifier: BSD-2-Clause
// The side of the port: frames received, judged and put into rings, answers, and what is sent.
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "daemon/engine/datapath/data_thread.hpp"
#include "daemon/engine/datapath/fast_path.hpp"

namespace librettos {

namespace {

constexpr std::uint64_t stuck_ns = 100'000'000;  // a port that takes nothing for so long loses what waits for it
constexpr std::uint32_t vlan_bytes = 4;
constexpr std::uint32_t spares_ahead = 4;  // buffers that are fetched into the cache before they are taken

// Orders stores to InFlight for a reader that looks after this process has died.
void settle() noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

// Something of it is left to us: large_frames.cpp.
bool is_unfinished(rte_mbuf const& buffer) {
    return buffer.nb_segs != 1 || (buffer.ol_flags & RTE_MBUF_F_RX_LRO) != 0 ||
           (buffer.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

}  // namespace

// ---- from the wire ----

bool DataThread::from_wire() {
    std::uint32_t end = 0;
    while (end < InFlight::wire_burst) {
        std::uint16_t const got = rte_eth_rx_burst(setup_.port->port_id, setup_.index, mine_.rx + end, batch);
        end += got;
        settle();
        mine_.rx_end = end;
        if (got < batch) {
            break;
        }
    }
    wire_has_more_ = end == InFlight::wire_burst;
    if (end == 0) {
        return false;
    }
    judge_wire_burst({mine_.rx, end});
    while (mine_.rx_first < end) {
        std::uint32_t const first = mine_.rx_first;
        std::uint32_t const count = std::min(batch, end - first);
        mine_.rx_first = first + count;
        settle();
        rte_pktmbuf_free_bulk(mine_.rx + first, count);
    }
    mine_.rx_end = 0;
    settle();
    mine_.rx_first = 0;
    return true;
}

// Three stages, `lead` frames apart, so that memory works for one while another is computed: a frame's bytes are
// fetched; whom it is for is found, and the place in that ring fetched; it is copied there.
void DataThread::judge_wire_burst(std::span<rte_mbuf* const> buffers) {
    constexpr std::size_t lead = 16;
    std::array<Slot, lead> slots;
    std::size_t const count = buffers.size();
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < std::min(lead, count); ++i) {
        rte_prefetch0(rte_pktmbuf_mtod(buffers[i], void*));
    }
    for (std::size_t i = 0; i < count + lead; ++i) {
        if (i >= lead && i - lead < count && slots[i % lead] != wire_slot) {
            Frame frame = received(*buffers[i - lead]);
            to_guest(slots[i % lead], frame);
        }
        if (i + lead < count) {
            rte_prefetch0(rte_pktmbuf_mtod(buffers[i + lead], void*));
        }
        if (i < count) {
            bytes += buffers[i]->pkt_len;
            Slot const slot = plain_frame_slot(*buffers[i]);
            slots[i % lead] = slot;
            if (slot == wire_slot) {
                judge_by_all_rules(*buffers[i]);
            } else if (GuestQueue const* const queue = sole_queues_[slot]; queue != nullptr) {
                queue->to_guest.prefetch();
            }
        }
    }
    counters_.add(wire_slot, Counter::wire_rx_frames, count);
    counters_.add(wire_slot, Counter::wire_rx_bytes, bytes);
}

// Whom a frame of the common kind is for; wire_slot: the complete rules decide.
Slot DataThread::plain_frame_slot(rte_mbuf const& buffer) const {
    if (is_unfinished(buffer)) {
        return wire_slot;
    }
    return fast_path::from_wire(directory_, {rte_pktmbuf_mtod(&buffer, std::uint8_t const*), buffer.data_len},
                                buffer.pkt_len);
}

DataThread::Frame DataThread::received(rte_mbuf& buffer) {
    bool const checked = (buffer.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    lvif_record record{};
    record.flags = checked ? LVIF_CSUM_OK : 0;
    return {rte_pktmbuf_mtod(&buffer, std::uint8_t*), buffer.data_len, record};
}

void DataThread::judge_by_all_rules(rte_mbuf& buffer) {
    Frame frame = received(buffer);
    if (is_unfinished(buffer) && !received_unfinished(buffer, frame)) {
        counters_.add(wire_slot, Counter::drop_too_long);
        return;
    }
    if (!hand_to_keeper(wire_slot, frame)) {
        judge_by_all_rules(frame);
    }
}

void DataThread::judge_by_all_rules(Frame& frame) {
    Verdict const verdict = classifier_.from_wire({frame.bytes, frame.length}, frame.length, now_ns_ / 1000);
    if (verdict.drop != Counter::none) {
        counters_.add(wire_slot, verdict.drop);
    }
    act(verdict, frame);
}

void DataThread::act(Verdict const& verdict, Frame& frame) {
    if (verdict.reply) {
        answer_wire(classifier_.reply());
    }
    if (verdict.hold) {
        FragmentStore::Entry* const entry = fragments_.keep(frame.bytes, frame.length);
        if (entry != nullptr && classifier_.hold(entry)) {
            counters_.add(wire_slot, Counter::fragments_held);
        } else {
            counters_.add(wire_slot, Counter::drop_fragment_limit);
            if (entry != nullptr) {
                fragments_.drop(entry);
            }
        }
    }
    if (verdict.to_targets) {
        for (Slot const target : classifier_.targets()) {
            from_wire_to_guest(target, frame);
        }
    }
    if (verdict.slot != wire_slot) {
        from_wire_to_guest(verdict.slot, frame);
    }
    if (verdict.released) {
        release_fragments(verdict.slot);
    }
}

// A tag (the wire's VLAN, or a mere priority) stays behind: the addresses are moved over it, and back for the next who
// gets the frame.
void DataThread::from_wire_to_guest(Slot slot, Frame& frame) {
    if (!has_vlan_tag(frame)) {
        to_guest(slot, frame);
        return;
    }
    constexpr std::size_t addresses = 2 * RTE_ETHER_ADDR_LEN;
    std::array<std::uint8_t, addresses + vlan_bytes> kept;
    std::memcpy(kept.data(), frame.bytes, kept.size());
    std::memmove(frame.bytes + vlan_bytes, kept.data(), addresses);
    Frame out{frame.bytes + vlan_bytes, frame.length - vlan_bytes, frame.record};
    if ((out.record.flags & LVIF_CSUM_PARTIAL) != 0) {
        out.record.csum_start -= vlan_bytes;
    }
    if (out.record.gso_size != 0) {
        out.record.header_length -= vlan_bytes;
    }
    to_guest(slot, out);
    std::memcpy(frame.bytes, kept.data(), kept.size());
}

bool DataThread::has_vlan_tag(Frame const& frame) {
    return frame.length > 16 && frame.bytes[12] == 0x81 && frame.bytes[13] == 0x00;
}

void DataThread::release_fragments(Slot slot) {
    while (auto* const entry = static_cast<FragmentStore::Entry*>(classifier_.take_released())) {
        Frame frame{entry->bytes, entry->length, lvif_record{}};
        from_wire_to_guest(slot, frame);
        fragments_.drop(entry);
    }
}

void DataThread::expire_fragments() {
    while (auto* const entry = static_cast<FragmentStore::Entry*>(classifier_.take_expired(now_ns_ / 1000))) {
        counters_.add(wire_slot, Counter::drop_fragment_orphan);
        fragments_.drop(entry);
    }
}

// A whole frame, tagged as it has to be.
void DataThread::answer_wire(std::span<std::uint8_t const> answer) {
    rte_mbuf* const buffer = answer.size() <= buffer_room_ && send_space() > 0 ? take_spare() : nullptr;
    if (buffer == nullptr) {
        counters_.add(wire_slot, Counter::drop_no_memory);
        return;
    }
    std::memcpy(rte_pktmbuf_mtod(buffer, void*), answer.data(), answer.size());
    buffer->data_len = static_cast<std::uint16_t>(answer.size());
    buffer->pkt_len = static_cast<std::uint32_t>(answer.size());
    counters_.add(wire_slot, Counter::replies);
    append(buffer, wire_slot);
}

// ---- to the wire ----

std::uint32_t DataThread::send_space() const {
    return InFlight::send_room - (mine_.tx_end - mine_.tx_first);
}

// An empty buffer; nullptr: the pool is empty. What is in the pool has one segment and one reference: only what drivers
// read besides is set, all of it in the buffer's first cache line.
rte_mbuf* DataThread::take_spare() noexcept {
    if (mine_.spares == 0) {
        if (rte_mempool_get_bulk(setup_.pool, reinterpret_cast<void**>(mine_.spare), spare_refill) != 0) {
            return nullptr;
        }
        settle();
        mine_.spares = spare_refill;
    }
    rte_mbuf* const buffer = mine_.spare[--mine_.spares];
    if (mine_.spares >= spares_ahead) {
        rte_prefetch0(mine_.spare[mine_.spares - spares_ahead]);
    }
    rte_pktmbuf_reset_headroom(buffer);
    buffer->ol_flags = 0;
    return buffer;
}

// A buffer that turned out not to be needed, of this thread or of another.
void DataThread::give_back(rte_mbuf* buffer) noexcept {
    if (mine_.spares < InFlight::spare_room) {
        mine_.spare[mine_.spares] = buffer;
        ++mine_.spares;
    } else {
        rte_pktmbuf_free(buffer);
    }
}

// Tags the guest's frame, which is then complete, and queues it. The caller has seen to send_space().
void DataThread::queue_for_wire(rte_mbuf* buffer, Slot from) noexcept {
    tag(buffer);
    append(buffer, from);
}

void DataThread::tag(rte_mbuf* buffer) const noexcept {
    if (std::uint16_t const vlan = directory_.network().vlan; vlan != 0) {
        buffer->data_off = static_cast<std::uint16_t>(buffer->data_off - vlan_bytes);  // of the headroom
        buffer->data_len = static_cast<std::uint16_t>(buffer->data_len + vlan_bytes);
        buffer->pkt_len += vlan_bytes;
        auto* const bytes = rte_pktmbuf_mtod(buffer, std::uint8_t*);
        std::memmove(bytes, bytes + vlan_bytes, 2 * RTE_ETHER_ADDR_LEN);
        std::array<std::uint8_t, vlan_bytes> const tag{0x81, 0x00, static_cast<std::uint8_t>(vlan >> 8),
                                                       static_cast<std::uint8_t>(vlan)};
        std::memcpy(bytes + 2 * RTE_ETHER_ADDR_LEN, tag.data(), tag.size());
        if ((buffer->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0) {
            buffer->l2_len += vlan_bytes;
        }
    }
}

void DataThread::append(rte_mbuf* buffer, Slot from) noexcept {
    std::uint32_t const place = mine_.tx_end % InFlight::send_room;
    mine_.tx[place] = buffer;
    mine_.tx_slot[place] = from;
    settle();
    ++mine_.tx_end;
}

bool DataThread::send_pending() {
    bool worked = false;
    while (mine_.tx_first != mine_.tx_end) {
        std::uint32_t const first = mine_.tx_first;
        std::uint32_t const place = first % InFlight::send_room;
        std::uint32_t const count = std::min({batch, mine_.tx_end - first, InFlight::send_room - place});
        std::uint64_t bytes = 0;
        for (std::uint32_t i = 0; i < count; ++i) {
            bytes += mine_.tx[place + i]->pkt_len;
        }
        mine_.tx_first = first + count;
        settle();
        std::uint16_t const sent =
            rte_eth_tx_burst(setup_.port->port_id, setup_.index, mine_.tx + place, static_cast<std::uint16_t>(count));
        for (std::uint32_t i = sent; i < count; ++i) {
            bytes -= mine_.tx[place + i]->pkt_len;
        }
        counters_.add(wire_slot, Counter::wire_tx_frames, sent);
        counters_.add(wire_slot, Counter::wire_tx_bytes, bytes);
        worked |= sent != 0;
        if (sent < count) {
            mine_.tx_first = first + sent;
            drop_when_stuck(sent != 0);
            return worked;
        }
    }
    stuck_since_ns_ = 0;
    return worked;
}

// Link down, or a peer that does not read: what waits is dropped by its sender's name, so that guests go on.
void DataThread::drop_when_stuck(bool moved) noexcept {
    if (moved || stuck_since_ns_ == 0) {
        stuck_since_ns_ = now_ns_;
        return;
    }
    if (now_ns_ - stuck_since_ns_ < stuck_ns) {
        return;
    }
    while (mine_.tx_first != mine_.tx_end) {
        std::uint32_t const place = mine_.tx_first % InFlight::send_room;
        counters_.add(mine_.tx_slot[place], Counter::drop_wire_full);
        ++mine_.tx_first;
        settle();
        rte_pktmbuf_free(mine_.tx[place]);
    }
    stuck_since_ns_ = now_ns_;
}

}  // namespace librettos
