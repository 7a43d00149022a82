// SPDX-License-Identifier: BSD-2-Clause
// The end of a turn: what it put into rings and took out of them becomes visible, and who sleeps is woken.
#include "daemon/engine/datapath/data_thread.hpp"

namespace librettos {

// One fence for all rings of the turn: it pairs with each guest's between its flag and its look at the position.
void DataThread::publish_rings() {
    if (touched_.empty() && handed_to_ == 0) {
        return;
    }
    for (GuestQueue* const queue : touched_) {
        queue->published_to_guest = queue->to_guest.has_unpublished();
        queue->published_from_guest = queue->from_guest.has_unpublished();
        if (queue->published_to_guest) {
            queue->to_guest.publish();
        }
        if (queue->published_from_guest) {
            queue->from_guest.publish();
        }
    }
    full_fence();
    for (GuestQueue* const queue : touched_) {
        queue->touched = false;
        queue->growing.close();
        if (queue->put_frames != 0) {
            counters_.add(queue->guest->slot, Counter::to_guest_frames, queue->put_frames);
            counters_.add(queue->guest->slot, Counter::to_guest_bytes, queue->put_bytes);
            queue->put_frames = 0;
            queue->put_bytes = 0;
        }
        if ((queue->published_to_guest && queue->to_guest.consumer_sleeps()) ||
            (queue->published_from_guest && queue->from_guest.producer_waits())) {
            queue->event->notify();
            counters_.add(queue->guest->slot, Counter::doorbells_sent);
        }
    }
    touched_.clear();
    wake_peers();
}

void DataThread::wake_peers() {
    for (DataThread* const peer : peers_) {
        // After the full fence of publish_rings(), which pairs with sleep()'s.
        if ((handed_to_ >> peer->setup_.index & 1U) != 0 && peer->asleep_.load(std::memory_order_relaxed)) {
            peer->wake();
        }
    }
    handed_to_ = 0;
}

}  // namespace librettos
