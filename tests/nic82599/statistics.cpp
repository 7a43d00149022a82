// SPDX-License-Identifier: BSD-2-Clause
// Which counter counts what.
#include "tests/nic82599/statistics.hpp"

#include <algorithm>

#include "tests/nic82599/headers.hpp"

namespace nic82599 {
namespace {

constexpr std::size_t crc_bytes = 4;
constexpr unsigned queue_counters = 16;

// 64, 65-127, 128-255, 256-511, 512-1023, 1024 and more, CRC included.
unsigned size_class(std::size_t bytes) {
    static constexpr std::size_t below[] = {65, 128, 256, 512, 1024};
    return static_cast<unsigned>(std::upper_bound(std::begin(below), std::end(below), bytes) - std::begin(below));
}

}  // namespace

bool Statistics::clears_on_read(reg::Offset offset) {
    auto const within = [offset](reg::Offset first, reg::Offset size) { return offset - first < size; };
    if (within(0x4000, 0x124) || within(0x3FA0, 0x40) || within(0x3F00, 0x70) || within(0x4140, 0x70) ||
        within(0xCF00, 0x94) || within(reg::QPTC(0), 4 * queue_counters) ||
        within(reg::QBTC_L(0), 8 * queue_counters) || offset == reg::SSVPC || offset == reg::FDIRUSTAT ||
        offset == reg::FDIRFSTAT || offset == reg::FDIRMATCH || offset == reg::FDIRMISS) {
        return true;
    }
    if (within(reg::rx_queue(0), 0x40 * queue_counters)) {
        reg::Offset const at = offset & 0x3F;
        return at == 0x30 || at == 0x34 || at == 0x38;
    }
    return within(0x1400, 0x40 * queue_counters) && (offset & 0x3F) == 0x30;
}

void Statistics::add(reg::Offset offset, std::uint32_t amount) {
    std::uint32_t const now = registers_.get(offset);
    registers_.set(offset, now > UINT32_MAX - amount ? UINT32_MAX : now + amount);
}

void Statistics::add_36_bits(reg::Offset low, reg::Offset high, std::uint64_t amount) {
    constexpr std::uint64_t most = (std::uint64_t{1} << 36) - 1;
    std::uint64_t const now = std::min(registers_.pair(low, high) + amount, most);
    registers_.set(low, static_cast<std::uint32_t>(now));
    registers_.set(high, static_cast<std::uint32_t>(now >> 32));
}

void Statistics::received(Frame const& frame) {
    add(reg::TPR);
    add_36_bits(reg::TORL, reg::TORH, frame.size() + crc_bytes);
}

void Statistics::accepted(Frame const& frame) {
    add(reg::GPRC);
    add_36_bits(reg::GORCL, reg::GORCH, frame.size() + crc_bytes);
    add(reg::PRC64 + 4 * size_class(frame.size() + crc_bytes));
    if (is_broadcast(frame)) {
        add(reg::BPRC);
    } else if (is_multicast(frame)) {
        add(reg::MPRC);
    }
}

void Statistics::to_queue(unsigned queue, std::size_t bytes) {
    unsigned const set = registers_.get(reg::RQSMR(queue / 4)) >> (8 * (queue % 4)) & 0xF;
    add(reg::QPRC(set));
    std::size_t const crc = registers_.has(reg::HLREG0, reg::HLREG0_RXCRCSTRP) ? 0 : crc_bytes;
    add_36_bits(reg::QBRC_L(set), reg::QBRC_H(set), bytes + crc);
}

void Statistics::queue_dropped(unsigned queue) {
    add(reg::QPRDC(registers_.get(reg::RQSMR(queue / 4)) >> (8 * (queue % 4)) & 0xF));
}

void Statistics::missed() {
    add(reg::MPC(0));
}

void Statistics::wrong_length(bool too_long) {
    add(too_long ? reg::ROC : reg::RUC);
}

void Statistics::from_queue(unsigned queue, std::size_t bytes) {
    unsigned const set = registers_.get(reg::TQSM(queue / 4)) >> (8 * (queue % 4)) & 0xF;
    add(reg::QPTC(set));
    add_36_bits(reg::QBTC_L(set), reg::QBTC_H(set), bytes + crc_bytes);
}

void Statistics::sent(Frame const& frame) {
    add(reg::GPTC);
    add(reg::TPT);
    add_36_bits(reg::GOTCL, reg::GOTCH, frame.size() + crc_bytes);
    add(reg::PTC64 + 4 * size_class(frame.size() + crc_bytes));
    if (is_broadcast(frame)) {
        add(reg::BPTC);
    } else if (is_multicast(frame)) {
        add(reg::MPTC);
    }
}

void Statistics::spoofed() {
    add(reg::SSVPC);
}

}  // namespace nic82599
