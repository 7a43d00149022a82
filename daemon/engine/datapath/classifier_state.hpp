// SPDX-License-Identifier: BSD-2-Clause
// The complete rules of classification and the bounded state that they keep.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "daemon/engine/datapath/classify.hpp"

namespace librettos {

struct Classifier::State {
    explicit State(Directory& the_directory) : directory(the_directory) { targets.reserve(max_slots); }

    Verdict from_wire(std::span<std::uint8_t const> frame, std::size_t, std::uint64_t) {
        Verdict verdict;
        verdict.drop = frame.size() < LVIF_MIN_FRAME_BYTES ? Counter::drop_malformed : Counter::drop_not_for_us;
        return verdict;
    }
    Verdict from_guest(Slot, std::span<std::uint8_t const> frame, std::size_t, lvif_record const&, std::uint64_t) {
        Verdict verdict;
        verdict.drop = frame.size() < LVIF_MIN_FRAME_BYTES ? Counter::drop_runt : Counter::drop_not_for_us;
        return verdict;
    }
    std::span<std::uint8_t const> answer() const { return {}; }
    bool hold(void*) { return false; }
    void* take_released() { return nullptr; }
    void forget(Slot) {}

    struct {
        void* take_expired(std::uint64_t) { return nullptr; }
        std::size_t size() const { return 0; }
        std::uint64_t next_expiry_us() const { return UINT64_MAX; }
    } held;

    Directory& directory;
    std::vector<Slot> targets;
};

}  // namespace librettos
