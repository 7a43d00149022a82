// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/pci/dma_memory.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

namespace librettos::guest {
namespace {

struct Shown {
    void* memory;
    std::uint64_t bus_address;
    std::size_t bytes;
};

std::uint64_t number_of(void const* memory) {
    return reinterpret_cast<std::uintptr_t>(memory);
}

TEST(DmaMemory, IsAlignedAndReturnsToUse) {
    DmaMemory memory;
    std::vector<void*> pages;
    for (std::size_t alignment = 8; alignment <= 1 << 20; alignment *= 2) {
        pages.push_back(memory.allocate(5000, alignment));
        ASSERT_NE(pages.back(), nullptr);
        EXPECT_EQ(number_of(pages.back()) % alignment, 0u);
        std::memset(pages.back(), 0xAB, 5000);
    }
    EXPECT_TRUE(memory.owns(pages[0]));
    EXPECT_FALSE(memory.owns(&memory));
    for (void* const page : pages) {
        memory.free(page, 5000);
    }
    void* const whole = memory.allocate(DmaMemory::chunk_bytes, DmaMemory::chunk_bytes);
    EXPECT_EQ(whole, pages[0]) << "what was given back in pieces is one piece again";
}

TEST(DmaMemory, WhatCannotBeIsRefused) {
    DmaMemory memory;
    EXPECT_EQ(memory.allocate(0, 8), nullptr);
    EXPECT_EQ(memory.allocate(DmaMemory::most_bytes + 1, 8), nullptr);
    EXPECT_EQ(memory.allocate(8, DmaMemory::chunk_bytes * 2), nullptr);
}

TEST(DmaMemory, TheDeviceIsShownAllThatThereIsAndWillBe) {
    DmaMemory memory;
    void* const early = memory.allocate(100, 64);
    std::vector<Shown> shown;
    memory.show_to([&](void* place, std::uint64_t bus_address, std::size_t bytes) {
        shown.push_back({place, bus_address, bytes});
    });
    ASSERT_EQ(shown.size(), 1u);
    void* const late = memory.allocate(DmaMemory::chunk_bytes * 2, 4096);
    ASSERT_EQ(shown.size(), 2u);
    for (void const* const each : {early, late}) {
        bool found = false;
        for (Shown const& range : shown) {
            std::uint64_t const within = number_of(each) - number_of(range.memory);
            found = found || (within < range.bytes && memory.bus_address(each) == range.bus_address + within);
        }
        EXPECT_TRUE(found);
    }
    EXPECT_GE(memory.bus_address(early), DmaMemory::first_bus_address);
}

TEST(DmaMemory, WhatTheDeviceCannotReachIsNotGiven) {
    DmaMemory memory;
    ASSERT_NE(memory.allocate(100, 64), nullptr);
    bool limited = false;
    memory.show_to([&](void*, std::uint64_t, std::size_t) {
        if (limited) {
            throw std::runtime_error("the limit of locked memory");
        }
    });
    limited = true;
    testing::internal::CaptureStderr();
    EXPECT_EQ(memory.allocate(DmaMemory::chunk_bytes, 4096), nullptr);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("the limit of locked memory"), std::string::npos);
    EXPECT_NE(memory.allocate(1000, 64), nullptr) << "of the first chunk";
    limited = false;
    EXPECT_NE(memory.allocate(DmaMemory::chunk_bytes, 4096), nullptr);
}

TEST(DmaMemory, NoTwoPiecesOverlap) {
    struct Piece {
        std::uint8_t* place;
        std::size_t bytes;
        std::uint8_t mark;
    };
    DmaMemory memory;
    std::mt19937 random(1);
    std::vector<Piece> pieces;
    for (unsigned step = 0; step < 20'000; ++step) {
        if (pieces.size() > 200 || (!pieces.empty() && random() % 2 == 0)) {
            std::swap(pieces[random() % pieces.size()], pieces.back());
            Piece const gone = pieces.back();
            pieces.pop_back();
            ASSERT_EQ(gone.place[0], gone.mark);
            ASSERT_EQ(gone.place[gone.bytes - 1], gone.mark);
            memory.free(gone.place, gone.bytes);
            continue;
        }
        std::size_t const bytes = 1 + random() % 20'000;
        auto* const place = static_cast<std::uint8_t*>(memory.allocate(bytes, std::size_t{1} << random() % 13));
        ASSERT_NE(place, nullptr);
        pieces.push_back({place, bytes, static_cast<std::uint8_t>(step)});
        place[0] = place[bytes - 1] = static_cast<std::uint8_t>(step);
    }
}

}  // namespace
}  // namespace librettos::guest
