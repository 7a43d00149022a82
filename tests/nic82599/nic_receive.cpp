// SPDX-License-Identifier: BSD-2-Clause
// From the wire or from another pool into host memory: filter, switch, queue, packet buffer, descriptors (7.1).
#include <algorithm>
#include <bit>

#include "tests/nic82599/nic.hpp"
#include "tests/nic82599/rss.hpp"

namespace nic82599 {
namespace {

constexpr std::size_t least_frame = 60, crc_bytes = 4;

std::size_t longest_frame(RegisterFile const& registers, Headers const& headers) {
    std::size_t const with_crc =
        registers.has(reg::HLREG0, reg::HLREG0_JUMBOEN) ? registers.get(reg::MAXFRS) >> 16 : 1518;
    return with_crc - crc_bytes + (headers.vlan_tci ? vlan_bytes : 0);
}

}  // namespace

bool Nic::receive(Frame const& frame) {
    std::lock_guard const lock(mutex_);
    if (machine_.is_cut_off() || !link_is_up() || frame.size() < ethernet_bytes) {
        return false;
    }
    ++events_.received;
    statistics_.received(frame);
    Headers const headers = parse_headers(frame);
    bool const too_long = frame.size() > longest_frame(registers_, headers);
    if (too_long || frame.size() < least_frame) {
        statistics_.wrong_length(too_long);
        return false;
    }
    if (!registers_.has(reg::RXCTRL, reg::RXCTRL_RXEN)) {
        return false;
    }
    PoolSet const pools = switch_.from_wire(frame, headers).pools;
    if (pools == 0) {
        ++events_.filtered;
        return false;
    }
    auto chosen = targets(pools, frame, headers, false);
    if (chosen.empty() || !hold(frame, headers, std::move(chosen))) {
        return false;
    }
    statistics_.accepted(frame);
    drain();
    return true;
}

std::vector<Nic::Target> Nic::targets(PoolSet pools, Frame const& frame, Headers const& headers, bool looped_back) {
    std::vector<Target> chosen;
    for (; pools != 0; pools &= pools - 1) {
        Target target{static_cast<unsigned>(std::countr_zero(pools)), 0, {}};
        target.report.looped_back = looped_back;
        if (choose_queue(target, frame, headers)) {
            chosen.push_back(target);
        }
    }
    return chosen;
}

// 7.1.2: EtherType filters, then flow director, then RSS. False: a filter says drop.
bool Nic::choose_queue(Target& target, Frame const& frame, Headers const& headers) {
    auto const hash = rss_hash(registers_, frame, headers);
    bool const hash_reported = hash && registers_.has(reg::RXCSUM, reg::RXCSUM_PCSD);
    if (hash_reported) {
        target.report.hash = hash->value;
        target.report.rss_type = hash->type;
    }
    unsigned const rss = hash ? rss_queue(registers_, *hash) : 0;
    if (registers_.virtualized()) {
        target.queue = registers_.first_queue(target.pool) + rss % registers_.queues_per_pool();
        return true;
    }
    target.queue = rss;
    for (unsigned i = 0; i < 8; ++i) {
        std::uint32_t const filter = registers_.get(reg::ETQF(i)), action = registers_.get(reg::ETQS(i));
        if ((filter & reg::ETQF_ENABLE) != 0 && (filter & 0xFFFF) == headers.ether_type &&
            (action & reg::ETQS_QUEUE_ENABLE) != 0) {
            target.queue = action >> 16 & 0x7F;
            return true;
        }
    }
    if (auto const match = flow_director_.match(frame, headers)) {
        target.queue = match->queue;
        target.report.flow_match = match->reported;
        if (match->reported) {
            target.report.hash = std::uint32_t{match->hash} << 16 | match->software_id;
            target.report.rss_type = 0;
        }
        return !match->drop;
    }
    return true;
}

// Into the packet buffer. False: it is full.
bool Nic::hold(Frame const& frame, Headers const& headers, std::vector<Target> targets) {
    std::size_t room = 0;
    for (unsigned i = 0; i < 8; ++i) {
        room += registers_.get(reg::RXPBSIZE(i)) & 0xFFC00;  // KiB in bits 10 and up: bytes
    }
    if (packet_buffer_bytes_ + frame.size() > room) {
        ++events_.missed;
        statistics_.missed();
        interrupts_.raise(reg::EICR_RX_MISS);
        return false;
    }
    packet_buffer_bytes_ += frame.size();
    packet_buffer_.push_back({frame, headers, std::move(targets)});
    return true;
}

// In order: a frame that waits for descriptors of a queue without drop holds up all behind it, whoever they are for.
void Nic::drain() {
    while (!packet_buffer_.empty()) {
        Held& held = packet_buffer_.front();
        std::erase_if(held.targets, [&](Target const& target) { return deliver(held, target); });
        if (!held.targets.empty()) {
            return;
        }
        packet_buffer_bytes_ -= held.frame.size();
        packet_buffer_.pop_front();
    }
}

// False: it has to wait for descriptors.
bool Nic::deliver(Held const& held, Target const& target) {
    if (registers_.virtualized() && !registers_.in_bitmap(reg::PFVFRE(0), target.pool)) {
        ++events_.queue_disabled;
        return true;
    }
    Function const owner = owner_of(target.queue);
    ReceiveRing ring(registers_, machine_, owner, target.queue);
    std::size_t written = 0;
    switch (ring.deliver(held.frame, held.headers, target.report, written)) {
        case ReceiveRing::Result::no_descriptors:
            if (!ring.drops_when_full() && !queue_drop_[target.queue]) {
                return false;
            }
            ++events_.queue_full;
            statistics_.queue_dropped(target.queue);
            return true;
        case ReceiveRing::Result::disabled:
            ++events_.queue_disabled;
            return true;
        case ReceiveRing::Result::fault:
            return true;
        case ReceiveRing::Result::delivered:
            break;
    }
    ++events_.delivered;
    events_.looped_back += target.report.looped_back ? 1 : 0;
    statistics_.to_queue(target.queue, written);
    if (owner.is_pf()) {
        interrupts_.raise_rx_queue(target.queue);
        return true;
    }
    Vf& vf = vf_[owner.vf_index()];
    ++vf.good_received;
    vf.multicast_received += is_multicast(held.frame) ? 1 : 0;
    vf.octets_received += held.frame.size() + crc_bytes;
    vf.interrupts.raise(vf.interrupts.ivar_of_rx_queue(target.queue % registers_.queues_per_pool()));
    return true;
}

}  // namespace nic82599
