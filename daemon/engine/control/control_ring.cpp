// SPDX-License-Identifier: BSD-2-Clause
// The server's side of a guest's control ring pair.
#include "daemon/engine/control/control_ring.hpp"

#include <atomic>
#include <cstring>

namespace librettos::control {

namespace {

lvif_control_ring* ring_of(std::span<std::byte> page) {
    return reinterpret_cast<lvif_control_ring*>(page.data());
}

std::uint32_t load(std::uint32_t& shared, std::memory_order order) {
    return std::atomic_ref<std::uint32_t>(shared).load(order);
}

void store(std::uint32_t& shared, std::uint32_t value, std::memory_order order) {
    std::atomic_ref<std::uint32_t>(shared).store(value, order);
}

char const* header_fault(lvif_control_ring& ring) {
    if (load(ring.magic, std::memory_order_relaxed) != LVIF_CONTROL_MAGIC)
        return "control ring: no magic number";
    if (load(ring.version, std::memory_order_relaxed) != LVIF_CONTROL_VERSION)
        return "control ring: unknown version";
    auto const head = load(ring.head, std::memory_order_acquire);
    auto const tail = load(ring.tail, std::memory_order_acquire);
    return head - tail > LVIF_CONTROL_SLOTS ? "control ring: impossible positions" : nullptr;
}

}  // namespace

char const* ControlRing::fault(std::span<std::byte> to_server, std::span<std::byte> to_guest) {
    if (to_server.size() < sizeof(lvif_control_ring) || to_guest.size() < sizeof(lvif_control_ring))
        return "control ring: too small";
    if (auto const* const reason = header_fault(*ring_of(to_server)))
        return reason;
    return header_fault(*ring_of(to_guest));
}

ControlRing::ControlRing(std::span<std::byte> to_server, std::span<std::byte> to_guest)
    : to_server_(ring_of(to_server)),
      to_guest_(ring_of(to_guest)),
      tail_(load(to_server_->tail, std::memory_order_relaxed)),
      head_(load(to_guest_->head, std::memory_order_relaxed)),
      published_(head_) {
}

ControlRing::Take ControlRing::take(lvif_message& message) {
    auto const head = load(to_server_->head, std::memory_order_acquire);  // pairs with the guest's publish
    if (broken_ || head - tail_ > LVIF_CONTROL_SLOTS) {
        broken_ = true;
        return Take::broken;
    }
    if (head == tail_)
        return Take::empty;
    std::memcpy(&message, &to_server_->slots[tail_ % LVIF_CONTROL_SLOTS], sizeof message);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // the copy is made here, not re-read by the compiler later
    ++tail_;
    return Take::message;
}

bool ControlRing::release() {
    store(to_server_->tail, tail_, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return load(to_server_->producer_waits, std::memory_order_relaxed) == 1;
}

bool ControlRing::arm() {
    store(to_server_->consumer_sleeps, 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (load(to_server_->head, std::memory_order_acquire) == tail_)
        return true;
    store(to_server_->consumer_sleeps, 0, std::memory_order_relaxed);
    return false;
}

bool ControlRing::has_room() {
    auto const used = head_ - load(to_guest_->tail, std::memory_order_acquire);  // pairs with the guest's release
    broken_ = broken_ || used > LVIF_CONTROL_SLOTS;
    return !broken_ && used < LVIF_CONTROL_SLOTS;
}

bool ControlRing::put(lvif_message const& message) {
    if (!has_room())
        return false;
    std::memcpy(&to_guest_->slots[head_ % LVIF_CONTROL_SLOTS], &message, sizeof message);
    ++head_;
    return true;
}

bool ControlRing::publish() {
    if (head_ == published_)
        return false;
    published_ = head_;
    store(to_guest_->head, head_, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return load(to_guest_->consumer_sleeps, std::memory_order_relaxed) == 1;
}

}  // namespace librettos::control
