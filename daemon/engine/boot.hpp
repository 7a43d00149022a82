// SPDX-License-Identifier: BSD-2-Clause
// What the holder hands to its child, the engine: everything that has to outlive an engine, set up once before the
// fork. The engine is a shared object, opened after the fork and reached by one function with C linkage; it may come
// from another release than the holder (object/contract.hpp).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <librettos/frame_ring.h>
#include <librettos/poll_window.h>

#include "daemon/api/stats_file.hpp"
#include "daemon/config/config.hpp"
#include "daemon/engine/datapath/spsc_queue.hpp"
#include "drivers/nic/port_description.hpp"

struct rte_mempool;
struct rte_mbuf;

namespace librettos {

// A frame on its way from one data thread to the one that serves its guest.
struct Handoff {
    rte_mbuf* buffer;
    lvif_record record;
    std::uint16_t slot;
    std::uint16_t queue;
};

// Buffers that one data thread holds at this moment, in memory shared with the holder: the next engine frees what a
// killed one left behind, and sends what it had ready. Zero-filled memory is the empty state. Indices move before
// buffers are given away, so that a kill between the two loses a buffer (at most a burst of 32) and never frees one
// twice.
struct alignas(64) InFlight {
    static constexpr std::uint32_t wire_burst = 256;
    static constexpr std::uint32_t send_room = 512;
    static constexpr std::uint32_t spare_room = 128;
    std::uint32_t rx_first;  // rx[rx_first .. rx_end) are ours
    std::uint32_t rx_end;
    std::uint32_t tx_first;  // tx[tx_first .. tx_end), modulo send_room, are ready for the wire
    std::uint32_t tx_end;
    std::uint32_t spares;          // spare[0 .. spares) are empty buffers
    std::uint16_t serving;         // slot of the guest whose frames are being handled; 0: none
    std::uint16_t suspect;         // what `serving` was when the last engine crashed
    std::uint32_t suspect_deaths;  // and how many engines in a row crashed so
    rte_mbuf* rx[wire_burst];
    rte_mbuf* tx[send_room];
    std::uint16_t tx_slot[send_room];  // of the guest that sent it
    rte_mbuf* spare[spare_room];
    rte_mbuf* building;                                 // a frame of several buffers that is not complete yet
    SpscQueue<Handoff, 256> handoff[max_data_threads];  // to each other thread
};

// An operate_vf by its id, among those of all engines; 0: none.
constexpr std::uint64_t steering_word(std::uint64_t engine, std::uint32_t request) {
    return engine << 32 | request;
}

// How long a data thread looks on at most before it sleeps. What it waits for comes from others, who sleep too, are
// woken and have work to do; so unless the operator says otherwise the limit is a multiple of what a wake-up takes.
constexpr std::uint32_t poll_limit_us(std::optional<std::uint32_t> configured, std::uint64_t wake_up_ns) {
    constexpr std::uint64_t wake_ups = 16;
    constexpr std::uint64_t most_us = 20'000;
    return configured.value_or(static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(wake_ups * wake_up_ns / 1000, LVIF_POLL_DEFAULT_US, most_us)));
}

struct EngineBoot {
    std::string config_text;         // the configuration that the holder last found right
    Config const* config = nullptr;  // the engine's own reading of it; releases differ in what they read
    PortDescription port;
    rte_mempool* pool = nullptr;  // frames of up to one MTU (jumbo included) in one segment
    std::uint16_t data_threads = 1;
    StatsHeader* stats = nullptr;   // the statistics file, mapped read-write
    InFlight* in_flight = nullptr;  // one per data thread
    // By VF: the last steer_to_vf or steer_to_port that was carried out, as a steering_word(), written before `done` is
    // sent. A data thread that looks there hears of it sooner than by way of the two threads between.
    std::span<std::atomic<std::uint64_t> const> steered;
    std::uint64_t wake_up_ns = 0;   // what it takes a sleeping thread to run once it is woken, measured on this machine
    std::uint16_t first_lcore = 1;  // data thread t uses lcore id first_lcore + t: its mempool cache
    int holder_fd = -1;             // SOCK_SEQPACKET, holder_messages.hpp
    std::uint64_t generation = 1;   // engines since the holder started
    bool after_crash = false;  // the one before ended by a fault of its own or hung; not: was killed or told to stop
    struct Release {
        std::string holder;    // version
        std::string engine;    // version of what runs
        std::string build;     // and its build id
        std::string path;      // where the next release's engine is installed
        std::string refused;   // why what was installed there at the last reload does not run; empty: it does
        std::string given_up;  // its build, if it was tried
    } release;
};

}  // namespace librettos

// Runs until it is told to stop (holder message or end of the holder socket); returns the exit status. Does not throw.
extern "C" int librettos_engine_run(librettos::EngineBoot const* boot) noexcept;
