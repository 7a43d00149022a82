// SPDX-License-Identifier: BSD-2-Clause
// The statistics file: counters and state of the data path in shared memory, written by the data
// threads, mapped read-only by librettosctl, which needs no answer from anybody to read it. Also the data threads'
// memory of how much they did when their process has died: the file is made by the holder and goes on with the next
// engine.
//
//   StatsHeader | counter names, counter_count * 32 bytes | StatsSlot[slots] | cells
//
// A cell is a u64 (relaxed atomic), at cells_offset + thread * stats_thread_cells_bytes(slots, counters) +
// (slot * counters + counter) * 8: each thread's block starts at a multiple of 64. One writer per cell: that data
// thread (what the port lost: the holder, at data thread 0). Slot 0 is "wire". A guest keeps its slot while attached; a
// slot's cells are zeroed when it is given to the next guest. Readers use the names in the file, not their own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace librettos {

inline constexpr std::uint64_t stats_magic = 0x3153'5441'5453'4c4cULL;  // "LLSTATS1"
inline constexpr std::uint32_t stats_version = 1;
inline constexpr std::size_t stats_name_bytes = 32;
inline constexpr std::size_t max_data_threads = 16;
inline constexpr char stats_default_path[] = "/run/librettos/stats";

// Written by one data thread; watched by the holder (watchdog) and read by librettosctl.
struct alignas(64) ThreadStats {
    std::atomic<std::uint64_t> turns;     // of the loop; grows while the thread is alive and awake
    std::atomic<std::uint32_t> sleeping;  // 1 while it waits in epoll_wait
    std::uint32_t reserved;
    std::atomic<std::uint64_t> sleeps;      // times it went to sleep
    std::atomic<std::uint64_t> busy_ns;     // time in turns that did work
    std::atomic<std::uint64_t> mbufs_lost;  // buffers given up for lost at engine starts
};
static_assert(sizeof(ThreadStats) == 64);

struct StatsSlot {
    std::atomic<std::uint32_t> generation;  // odd while the slot is being changed
    std::uint16_t domain;                   // 0xffff: free
    std::uint16_t reserved;
    char name[56];
};
static_assert(sizeof(StatsSlot) == 64);

struct StatsHeader {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t header_bytes;  // sizeof(StatsHeader)
    std::uint32_t threads;
    std::uint32_t slots;
    std::uint32_t counters;
    std::uint32_t reserved0;
    std::uint64_t names_offset;
    std::uint64_t slots_offset;
    std::uint64_t cells_offset;
    std::uint64_t file_bytes;
    std::atomic<std::uint64_t> engine_generation;  // engines since the file was made
    std::atomic<std::uint64_t> engine_start_ns;    // CLOCK_MONOTONIC
    std::atomic<std::uint64_t> engine_pid;
    std::atomic<std::uint64_t> holder_pid;
    std::uint8_t reserved1[32];
    ThreadStats thread[max_data_threads];
};
static_assert(sizeof(StatsHeader) == 128 + 64 * max_data_threads);

// From one data thread's cells to the next one's. The cells begin at a multiple of 64, too.
constexpr std::uint64_t stats_thread_cells_bytes(std::uint32_t slots, std::uint32_t counters) {
    return (std::uint64_t{slots} * counters * 8 + 63) / 64 * 64;
}

}  // namespace librettos
