// SPDX-License-Identifier: BSD-2-Clause
// Attacks on shared memory, event channels and the control rings.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/hostile/attacks.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;

// All of the rings' memory turns into zeros under the server, again and again, while frames are sent.
Json holes_punched(Rogue& rogue, Setting const& setting) {
    auto const memory = own_descriptors("memfd:lvif");
    std::vector<std::uint8_t> const frame(60, 0);
    for (auto const end = in(setting.time); before(end);) {
        for (int const fd : memory)
            fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 64 << 20);
        rogue.send(frame, {});
    }
    Ring const& tx = rogue.queue(0).tx;
    tx.set_head(tx.head() + 8);
    rogue.ring();
    auto result = outcome(rogue);
    result["regions"] = memory.size();
    result["shrunk"] = !memory.empty() && ftruncate(memory.front(), 0) == 0;
    return result;
}

// Takes back what it shared while the server uses it, as far as it can.
Json pages_unmapped(Rogue& rogue, Setting const&) {
    Json result;
    Queue const& queue = rogue.queue(0);
    result["unshare"] = lvif_hv_unshare(rogue.hv(), queue.tx.region);
    for (Ring const* ring : {&queue.tx, &queue.rx})
        munmap(ring->header, LVIF_PAGE_BYTES + std::size_t{ring->capacity});
    for (int const fd : own_descriptors("memfd:lvif"))
        close(fd);
    rogue.ring();
    pause(Milliseconds(200));
    result.update(still_there(rogue));
    return result;
}

Json doorbell_storm(Rogue& rogue, Setting const& setting) {
    std::uint64_t rings = 0;
    for (auto const end = in(setting.time); before(end);)
        for (int i = 0; i < 1000; ++i, ++rings) {
            rogue.ring();
            lvif_hv_event_notify(rogue.hv(), rogue.control_event());
        }
    auto result = still_there(rogue);
    result["rings"] = rings;
    return result;
}

// The counter as full as it gets, blocking, and read by the guest itself at the same time.
Json doorbell_full(Rogue& rogue, Setting const& setting) {
    auto const events = own_descriptors("[eventfd]");
    for (int const fd : events)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    std::uint64_t const most = 0xfffffffffffffffe;
    for (auto const end = in(setting.time); before(end);)
        for (int const fd : events) {
            std::uint64_t count = 0;
            fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
            (void)!read(fd, &count, sizeof count);
            (void)!write(fd, &most, sizeof most);
            fcntl(fd, F_SETFL, O_RDWR);
        }
    auto result = still_there(rogue);
    result["events"] = events.size();
    return result;
}

// Says all the time that it sleeps, and takes no notification: its socket fills up. The test sends from the wire.
Json notifications_not_taken(Rogue& rogue, Setting const& setting) {
    int const least = 1;
    for (int const fd : own_descriptors("socket:"))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
    Ring const& rx = rogue.queue(0).rx;
    auto* const tx = rogue.queue(0).tx.header;
    std::vector<std::uint8_t> const frame(60, 0);
    for (auto const end = in(setting.time); before(end);) {
        __atomic_store_n(&rx.header->consumer_sleeps, 1U, __ATOMIC_RELAXED);
        __atomic_store_n(&tx->producer_waits, 1U, __ATOMIC_RELAXED);
        rx.set_tail(rx.head());
        rogue.send(frame, {});
    }
    return still_there(rogue);
}

// Control ring: `fill` writes each message. Never reads the answers.
template <typename Fill>
Json control_flood(Rogue& rogue, Setting const& setting, Fill fill) {
    auto* const ring = rogue.to_server();
    std::uint64_t sent = 0;
    for (auto const end = in(setting.time); before(end);) {
        std::uint32_t const head = ring->head;
        if (head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) == LVIF_CONTROL_SLOTS) {
            lvif_hv_event_notify(rogue.hv(), rogue.control_event());
            continue;
        }
        fill(ring->slots[head % LVIF_CONTROL_SLOTS]);
        __atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
        ++sent;
    }
    auto result = still_there(rogue);
    result["sent"] = sent;
    return result;
}

Json control_storm(Rogue& rogue, Setting const& setting) {
    return control_flood(rogue, setting, [](lvif_message& message) {
        message = {};
        message.type = LVIF_MSG_HELLO;
        message.flags = LVIF_MSG_WANTS_REPLY;
        std::memset(message.u.hello.program, '\x1b', sizeof message.u.hello.program);
    });
}

Json control_garbage(Rogue& rogue, Setting const& setting) {
    std::mt19937 random{3};
    return control_flood(rogue, setting, [&](lvif_message& message) {
        std::array<std::uint32_t, sizeof message / 4> words;
        for (auto& word : words)
            word = static_cast<std::uint32_t>(random());
        std::memcpy(&message, words.data(), sizeof message);
        message.type = static_cast<std::uint16_t>(random() % 48);
    });
}

Json control_head_jump(Rogue& rogue, Setting const&) {
    rogue.to_server()->head += LVIF_CONTROL_SLOTS + 1;
    lvif_hv_event_notify(rogue.hv(), rogue.control_event());
    return outcome(rogue);
}

Json control_tail_jump(Rogue& rogue, Setting const&) {
    rogue.to_guest()->tail = rogue.to_guest()->head + 7;
    auto* const ring = rogue.to_server();
    ring->slots[ring->head % LVIF_CONTROL_SLOTS] = {};
    ring->slots[ring->head % LVIF_CONTROL_SLOTS].type = LVIF_MSG_HELLO;
    ring->slots[ring->head % LVIF_CONTROL_SLOTS].flags = LVIF_MSG_WANTS_REPLY;
    __atomic_store_n(&ring->head, ring->head + 1, __ATOMIC_RELEASE);
    lvif_hv_event_notify(rogue.hv(), rogue.control_event());
    return outcome(rogue);
}

}  // namespace

std::vector<Attack> memory_attacks() {
    return {
        {"holes-punched", true, holes_punched},
        {"pages-unmapped", true, pages_unmapped},
        {"doorbell-storm", true, doorbell_storm},
        {"doorbell-full", true, doorbell_full},
        {"notifications-not-taken", true, notifications_not_taken},
        {"control-storm", true, control_storm},
        {"control-garbage", true, control_garbage},
        {"control-head-jump", true, control_head_jump},
        {"control-tail-jump", true, control_tail_jump},
    };
}

}  // namespace librettos::hostile
