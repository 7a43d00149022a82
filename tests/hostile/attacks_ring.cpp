// SPDX-License-Identifier: BSD-2-Clause
// Attacks on the frame rings: positions and records.
#include <atomic>
#include <random>
#include <thread>

#include "tests/hostile/attacks.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;

// Publishes a record that claims `length` and `flags`, with `published` bytes behind head.
Json lie(Rogue& rogue, std::uint32_t length, std::uint16_t flags, std::uint64_t published) {
    Ring const& tx = rogue.queue(0).tx;
    lvif_record record{};
    record.length = length;
    record.flags = flags;
    std::memcpy(tx.at(tx.head()), &record, sizeof record);
    tx.set_head(tx.head() + published);
    rogue.ring();
    return outcome(rogue);
}

Json head_to(Rogue& rogue, std::uint64_t distance) {
    Ring const& tx = rogue.queue(0).tx;
    tx.set_head(tx.head() + distance);
    rogue.ring();
    return outcome(rogue);
}

Json head_beyond_capacity(Rogue& rogue, Setting const&) {
    return head_to(rogue, rogue.queue(0).tx.capacity + 16);
}

Json head_backwards(Rogue& rogue, Setting const&) {
    return head_to(rogue, std::uint64_t(-16));
}

Json head_unaligned(Rogue& rogue, Setting const&) {
    return head_to(rogue, 33);
}

Json head_over_nothing(Rogue& rogue, Setting const&) {
    return head_to(rogue, rogue.queue(0).tx.capacity);  // records of length zero
}

Json length_beyond_head(Rogue& rogue, Setting const&) {
    return lie(rogue, 1500, 0, 64);
}

Json length_huge(Rogue& rogue, Setting const&) {
    return lie(rogue, 0xfffffff0, 0, 64);
}

Json length_zero(Rogue& rogue, Setting const&) {
    return lie(rogue, 0, 0, 64);
}

Json length_over_end(Rogue& rogue, Setting const&) {
    Ring const& tx = rogue.queue(0).tx;
    std::vector<std::uint8_t> const frame(1500, 0);
    while ((tx.head() & (tx.capacity - 1)) + 4096 < tx.capacity)
        rogue.send(frame, {});
    if (!rogue.await_taken())
        return {{"stuck", true}};
    return lie(rogue, 8000, 0, lvif_record_bytes(8000));
}

Json pad_short(Rogue& rogue, Setting const&) {
    return lie(rogue, 48, LVIF_PAD, 64);
}

Json pad_long(Rogue& rogue, Setting const&) {
    return lie(rogue, 0x7ffffff0, LVIF_PAD, 64);
}

Json pad_with_flags(Rogue& rogue, Setting const&) {
    return lie(rogue, 48, LVIF_PAD | LVIF_CSUM_OK, 64);
}

Json unknown_flags(Rogue& rogue, Setting const&) {
    return lie(rogue, 60, 0x8000, 80);
}

// The server looks at rx's tail when the ring is full by its own book: the test fills it from the wire.
Json rx_tail_ahead(Rogue& rogue, Setting const&) {
    Ring const& rx = rogue.queue(0).rx;
    for (auto const end = in(Milliseconds(20'000)); before(end); pause(Milliseconds(1))) {
        rx.set_tail(rx.head() + 16);
        if (!rogue.is_connected())
            break;
    }
    return outcome(rogue);
}

Json rx_tail_behind(Rogue& rogue, Setting const&) {
    Ring const& rx = rogue.queue(0).rx;
    rx.set_tail(std::uint64_t(-1) << 32);
    return outcome(rogue, Milliseconds(20'000));
}

// Never takes a frame: they are dropped, and nobody waits.
Json rx_never_read(Rogue& rogue, Setting const& setting) {
    pause(setting.time);
    return still_there(rogue);
}

Json header_rewritten(Rogue& rogue, Setting const& setting) {
    std::mt19937 random{1};
    std::vector<std::uint8_t> const frame(60, 0);
    auto* const header = rogue.queue(0).tx.header;
    bool taken = true;
    for (auto const end = in(setting.time); taken && before(end);) {
        header->magic = static_cast<std::uint32_t>(random());
        header->version = static_cast<std::uint32_t>(random());
        header->capacity = static_cast<std::uint32_t>(random());
        header->features = static_cast<std::uint32_t>(random());
        taken = rogue.send(frame, {});
    }
    auto result = still_there(rogue);
    result["taken"] = taken && rogue.await_taken();
    return result;
}

// Another thread tears at the shared words while frames are on their way.
template <typename Tear>
Json torn(Rogue& rogue, Setting const& setting, Tear tear) {
    std::atomic<bool> over{false};
    std::thread other([&] {
        std::mt19937 random{2};
        while (!over)
            tear(rogue.queue(0).tx, random);
    });
    std::vector<std::uint8_t> const frame(600, 0);
    bool taken = true;  // not any more once the server has seen the breach
    for (auto const end = in(setting.time); taken && before(end) && rogue.is_connected();)
        for (int i = 0; taken && i < 50; ++i)
            taken = rogue.send(frame, {});
    over = true;
    other.join();
    rogue.queue(0).tx.set_head(rogue.queue(0).tx.tail() + 17);
    rogue.ring();
    return outcome(rogue);
}

Json positions_while_working(Rogue& rogue, Setting const& setting) {
    return torn(rogue, setting, [](Ring const& tx, std::mt19937& random) {
        auto const honest = tx.head();
        tx.set_head(honest + 16 * (random() % 64));
        tx.set_tail(random());
        __atomic_store_n(&tx.header->consumer_sleeps, static_cast<std::uint32_t>(random()), __ATOMIC_RELAXED);
        tx.set_head(honest);
    });
}

Json records_while_working(Rogue& rogue, Setting const& setting) {
    return torn(rogue, setting, [](Ring const& tx, std::mt19937& random) {
        for (std::uint64_t at = 0; at < tx.capacity; at += 16 * (1 + random() % 64)) {
            lvif_record record{};
            record.length = static_cast<std::uint32_t>(random() % 4 == 0 ? random() : 14 + random() % 1600);
            record.flags = static_cast<std::uint16_t>(random() % 8 == 0 ? random() : 0);
            record.gso_size = static_cast<std::uint16_t>(random());
            std::memcpy(tx.at(at), &record, sizeof record);
        }
    });
}

}  // namespace

std::vector<Attack> ring_attacks() {
    return {
        {"head-beyond-capacity", true, head_beyond_capacity},
        {"head-backwards", true, head_backwards},
        {"head-unaligned", true, head_unaligned},
        {"head-over-nothing", true, head_over_nothing},
        {"length-beyond-head", true, length_beyond_head},
        {"length-huge", true, length_huge},
        {"length-zero", true, length_zero},
        {"length-over-end", true, length_over_end},
        {"pad-short", true, pad_short},
        {"pad-long", true, pad_long},
        {"pad-with-flags", true, pad_with_flags},
        {"unknown-flags", true, unknown_flags},
        {"rx-tail-ahead", true, rx_tail_ahead},
        {"rx-tail-behind", true, rx_tail_behind},
        {"rx-never-read", true, rx_never_read},
        {"header-rewritten", true, header_rewritten},
        {"positions-while-working", true, positions_while_working},
        {"records-while-working", true, records_while_working},
    };
}

}  // namespace librettos::hostile
