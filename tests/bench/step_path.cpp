// SPDX-License-Identifier: BSD-2-Clause
// Where the cycles go: the server's steps done one after the other over a burst, with the time-stamp counter read
// between them.
//
// The steps are the product's own classifier and ring ends, in the order of DataThread::turn(), without its counters
// and timers, and one after the other where the product has three stages of a burst overlap. The stamps are taken per
// burst of 32 frames, so that reading them costs about a cycle per frame.
#include <array>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>

#include <rte_cycles.h>
#include <CLI/CLI.hpp>

#include "daemon/engine/datapath/classify.hpp"
#include "daemon/engine/datapath/frame_ring.hpp"
#include "tests/bench/guest_side.hpp"
#include "tests/bench/memory_port.hpp"
#include "tests/bench/server_side.hpp"
#include "tests/bench/session.hpp"

namespace librettos::bench {
namespace {

constexpr std::uint16_t burst = 32;
constexpr unsigned bursts_per_publish = 32;  // what the product takes from a busy wire between two publications
constexpr unsigned rounds_per_turn = 2;

// One thread writes, the main thread reads.
class StepClock {
  public:
    void start() { last_ = rte_rdtsc(); }
    void stamp(std::size_t step) {
        std::uint64_t const now = rte_rdtsc();
        __atomic_store_n(&cycles_[step], cycles_[step] + now - last_, __ATOMIC_RELAXED);
        last_ = now;
    }
    std::uint64_t cycles(std::size_t step) const { return __atomic_load_n(&cycles_[step], __ATOMIC_RELAXED); }

  private:
    std::uint64_t last_ = 0;
    std::array<std::uint64_t, 8> cycles_{};
};

struct Ends {
    RingProducer to_guest;
    RingConsumer from_guest;
    bool touched = false;
};

class Steps {
  public:
    Steps(Traffic const& traffic, std::span<std::unique_ptr<GuestDevice> const> devices, MemoryPort& port,
          rte_mempool* pool)
        : port_(port), pool_(pool), directory_(network_identity(), traffic.portmap()), classifier_(directory_) {
        NetworkIdentity const network = network_identity();
        for (auto const& device : devices) {
            auto const capacity = static_cast<std::uint32_t>(device->tx_ring().size() - LVIF_PAGE_BYTES);
            auto const producer = RingProducer::adopt(device->rx_ring(), capacity);
            auto const consumer = RingConsumer::adopt(device->tx_ring(), capacity);
            if (!producer || !consumer)
                throw std::runtime_error("a fresh ring is refused");
            rings_.push_back({*producer, *consumer});
            directory_.add(static_cast<Slot>(rings_.size()),
                           {DomId{device->domain()}, GuestMode::shared, network.mac, network.ipv4, network.ipv6});
        }
        touched_.reserve(rings_.size());
    }

    void inbound();
    void outbound();

    StepClock const& clock() const { return clock_; }
    std::uint64_t frames() const { return __atomic_load_n(&frames_, __ATOMIC_RELAXED); }

  private:
    void touch(Ends& ends) {
        if (!ends.touched) {
            ends.touched = true;
            touched_.push_back(&ends);
        }
    }
    void classify_and_copy(std::span<rte_mbuf* const> frames);
    std::uint16_t take_and_send();
    void publish(bool inbound);

    MemoryPort& port_;
    rte_mempool* pool_;
    Directory directory_;
    Classifier classifier_;
    std::vector<Ends> rings_;
    std::vector<Ends*> touched_;
    StepClock clock_;
    std::size_t next_ = 0;
    std::uint64_t frames_ = 0;
    std::uint64_t sleepers_ = 0;
};

void Steps::publish(bool inbound) {
    for (Ends* const ends : touched_) {
        if (inbound)
            ends->to_guest.publish();
        else
            ends->from_guest.publish();
    }
    full_fence();
    for (Ends* const ends : touched_) {
        ends->touched = false;
        sleepers_ += inbound ? ends->to_guest.consumer_sleeps() : ends->from_guest.producer_waits();
    }
    touched_.clear();
}

void Steps::inbound() {
    rte_mbuf* frames[burst];
    for (unsigned round = 0; round < rounds_per_turn; ++round) {
        std::uint64_t count = 0;
        for (unsigned i = 0; i < bursts_per_publish; ++i) {
            clock_.start();
            std::uint16_t const got = port_.receive(frames, burst);
            clock_.stamp(0);
            classify_and_copy({frames, got});
            rte_pktmbuf_free_bulk(frames, got);
            clock_.stamp(3);
            count += got;
        }
        publish(true);
        clock_.stamp(4);
        __atomic_store_n(&frames_, frames_ + count, __ATOMIC_RELAXED);
    }
}

void Steps::classify_and_copy(std::span<rte_mbuf* const> frames) {
    Slot slots[burst];
    for (rte_mbuf const* const frame : frames)
        rte_prefetch0(rte_pktmbuf_mtod(frame, void*));
    for (std::size_t i = 0; i < frames.size(); ++i) {
        auto const* const bytes = rte_pktmbuf_mtod(frames[i], std::uint8_t const*);
        slots[i] = classifier_.from_wire({bytes, frames[i]->data_len}, frames[i]->data_len, 0).slot;
        if (slots[i] != wire_slot)
            rings_[slots[i] - 1U].to_guest.prefetch();
    }
    clock_.stamp(1);
    for (std::size_t i = 0; i < frames.size(); ++i) {
        if (slots[i] == wire_slot)
            throw std::logic_error("a frame to an owned port was refused");
        Ends& ends = rings_[slots[i] - 1U];
        ends.to_guest.put(rte_pktmbuf_mtod(frames[i], std::byte const*), frames[i]->data_len, lvif_record{});
        touch(ends);
    }
    clock_.stamp(2);
}

void Steps::outbound() {
    for (unsigned round = 0; round < rounds_per_turn; ++round) {
        std::uint64_t count = 0;
        for (unsigned i = 0; i < bursts_per_publish; ++i)
            count += take_and_send();
        clock_.start();
        publish(false);
        clock_.stamp(3);
        __atomic_store_n(&frames_, frames_ + count, __ATOMIC_RELAXED);
    }
}

std::uint16_t Steps::take_and_send() {
    rte_mbuf* frames[burst];
    lvif_record records[burst];
    Slot slots[burst];
    if (rte_pktmbuf_alloc_bulk(pool_, frames, burst) != 0)
        throw std::runtime_error("no buffers");
    clock_.start();
    std::uint16_t count = 0;
    for (std::size_t looked = 0; looked < rings_.size() && count < burst; ++looked) {
        Ends& ends = rings_[next_];
        RingConsumer::Frame in;
        ends.from_guest.refresh();
        while (count < burst && ends.from_guest.take(in)) {
            std::memcpy(rte_pktmbuf_mtod(frames[count], void*), in.bytes, in.record.length);
            records[count] = in.record;
            slots[count++] = static_cast<Slot>(next_ + 1);
            touch(ends);
        }
        next_ = next_ + 1 == rings_.size() ? 0 : next_ + 1;
    }
    clock_.stamp(0);
    for (std::uint16_t i = 0; i < count; ++i) {
        std::span<std::uint8_t const> const bytes{rte_pktmbuf_mtod(frames[i], std::uint8_t const*), records[i].length};
        if (!classifier_.from_guest(slots[i], bytes, records[i], 0).to_wire)
            throw std::logic_error("a frame of an honest guest was refused");
        frames[i]->data_len = static_cast<std::uint16_t>(records[i].length);
        frames[i]->pkt_len = records[i].length;
    }
    clock_.stamp(1);
    port_.send(frames, count);
    clock_.stamp(2);
    rte_pktmbuf_free_bulk(frames + count, static_cast<unsigned>(burst - count));
    return count;
}

void run(TrafficShape const& shape, bool outbound, std::string const& eal, std::string const& program) {
    start_eal(program, eal);
    Traffic const traffic(shape);
    rte_mempool* const source_pool = make_frame_pool("source", shape.frame_bytes, 1);
    rte_mempool* const server_pool = make_frame_pool("server", shape.frame_bytes, 1);
    MemoryPort port(traffic, Direction::wire_to_guest, source_pool);
    std::vector<std::unique_ptr<GuestDevice>> devices;
    for (std::uint16_t g = 0; g < shape.guests; ++g)
        devices.push_back(
            std::make_unique<GuestDevice>(static_cast<std::uint16_t>(first_domain + g), LVIF_RING_DEFAULT_CAPACITY));
    GuestSide guests(traffic, devices);
    Steps steps(traffic, devices, port, server_pool);

    std::vector<std::string> const names =
        outbound ? std::vector<std::string>{"ring consume", "egress check", "tx", "publish"}
                 : std::vector<std::string>{"rx", "classify", "copy into ring", "free", "publish"};
    Side const server = outbound ? Side{[&steps] { steps.outbound(); }} : Side{[&steps] { steps.inbound(); }};
    Side const guest =
        outbound ? Side{[&guests] { guests.send_round(); }} : Side{[&guests] { guests.receive_round(); }};
    converse({{"program", "steps"}, {"steps", names}}, server, guest, [&] {
        nlohmann::json counts{{"frames", steps.frames()}};
        for (std::size_t i = 0; i < names.size(); ++i)
            counts[names[i]] = steps.clock().cycles(i);
        return counts;
    });
}

}  // namespace
}  // namespace librettos::bench

int main(int argc, char** argv) {
    librettos::bench::TrafficShape shape;
    bool outbound = false;
    std::string eal = "--no-huge --no-shconf -m 512";
    CLI::App app{"Measures the cycles of each step of the data path; talks to run.py on stdin and stdout"};
    app.add_flag("--guest-to-wire", outbound, "The guests send; default: the wire does");
    app.add_option("--bytes", shape.frame_bytes, "Frame size")->capture_default_str();
    app.add_option("--guests", shape.guests, "Guests")->capture_default_str();
    app.add_option("--ports", shape.owned_ports, "Ports owned by all guests together")->capture_default_str();
    app.add_option("--eal", eal, "Memory arguments of EAL")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        librettos::bench::run(shape, outbound, eal, argv[0]);
    } catch (std::exception const& error) {
        std::cerr << "bench_steps: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
