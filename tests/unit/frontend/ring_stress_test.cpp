// SPDX-License-Identifier: BSD-2-Clause
// Two threads on one ring, sleeping and waking by the protocol. Built plainly and with the thread sanitizer. A lost
// wake-up shows as an event that does not come within a time no machine needs.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "daemon/engine/datapath/frame_ring.hpp"
#include "ring_memory.hpp"

namespace {

constexpr std::uint32_t capacity = LVIF_RING_MIN_CAPACITY;
constexpr std::uint32_t frames_to_send = 60000;
constexpr auto lost_after = std::chrono::seconds(30);

class Event {
  public:
    void notify() {
        std::lock_guard const lock(mutex_);
        pending_ = true;
        there_.notify_one();
    }
    bool wait() {
        std::unique_lock lock(mutex_);
        bool const came = there_.wait_for(lock, lost_after, [this] { return pending_; });
        pending_ = false;
        return came;
    }

  private:
    std::mutex mutex_;
    std::condition_variable there_;
    bool pending_ = false;
};

struct Link {
    explicit Link(std::uint64_t position) : memory(capacity, position), start(position) {}
    RingMemory memory;
    std::uint64_t start;
    Event frames;
    Event space;
};

std::uint32_t length_of(std::uint32_t number) {
    std::uint32_t const hash = number * 2654435761U;
    return hash % 16 == 0 ? 20000 + hash % 12000 : 64 + hash % 1400;
}

// Sequence number, a stream derived from it, and its sum: content as well as order are verified.
void fill(std::uint8_t* to, std::uint32_t number, std::uint32_t length) {
    std::uint32_t sum = number;
    std::memcpy(to, &number, 4);
    for (std::uint32_t i = 8; i < length; i++) {
        to[i] = static_cast<std::uint8_t>((number + i) * 167U);
        sum = sum * 31 + to[i];
    }
    std::memcpy(to + 4, &sum, 4);
}

bool right(std::uint8_t const* from, std::uint32_t number, std::uint32_t length) {
    std::uint32_t read = 0;
    std::uint32_t expected = 0;
    std::uint32_t sum = number;
    if (length != length_of(number))
        return false;
    std::memcpy(&read, from, 4);
    std::memcpy(&expected, from + 4, 4);
    for (std::uint32_t i = 8; i < length; i++)
        sum = sum * 31 + from[i];
    return read == number && sum == expected;
}

// A burst of random size now and then, so that both sides sleep often.
bool burst_ends(std::mt19937& random) {
    return random() % 24 == 0;
}

void guest_produces(Link& link, unsigned seed) {
    lvif_producer end{};
    std::mt19937 random(seed);
    lvif_producer_start(&end, link.memory.header(), capacity, 0, link.start);
    auto publish = [&] {
        if (lvif_producer_publish(&end))
            link.frames.notify();
    };
    for (std::uint32_t number = 0; number < frames_to_send; number++) {
        std::uint32_t const length = length_of(number);
        std::uint8_t* place = nullptr;
        int result = 0;
        while ((result = lvif_producer_reserve(&end, length, &place)) == LVIF_EAGAIN) {
            publish();
            if (!lvif_producer_wait(&end, length) && !link.space.wait())
                FAIL() << "wake-up of the producer lost at frame " << number;
        }
        ASSERT_EQ(result, 0);
        fill(place, number, length);
        ASSERT_EQ(lvif_producer_commit(&end, length, nullptr), 0);
        if (burst_ends(random))
            publish();
    }
    publish();
}

void guest_consumes(Link& link, unsigned seed) {
    lvif_consumer end{};
    std::mt19937 random(seed);
    lvif_consumer_start(&end, link.memory.header(), capacity, all_rx_flags, link.start);
    auto publish = [&] {
        if (lvif_consumer_publish(&end))
            link.space.notify();
    };
    for (std::uint32_t number = 0; number < frames_to_send;) {
        lvif_frame frame{};
        int const result = lvif_consumer_peek(&end, &frame);
        ASSERT_GE(result, 0);
        if (result == 1) {
            ASSERT_TRUE(right(frame.bytes, number, frame.length)) << number;
            lvif_consumer_release(&end);
            number++;
            if (burst_ends(random))
                publish();
            continue;
        }
        publish();
        if (lvif_consumer_sleep(&end)) {
            if (!link.frames.wait())
                FAIL() << "wake-up of the consumer lost at frame " << number;
            lvif_consumer_wake(&end);
        }
    }
    publish();
}

// The server never waits for space: it drops. Here it must not, so it comes again.
void server_produces(Link& link, unsigned seed) {
    auto end = librettos::RingProducer::adopt(link.memory.all(), capacity);
    std::mt19937 random(seed);
    std::vector<std::uint8_t> bytes(40000);
    ASSERT_TRUE(end);
    auto publish = [&] {
        if (!end->has_unpublished())
            return;
        end->publish();
        librettos::full_fence();
        if (end->consumer_sleeps())
            link.frames.notify();
    };
    for (std::uint32_t number = 0; number < frames_to_send; number++) {
        std::uint32_t const length = length_of(number);
        fill(bytes.data(), number, length);
        while (!end->put(reinterpret_cast<std::byte const*>(bytes.data()), length, lvif_record{})) {
            ASSERT_FALSE(end->broken());
            publish();
            std::this_thread::yield();
        }
        if (burst_ends(random))
            publish();
    }
    publish();
}

void server_consumes(Link& link, unsigned seed) {
    auto end = librettos::RingConsumer::adopt(link.memory.all(), capacity);
    std::mt19937 random(seed);
    ASSERT_TRUE(end);
    auto publish = [&] {
        if (!end->has_unpublished())
            return;
        end->publish();
        librettos::full_fence();
        if (end->producer_waits())
            link.space.notify();
    };
    for (std::uint32_t number = 0; number < frames_to_send;) {
        librettos::RingConsumer::Frame frame;
        if (end->take(frame)) {
            ASSERT_TRUE(right(reinterpret_cast<std::uint8_t const*>(frame.bytes), number, frame.record.length))
                << number;
            number++;
            if (burst_ends(random))
                publish();
            continue;
        }
        ASSERT_FALSE(end->broken());
        if (end->refresh())
            continue;
        publish();
        end->arm();
        librettos::full_fence();
        if (!end->refresh() && !link.frames.wait())
            FAIL() << "wake-up of the server lost at frame " << number;
        end->disarm();
    }
    publish();
}

class RingStress : public ::testing::TestWithParam<std::uint64_t> {
  protected:
    void run(void (*producer)(Link&, unsigned), void (*consumer)(Link&, unsigned)) {
        unsigned const seed = std::random_device{}();
        SCOPED_TRACE("seed " + std::to_string(seed));
        Link link(GetParam());
        std::thread other([&] { producer(link, seed); });
        consumer(link, seed + 1);
        other.join();
        EXPECT_EQ(link.memory.header()->head, link.memory.header()->tail);
    }
};

TEST_P(RingStress, guest_to_guest_code) {
    run(guest_produces, guest_consumes);
}
TEST_P(RingStress, guest_to_server) {
    run(guest_produces, server_consumes);
}
TEST_P(RingStress, server_to_guest) {
    run(server_produces, guest_consumes);
}

INSTANTIATE_TEST_SUITE_P(positions, RingStress,
                         ::testing::Values((std::uint64_t{1} << 32) - 2 * capacity,
                                           std::uint64_t{0} - 2 * capacity - 16));

}  // namespace
