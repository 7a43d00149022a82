// SPDX-License-Identifier: BSD-2-Clause
// A ring's memory for tests: exactly as long as the ring, so that the address sanitizer sees one byte too many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include "ring.h"

struct RingMemory {
    RingMemory(std::uint32_t ring_capacity, std::uint64_t start)
        : capacity(ring_capacity), size(lvif_ring_bytes(ring_capacity)) {
        bytes.reset(static_cast<std::byte*>(std::aligned_alloc(LVIF_PAGE_BYTES, size)));
        if (!bytes)
            throw std::bad_alloc();
        std::memset(bytes.get(), 0xA5, size);
        std::memset(bytes.get(), 0, sizeof(lvif_ring_header));
        lvif_ring_create(header(), capacity, LVIF_F_ALL, start);
    }

    lvif_ring_header* header() { return reinterpret_cast<lvif_ring_header*>(bytes.get()); }
    std::byte* data() { return bytes.get() + sizeof(lvif_ring_header); }
    std::span<std::byte> all() { return {bytes.get(), size}; }

    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    std::uint32_t capacity;
    std::size_t size;
    std::unique_ptr<std::byte, Free> bytes;
};

constexpr std::uint16_t all_tx_flags = LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4 | LVIF_GSO_TCP6;
constexpr std::uint16_t all_rx_flags = all_tx_flags | LVIF_CSUM_OK;
