// SPDX-License-Identifier: BSD-2-Clause
// A NIC on the bench: memory at I/O address 0, a clock that the test moves, and rings that the test fills by hand as
// the datasheet has them, without any driver.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "tests/nic82599/headers.hpp"
#include "tests/nic82599/nic.hpp"

namespace nic82599 {

using Mac = std::array<std::uint8_t, 6>;
constexpr Mac own_mac{0x00, 0x1B, 0x21, 0x01, 0x02, 0x03}, peer_mac{0x02, 0, 0, 0, 0, 0x09};

class BenchMachine final : public Machine {
  public:
    std::uint8_t* dma(Function, std::uint64_t address, std::size_t size) override {
        return address + size <= memory.size() ? memory.data() + address : nullptr;
    }
    void interrupt(Function function, unsigned vector) override { messages.emplace_back(function, vector); }
    void transmit(std::span<std::uint8_t const> frame) override { wire.emplace_back(frame.begin(), frame.end()); }
    std::uint64_t now_ns() override { return time_ns; }
    void wake_at(std::uint64_t when) override { wake_ns = when; }

    std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(1 << 20);
    std::vector<std::pair<Function, unsigned>> messages;
    std::vector<Frame> wire;
    std::uint64_t time_ns = 1'000'000'000, wake_ns = 0;
};

inline Frame frame_to(Mac const& to, std::size_t bytes = 60, Mac const& from = peer_mac) {
    Frame frame(bytes);
    std::copy(to.begin(), to.end(), frame.begin());
    std::copy(from.begin(), from.end(), frame.begin() + 6);
    put_be16(frame, 12, 0x88B5);
    std::iota(frame.begin() + 14, frame.end(), std::uint8_t{1});
    return frame;
}

class Bench : public testing::Test {
  protected:
    explicit Bench(unsigned vfs = 0) : nic(machine, own_mac, vfs) {}

    static constexpr Function pf = Function::pf();
    static constexpr std::uint32_t ring_descriptors = 8;

    std::uint32_t read(reg::Offset offset) { return nic.read(pf, offset); }
    void write(reg::Offset offset, std::uint32_t value) { nic.write(pf, offset, value); }

    // 4.6.7: a ring at `ring` with buffers of 2 KiB behind it, all given to the NIC but one.
    void start_receiver(unsigned queue, std::uint64_t ring, std::uint32_t srrctl = 2 | 1u << 25) {
        reg::Offset const at = reg::rx_queue(queue);
        write(at + reg::BAL, static_cast<std::uint32_t>(ring));
        write(at + reg::LEN, ring_descriptors * 16);
        write(at + reg::SRRCTL, srrctl);
        write(at + reg::DCTL, reg::DCTL_ENABLE);
        refill(ring);
        write(at + reg::TAIL, ring_descriptors - 1);
        write(reg::RXCTRL, reg::RXCTRL_RXEN);
    }
    void refill(std::uint64_t ring) {
        for (std::uint32_t i = 0; i < ring_descriptors; ++i) {
            std::uint64_t const descriptor[2] = {ring + 4096 + std::uint64_t{i} * 2048, 0};
            std::memcpy(machine.memory.data() + ring + std::size_t{i} * 16, descriptor, 16);
        }
    }
    std::uint64_t word(std::uint64_t address) const {
        std::uint64_t value = 0;
        std::memcpy(&value, machine.memory.data() + address, 8);
        return value;
    }
    Frame buffer(std::uint64_t ring, unsigned descriptor, std::size_t bytes) const {
        auto const from = machine.memory.begin() + static_cast<std::ptrdiff_t>(ring + 4096 + descriptor * 2048);
        return Frame(from, from + static_cast<std::ptrdiff_t>(bytes));
    }

    // 4.6.8
    void start_transmitter(unsigned queue, std::uint64_t ring) {
        reg::Offset const at = reg::tx_queue(queue);
        write(reg::DMATXCTL, reg::DMATXCTL_TE);
        write(at + reg::BAL, static_cast<std::uint32_t>(ring));
        write(at + reg::LEN, ring_descriptors * 16);
        write(at + reg::DCTL, reg::DCTL_ENABLE);
    }
    // One advanced data descriptor (7.2.3.2.4) with the frame behind the ring; rings are used once around.
    void transmit(unsigned queue, std::uint64_t ring, Frame const& frame, std::uint32_t command = 0,
                  std::uint32_t options = 0) {
        std::uint32_t const tail = nic.peek(reg::tx_queue(queue) + reg::TAIL);
        std::uint64_t const at = ring + 4096 + std::uint64_t{tail} * 16384;
        std::copy(frame.begin(), frame.end(), machine.memory.begin() + static_cast<std::ptrdiff_t>(at));
        constexpr std::uint32_t end_of_packet = 1u << 24, insert_crc = 1u << 25, report = 1u << 27, extended = 1u << 29,
                                data = 3u << 20;
        descriptor(
            ring, tail, at,
            static_cast<std::uint32_t>(frame.size()) | data | end_of_packet | insert_crc | report | extended | command,
            options | static_cast<std::uint32_t>(frame.size()) << 14);
        write(reg::tx_queue(queue) + reg::TAIL, (tail + 1) % ring_descriptors);
    }
    void descriptor(std::uint64_t ring, std::uint32_t number, std::uint64_t first, std::uint32_t command,
                    std::uint32_t options) {
        std::uint64_t const words[2] = {first, std::uint64_t{options} << 32 | command};
        std::memcpy(machine.memory.data() + ring + std::size_t{number} * 16, words, 16);
    }

    BenchMachine machine;
    Nic nic;
};

}  // namespace nic82599
