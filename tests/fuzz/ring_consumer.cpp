// SPDX-License-Identifier: BSD-2-Clause
// The C consumer over a ring that the input fills: an image of its memory, then a list of calls, with new words written
// into the ring between them. The ring ends where the allocation ends, so that a byte too far is seen.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "ring.h"
#include "tests/fuzz/input.hpp"

namespace {

constexpr std::uint32_t capacity = LVIF_RING_MIN_CAPACITY;

struct Free {
    void operator()(std::uint8_t* memory) const { std::free(memory); }
};

void touch(lvif_frame const& frame, std::uint8_t const* data) {
    std::uint8_t sum = 0;
    if (frame.bytes < data || frame.bytes + frame.length > data + capacity || frame.length < LVIF_MIN_FRAME_BYTES ||
        frame.length > lvif_ring_max_frame(capacity))
        std::abort();
    if ((frame.offload.flags & LVIF_CSUM_PARTIAL) != 0 &&
        frame.offload.csum_start + frame.offload.csum_offset + 2U > frame.length)
        std::abort();
    for (std::uint32_t i = 0; i < frame.length; i++)
        sum ^= frame.bytes[i];
    asm volatile("" : : "r"(sum));  // the reads are not optimised away
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
    static std::unique_ptr<std::uint8_t, Free> const memory(
        static_cast<std::uint8_t*>(std::aligned_alloc(LVIF_PAGE_BYTES, lvif_ring_bytes(capacity))));
    Input input(bytes, size);
    auto* const ring = reinterpret_cast<lvif_ring_header*>(memory.get());
    std::uint8_t* const data = memory.get() + sizeof(lvif_ring_header);
    std::uint64_t const start = input.take<std::uint64_t>() & ~std::uint64_t{15};
    auto const flags = input.take<std::uint16_t>();

    std::memset(memory.get(), 0, lvif_ring_bytes(capacity));
    lvif_ring_create(ring, capacity, LVIF_F_ALL, start);
    lvif_consumer consumer{};
    lvif_consumer_start(&consumer, ring, capacity, flags & (LVIF_KNOWN_FLAGS & ~LVIF_PAD), start);
    ring->head = start + std::uint64_t{input.take<std::uint16_t>()} * 16;
    while (!input.empty()) {
        lvif_frame frame{};
        std::uint64_t const tail = consumer.tail;
        switch (input.take<std::uint8_t>() % 8) {
            case 0:
            case 1: {
                // A record where the consumer looks next, then a head behind it.
                auto const record = input.take<lvif_record>();
                std::memcpy(data + (consumer.tail & (capacity - 1)), &record, sizeof record);
                ring->head = consumer.tail + lvif_record_bytes(record.length) + 16 * (input.take<std::uint8_t>() % 4);
                break;
            }
            case 2:
                ring->head = input.take<std::uint64_t>();
                break;
            case 3:
                std::memset(data + input.take<std::uint16_t>() % capacity / 16 * 16, input.take<std::uint8_t>(), 16);
                break;
            case 4:
            case 5:
                if (lvif_consumer_peek(&consumer, &frame) == 1)
                    touch(frame, data);
                break;
            case 6:
                lvif_consumer_release(&consumer);
                (void)lvif_consumer_publish(&consumer);
                break;
            default:
                (void)lvif_consumer_sleep(&consumer);
                lvif_consumer_wake(&consumer);
                break;
        }
        if (consumer.tail - tail > capacity || consumer.tail % 16 != 0 || (consumer.broken && consumer.breaks != 1))
            std::abort();
    }
    return 0;
}
