// SPDX-License-Identifier: BSD-2-Clause
// The classifier's face: the common case at once, everything else by the complete rules (classifier_state.hpp).
#include "daemon/engine/datapath/classify.hpp"

#include <algorithm>

#include "daemon/engine/datapath/classifier_state.hpp"
#include "daemon/engine/datapath/fast_path.hpp"

namespace librettos {

Classifier::Classifier(Directory& directory) : directory_(directory), state_(std::make_unique<State>(directory)) {
}

Classifier::~Classifier() = default;

Verdict Classifier::from_wire(std::span<std::uint8_t const> frame, std::size_t frame_bytes, std::uint64_t now_us) {
    frame_bytes = std::max(frame_bytes, frame.size());
    if (Slot const slot = fast_path::from_wire(directory_, frame, frame_bytes); slot != wire_slot) {
        Verdict verdict;
        verdict.slot = slot;
        return verdict;
    }
    return state_->from_wire(frame, frame_bytes, now_us);
}

Verdict Classifier::from_guest(Slot from, std::span<std::uint8_t const> frame, lvif_record const& offload,
                               std::uint64_t now_us) {
    std::size_t const frame_bytes = std::max<std::size_t>(offload.length, frame.size());
    Slot const slot = fast_path::from_guest(directory_, from, frame, frame_bytes, offload);
    if (slot != fast_path::undecided) {
        Verdict verdict;
        verdict.slot = slot;
        verdict.to_wire = slot == wire_slot;
        return verdict;
    }
    return state_->from_guest(from, frame, frame_bytes, offload, now_us);
}

std::span<Slot const> Classifier::targets() const {
    return state_->targets;
}

std::span<std::uint8_t const> Classifier::reply() const {
    return state_->answers.frame();
}

bool Classifier::hold(void* token) {
    return state_->hold(token);
}

void* Classifier::take_released() {
    return state_->take_released();
}

void* Classifier::take_expired(std::uint64_t now_us) {
    return state_->held.take_expired(now_us);
}

std::size_t Classifier::held() const {
    return state_->held.size();
}

std::uint64_t Classifier::next_expiry_us() const {
    return state_->held.next_expiry_us();
}

void Classifier::forget(Slot slot) {
    state_->forget(slot);
}

}  // namespace librettos
