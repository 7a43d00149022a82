// SPDX-License-Identifier: BSD-2-Clause
// Transmit descriptors.
#include "tests/nic82599/transmit_ring.hpp"

#include <atomic>
#include <cstring>

namespace nic82599 {
namespace {

constexpr std::size_t descriptor_bytes = 16;
// 7.2.3.2.4: the command byte
constexpr std::uint32_t end_of_packet = 1u << 24, report_status = 1u << 27, extended = 1u << 29, vlan_enable = 1u << 30,
                        segment = 1u << 31;
constexpr std::uint32_t type_field = 0xF00000, type_context = 0x200000;
constexpr std::uint32_t options_ip = 1u << 8, options_l4 = 1u << 9;
constexpr std::uint32_t done = 1;

}  // namespace

void TransmitRing::take_context(Descriptor const& descriptor) {
    TransmitContext& context = contexts_[descriptor.options >> 4 & 1];
    context.ip_bytes = descriptor.address & 0x1FF;
    context.mac_bytes = descriptor.address >> 9 & 0x7F;
    context.vlan_tci = static_cast<std::uint16_t>(descriptor.address >> 16);
    context.ipv4 = (descriptor.command & 1u << 10) != 0;
    context.transport = static_cast<TransmitContext::Transport>(descriptor.command >> 11 & 3);
    context.l4_bytes = static_cast<std::uint8_t>(descriptor.options >> 8);
    context.segment_bytes = static_cast<std::uint16_t>(descriptor.options >> 16);
}

bool TransmitRing::gather(Machine& machine, Function owner, Descriptor const& descriptor) {
    std::size_t const bytes = descriptor.command & 0xFFFF;
    if (bytes == 0) {
        return true;
    }
    std::uint8_t const* const memory = machine.dma(owner, descriptor.address, bytes);
    if (memory == nullptr) {
        return false;
    }
    frame_.insert(frame_.end(), memory, memory + bytes);
    return true;
}

TransmitRing::Sent TransmitRing::finish(RegisterFile const& registers, Descriptor const& last) {
    TransmitRequest request;
    Descriptor const& first = *first_;
    TransmitContext const& context = contexts_[first.options >> 4 & 1];
    if ((first.command & extended) != 0) {
        request.ip_checksum = (first.options & options_ip) != 0;
        request.l4_checksum = (first.options & options_l4) != 0;
        request.segment = (first.command & segment) != 0;
    }
    if ((first.command & vlan_enable) != 0) {
        request.insert_vlan =
            (first.command & extended) != 0 ? context.vlan_tci : static_cast<std::uint16_t>(last.options >> 16);
    }
    TcpFlagMasks masks;
    if (std::uint32_t const low = registers.get(reg::DTXTCPFLGL); low != 0) {
        masks.first = low & 0xFFF;
        masks.middle = low >> 16 & 0xFFF;
        masks.last = registers.get(reg::DTXTCPFLGH) & 0xFFF;
    }
    Sent sent;
    sent.taken_bytes = frame_.size();
    sent.faulted = faulted_;
    if (!faulted_) {
        sent.frames = apply_offloads(std::move(frame_), request, context, masks);
        sent.faulted = sent.frames.empty();
    }
    frame_.clear();
    first_.reset();
    faulted_ = false;
    return sent;
}

std::optional<TransmitRing::Sent> TransmitRing::next(RegisterFile& registers, Machine& machine, Function owner,
                                                     unsigned queue) {
    reg::Offset const at = reg::tx_queue(queue);
    std::uint32_t const descriptors = registers.get(at + reg::LEN) / descriptor_bytes;
    if (descriptors == 0) {
        return std::nullopt;
    }
    std::uint32_t head = registers.get(at + reg::HEAD) % descriptors;
    std::uint32_t const tail = registers.get(at + reg::TAIL) % descriptors;
    if (head == tail) {
        return std::nullopt;
    }
    std::uint8_t* const ring = machine.dma(owner, registers.pair(at + reg::BAL, at + reg::BAH) & ~std::uint64_t{127},
                                           std::size_t{descriptors} * descriptor_bytes);
    if (ring == nullptr) {
        return std::nullopt;
    }
    std::optional<Sent> sent;
    bool reported = false;
    while (head != tail && !sent) {
        std::uint8_t* const place = ring + std::size_t{head} * descriptor_bytes;
        Descriptor descriptor{};
        std::memcpy(&descriptor.address, place, 8);
        std::memcpy(&descriptor.command, place + 8, 4);
        std::memcpy(&descriptor.options, place + 12, 4);
        if ((descriptor.command & extended) != 0 && (descriptor.command & type_field) == type_context) {
            take_context(descriptor);
        } else {
            first_ = first_.value_or(descriptor);
            faulted_ = !gather(machine, owner, descriptor) || faulted_;
            if ((descriptor.command & end_of_packet) != 0) {
                sent = finish(registers, descriptor);
            }
        }
        if ((descriptor.command & report_status) != 0) {
            std::atomic_ref(*reinterpret_cast<std::uint32_t*>(place + 12))
                .store(descriptor.options | done, std::memory_order_release);
            reported = true;
        }
        head = head + 1 == descriptors ? 0 : head + 1;
    }
    registers.set(at + reg::HEAD, head);
    if (reported && (registers.get(at + reg::WBAL) & 1) != 0) {  // 7.2.3.5.2: the head, written to memory
        std::uint64_t const address = registers.pair(at + reg::WBAL, at + reg::WBAH) & ~std::uint64_t{3};
        if (auto* const memory = machine.dma(owner, address, 4); memory != nullptr) {
            std::atomic_ref(*reinterpret_cast<std::uint32_t*>(memory)).store(head, std::memory_order_release);
        }
    }
    if (sent) {
        sent->reported = reported;
    }
    return sent;
}

}  // namespace nic82599
