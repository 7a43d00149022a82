// SPDX-License-Identifier: BSD-2-Clause
// The side of the guests: out of their tx rings, to the wire or to another guest, and into their rx rings.
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "daemon/engine/datapath/checksum.hpp"
#include "daemon/engine/datapath/data_thread.hpp"
#include "daemon/engine/datapath/fast_path.hpp"
#include "daemon/engine/datapath/flow_hash.hpp"
#include "daemon/engine/datapath/keeper.hpp"
#include "daemon/engine/datapath/segment.hpp"

namespace librettos {

namespace {

constexpr std::uint16_t gso_flags = LVIF_GSO_TCP4 | LVIF_GSO_TCP6;

// The flags that a guest with these features may set on what it sends.
std::uint16_t allowed_tx_flags(std::uint32_t features) {
    std::uint16_t flags = LVIF_CSUM_OK;
    flags |= (features & LVIF_F_TX_CSUM) != 0 ? LVIF_CSUM_PARTIAL : 0;
    flags |= (features & LVIF_F_TX_TSO4) != 0 ? LVIF_GSO_TCP4 : 0;
    flags |= (features & LVIF_F_TX_TSO6) != 0 ? LVIF_GSO_TCP6 : 0;
    return flags;
}

bool takes_large(std::uint32_t features, std::uint16_t flags) {
    return ((flags & LVIF_GSO_TCP4) == 0 || (features & LVIF_F_RX_TSO4) != 0) &&
           ((flags & LVIF_GSO_TCP6) == 0 || (features & LVIF_F_RX_TSO6) != 0);
}

std::uint32_t frames_on_wire(lvif_record const& record) {
    bool const large = (record.flags & gso_flags) != 0 && record.gso_size != 0;
    return large ? static_cast<std::uint32_t>(segment_count(record.length, record.header_length, record.gso_size)) : 1;
}

// Fills a span with these bytes if they fit; see hand_off_buffer().
auto copy_of(std::uint8_t const* bytes, std::uint32_t length) {
    return [bytes, length](std::span<std::uint8_t> out) {
        std::memcpy(out.data(), bytes, std::min<std::size_t>(length, out.size()));
        return length <= out.size() ? length : 0U;
    };
}

}  // namespace

// Cuts a large frame and gives each segment to `sink(segmenter, index)`, which returns why it was dropped, if it was.
template <typename Sink>
void DataThread::cut(Slot slot, Frame const& frame, Sink sink) {
    auto const segmenter = Segmenter::make({frame.bytes, frame.length}, frame.record.gso_size);
    if (!segmenter || segmenter->count() > max_segments) {
        counters_.add(slot, Counter::drop_bad_offload);
        return;
    }
    counters_.add(slot, Counter::segmented_frames);
    for (std::size_t i = 0; i < segmenter->count(); ++i) {
        if (Counter const fault = sink(*segmenter, i); fault != Counter::none) {
            counters_.add(slot, fault);
        }
    }
}

// ---- from guests ----

bool DataThread::from_guests() {
    bool worked = false;
    std::size_t const count = polled_.size();
    std::size_t at = first_polled_ < count ? first_polled_ : 0;
    first_polled_ = static_cast<std::uint32_t>(at + 1);
    bool left = false;
    for (std::size_t i = 0; i < count && send_space() >= max_segments; ++i) {
        GuestQueue& queue = *polled_[at];
        at = at + 1 < count ? at + 1 : 0;
        polled_[at]->from_guest.prefetch();
        worked |= serve(queue);
        left |= queue.service != GuestQueue::Service::polled;
        if (send_space() < send_soon) {
            send_pending();
        }
    }
    if (left) {
        std::erase_if(polled_, [](GuestQueue* queue) { return queue->service != GuestQueue::Service::polled; });
    }
    return worked;
}

bool DataThread::serve(GuestQueue& queue) {
    if (!queue.from_guest.refresh()) {
        if (queue.from_guest.broken()) {
            report_broken(queue, "broken tx ring");
        } else if (last_turn_worked_ && ++queue.idle_turns > idle_turns_limit) {
            put_to_sleep(queue);
        }
        return false;
    }
    queue.idle_turns = 0;
    RateLimiter& limiter = queue.guest->limiter;
    bool const limited = limiter.active();
    RingConsumer::Frame in;
    std::uint32_t frames = 0;
    std::uint64_t bytes = 0;
    mine_.serving = queue.slot;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // for a reader that looks after a crash in between
    for (std::uint32_t i = 0; i < guest_burst && send_space() >= max_segments; ++i) {
        if (std::uint64_t const wait_until_ns = limited ? limiter.wait_until_ns(now_ns_) : 0; wait_until_ns != 0) {
            counters_.add(queue.slot, Counter::throttled);
            queue.service = GuestQueue::Service::throttled;
            queue.wake_ns = wait_until_ns;
            waiting_.push_back(&queue);
            break;
        }
        if (!queue.from_guest.take(in)) {
            break;
        }
        if (limited) {
            limiter.charge(now_ns_, frames_on_wire(in.record), in.record.length);
        }
        ++frames;
        bytes += in.record.length;
        handle(queue, in);
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
    mine_.serving = wire_slot;
    counters_.add(queue.slot, Counter::from_guest_frames, frames);
    counters_.add(queue.slot, Counter::from_guest_bytes, bytes);
    if (queue.from_guest.broken()) {
        report_broken(queue, "broken record in tx ring");
    }
    touch(queue);
    return true;
}

void DataThread::handle(GuestQueue& queue, RingConsumer::Frame const& in) {
    Guest& guest = *queue.guest;
    std::uint32_t const length = in.record.length;
    std::uint8_t* bytes = large_frame_.get();
    rte_mbuf* buffer = nullptr;
    if (length <= buffer_room_) {
        buffer = take_spare();
        if (buffer == nullptr) {
            counters_.add(guest.slot, Counter::drop_no_memory);
            return;
        }
        bytes = rte_pktmbuf_mtod(buffer, std::uint8_t*);
    }
    ring_detail::copy_frame(reinterpret_cast<std::byte*>(bytes), in.bytes, length);
    fast_path::make_readable({bytes, length}, in.bytes);
    if (in.record.flags == 0 && buffer != nullptr && length <= max_wire_frame_) {
        if (fast_path::from_guest(directory_, guest.slot, {bytes, length}, length, in.record) == wire_slot) {
            buffer->data_len = static_cast<std::uint16_t>(length);
            buffer->pkt_len = length;
            queue_for_wire(buffer, guest.slot);
            return;
        }
    }
    Frame frame{bytes, length, in.record};
    if (!hand_to_keeper(guest.slot, frame) && handle_by_all_rules(guest, frame)) {
        to_wire(guest, buffer, frame);
    } else if (buffer != nullptr) {
        give_back(buffer);
    }
}

// true: to the wire as well.
bool DataThread::handle_by_all_rules(Guest& guest, Frame& frame) {
    if ((frame.record.flags & ~allowed_tx_flags(guest.features)) != 0) {
        counters_.add(guest.slot, Counter::drop_bad_offload);
        return false;
    }
    Verdict const verdict =
        classifier_.from_guest(guest.slot, {frame.bytes, frame.length}, frame.record, now_ns_ / 1000);
    if (verdict.drop != Counter::none) {
        counters_.add(guest.slot, verdict.drop);
    }
    if (verdict.reply) {
        counters_.add(guest.slot, Counter::replies);
        auto const answer = classifier_.reply();
        // Complete, so that nobody on its way changes it.
        Frame reply{const_cast<std::uint8_t*>(answer.data()), static_cast<std::uint32_t>(answer.size()), lvif_record{}};
        to_guest(guest.slot, reply);
    }
    if (verdict.slot != wire_slot) {
        counters_.add(guest.slot, Counter::switched_frames);
        to_guest(verdict.slot, frame);
    }
    if (verdict.to_targets) {
        for (Slot const target : classifier_.targets()) {
            to_guest(target, frame);
        }
    }
    return verdict.to_wire;
}

// Takes `buffer`, which holds the frame unless that is a large one.
void DataThread::to_wire(Guest& from, rte_mbuf* buffer, Frame& frame) {
    Counter fault = Counter::none;
    if ((frame.record.flags & gso_flags) != 0) {
        segments_to_wire(from, frame);
    } else if (frame.length > max_wire_frame_ || buffer == nullptr) {
        fault = Counter::drop_wire_too_long;
    } else if ((frame.record.flags & LVIF_CSUM_PARTIAL) != 0 &&
               !complete_checksum({frame.bytes, frame.length}, frame.record.csum_start, frame.record.csum_offset)) {
        fault = Counter::drop_bad_offload;
    } else {
        if ((frame.record.flags & LVIF_CSUM_PARTIAL) != 0) {
            counters_.add(from.slot, Counter::checksums_computed);
        }
        buffer->data_len = static_cast<std::uint16_t>(frame.length);
        buffer->pkt_len = frame.length;
        queue_for_wire(buffer, from.slot);
        return;
    }
    if (fault != Counter::none) {
        counters_.add(from.slot, fault);
    }
    if (buffer != nullptr) {
        give_back(buffer);
    }
}

void DataThread::segments_to_wire(Guest& from, Frame const& frame) {
    if (setup_.port->tx_tso && whole_to_wire(from, frame)) {
        return;
    }
    cut(from.slot, frame, [&](Segmenter const& segmenter, std::size_t i) {
        rte_mbuf* const buffer = take_spare();
        if (buffer == nullptr) {
            return Counter::drop_no_memory;
        }
        auto const length = segmenter.write(i, {rte_pktmbuf_mtod(buffer, std::uint8_t*), buffer_room_});
        if (length == 0 || length > max_wire_frame_) {
            give_back(buffer);
            return Counter::drop_wire_too_long;
        }
        buffer->data_len = static_cast<std::uint16_t>(length);
        buffer->pkt_len = static_cast<std::uint32_t>(length);
        queue_for_wire(buffer, from.slot);
        return Counter::none;
    });
}

// ---- to guests ----

void DataThread::to_guest(Slot slot, Frame& frame) {
    if (GuestQueue* const queue = sole_queues_[slot]; queue != nullptr) {
        to_queue(*queue, frame);
        return;
    }
    Guest* const guest = guests_[slot];
    if (guest == nullptr) {
        counters_.add(slot, Counter::drop_guest_gone);
        return;
    }
    std::size_t number = 0;
    if (guest->queues.size() > 1) {
        number = flow_hash({frame.bytes, frame.length}) % guest->queues.size();
    }
    GuestQueue& queue = guest->queues[number];
    if (queue.thread == setup_.index) {
        to_queue(queue, frame);
    } else {
        hand_off(queue, static_cast<std::uint16_t>(number), frame);
    }
}

// Does for a guest what it did not agree to do itself: checksums, segmentation.
void DataThread::to_queue(GuestQueue& queue, Frame& frame) {
    std::uint32_t const features = queue.features;
    bool const large = (frame.record.flags & gso_flags) != 0;
    if (large && (!takes_large(features, frame.record.flags) || frame.length > queue.to_guest.max_frame())) {
        segments_to_queue(queue, frame);
        return;
    }
    if ((features & LVIF_F_RX_CSUM) == 0) {
        if ((frame.record.flags & LVIF_CSUM_PARTIAL) != 0) {
            complete_checksum({frame.bytes, frame.length}, frame.record.csum_start, frame.record.csum_offset);
            counters_.add(queue.slot, Counter::checksums_computed);
        }
        frame.record = lvif_record{};
    }
    constexpr std::uint32_t worth_coalescing_bytes = 512;
    bool const large_ok = (features & (LVIF_F_RX_TSO4 | LVIF_F_RX_TSO6)) == (LVIF_F_RX_TSO4 | LVIF_F_RX_TSO6);
    if (setup_.gro && large_ok && frame.length >= worth_coalescing_bytes && (frame.record.flags & ~LVIF_CSUM_OK) == 0) {
        put_segment(queue, frame);
    } else {
        put(queue, frame.bytes, frame.length, frame.record);
    }
}

void DataThread::segments_to_queue(GuestQueue& queue, Frame const& frame) {
    cut(queue.slot, frame, [&](Segmenter const& segmenter, std::size_t i) {
        auto const length = segmenter.write(i, {segment_.get(), buffer_room_});
        if (length == 0) {
            return Counter::drop_too_long;
        }
        put(queue, segment_.get(), static_cast<std::uint32_t>(length), lvif_record{});
        return Counter::none;
    });
}

// false: dropped and counted.
bool DataThread::put(GuestQueue& queue, std::uint8_t const* bytes, std::uint32_t length, lvif_record const& record) {
    Slot const slot = queue.slot;
    if (queue.service == GuestQueue::Service::broken) {
        counters_.add(slot, Counter::drop_guest_gone);
    } else if (length > queue.to_guest.max_frame()) {
        counters_.add(slot, Counter::drop_too_long);
    } else if (!queue.to_guest.put(reinterpret_cast<std::byte const*>(bytes), length, record)) {
        counters_.add(slot, Counter::drop_ring_full);
        if (queue.to_guest.broken()) {
            report_broken(queue, "broken rx ring");
        }
    } else {
        ++queue.put_frames;
        queue.put_bytes += length;
        queue.growing.close();
        touch(queue);
        if (queue.to_guest.unpublished_bytes() > queue.to_guest.capacity() / 4) {
            publish_early(queue);
        }
        return true;
    }
    return false;
}

// A TCP segment from the wire: appended to the frame put last if it continues that, else put, so that it may be
// continued.
void DataThread::put_segment(GuestQueue& queue, Frame& frame) {
    std::span<std::uint8_t const> const bytes{frame.bytes, frame.length};
    auto const segment = TcpSegment::parse(bytes);
    bool const intact =
        segment && ((frame.record.flags & LVIF_CSUM_OK) != 0 || packet_checksums_ok(bytes.subspan(segment->ip_at)));
    if (!intact) {
        put(queue, frame.bytes, frame.length, frame.record);
        return;
    }
    GrowingFrame& growing = queue.growing;
    if (growing.continues(bytes, *segment)) {
        GrowingFrame grown = growing;
        grown.grow(*segment);
        auto const payload = bytes.subspan(segment->payload_at, segment->payload_bytes);
        if (queue.to_guest.extend(growing.frame_bytes(), payload, grown.headers(), grown.record())) {
            growing = grown;
            counters_.add(queue.slot, Counter::coalesced_frames);
            queue.put_bytes += payload.size();
            return;
        }
    }
    frame.length = segment->payload_at + segment->payload_bytes;  // without Ethernet padding
    frame.record.flags |= LVIF_CSUM_OK;
    if (put(queue, frame.bytes, frame.length, frame.record)) {
        growing.start({frame.bytes, frame.length}, *segment);
    }
}

// ---- between data threads ----

// true: it is the keeper's now, or was dropped. Large frames are TCP's and never for the keeper.
bool DataThread::hand_to_keeper(Slot from, Frame const& frame) {
    if (setup_.index == keeper_thread || !is_for_keeper({frame.bytes, frame.length})) {
        return false;
    }
    handed_to_ |= 1U << keeper_thread;
    Counter const fault =
        hand_off_buffer(keeper_thread, from, to_be_judged, frame.record, copy_of(frame.bytes, frame.length));
    if (fault != Counter::none) {
        counters_.add(from, fault);
    }
    return true;
}

// Takes the buffer.
void DataThread::judge_for_peer(Handoff const& handoff) {
    Frame frame{rte_pktmbuf_mtod(handoff.buffer, std::uint8_t*), handoff.buffer->data_len, handoff.record};
    Guest* const guest = guests_[handoff.slot];
    if (handoff.slot == wire_slot) {
        judge_by_all_rules(frame);
    } else if (guest == nullptr) {
        counters_.add(handoff.slot, Counter::drop_guest_gone);
    } else if (send_space() < max_segments) {
        counters_.add(handoff.slot, Counter::drop_wire_full);
    } else if (handle_by_all_rules(*guest, frame)) {
        to_wire(*guest, handoff.buffer, frame);
        return;
    }
    rte_pktmbuf_free(handoff.buffer);
}

// Copied into a buffer of its own; a large frame goes as its segments.
void DataThread::hand_off(GuestQueue const& queue, std::uint16_t number, Frame const& frame) {
    Slot const slot = queue.slot;
    handed_to_ |= 1U << queue.thread;
    if ((frame.record.flags & gso_flags) == 0) {
        Counter const fault =
            hand_off_buffer(queue.thread, slot, number, frame.record, copy_of(frame.bytes, frame.length));
        if (fault != Counter::none) {
            counters_.add(slot, fault);
        }
        return;
    }
    cut(slot, frame, [&](Segmenter const& segmenter, std::size_t i) {
        return hand_off_buffer(queue.thread, slot, number, lvif_record{},
                               [&](std::span<std::uint8_t> out) { return segmenter.write(i, out); });
    });
}

// `fill` writes a frame into a span and returns its length, 0 when it does not fit.
template <typename Fill>
Counter DataThread::hand_off_buffer(std::uint16_t thread, Slot slot, std::uint16_t number, lvif_record const& record,
                                    Fill fill) {
    rte_mbuf* const buffer = take_spare();
    if (buffer == nullptr) {
        return Counter::drop_no_memory;
    }
    auto const length = fill(std::span<std::uint8_t>{rte_pktmbuf_mtod(buffer, std::uint8_t*), buffer_room_});
    buffer->data_len = static_cast<std::uint16_t>(length);
    buffer->pkt_len = static_cast<std::uint32_t>(length);
    Counter fault = Counter::none;
    if (length == 0) {
        fault = Counter::drop_too_long;
    } else if (!mine_.handoff[thread].push({buffer, record, slot, number})) {
        fault = Counter::drop_handoff_full;
    }
    if (fault != Counter::none) {
        give_back(buffer);
    }
    return fault;
}

bool DataThread::from_other_threads() {
    bool worked = false;
    peers_have_more_ = false;
    for (DataThread* const peer : peers_) {
        Handoff handoff;
        std::uint32_t i = 0;
        for (; i < batch && peer->mine_.handoff[setup_.index].pop(handoff); ++i) {
            worked = true;
            if (handoff.queue == to_be_judged) {
                judge_for_peer(handoff);
                continue;
            }
            Guest* const guest = guests_[handoff.slot];
            if (guest != nullptr && handoff.queue < guest->queues.size()) {
                Frame frame{rte_pktmbuf_mtod(handoff.buffer, std::uint8_t*), handoff.buffer->data_len, handoff.record};
                to_queue(guest->queues[handoff.queue], frame);
            } else {
                counters_.add(handoff.slot, Counter::drop_guest_gone);
            }
            rte_pktmbuf_free(handoff.buffer);
        }
        peers_have_more_ |= i == batch;
    }
    return worked;
}

}  // namespace librettos
