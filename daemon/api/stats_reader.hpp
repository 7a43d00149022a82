// SPDX-License-Identifier: BSD-2-Clause
// The reader's side of the statistics file (stats_file.hpp): a read-only mapping, copied out on request. Needs no
// answer from the server and works while its engine is dead or hangs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/api/stats_file.hpp"

namespace librettos {

struct ThreadReading {
    std::uint64_t turns = 0;
    bool sleeping = false;
    std::uint64_t sleeps = 0;
    std::uint64_t busy_ns = 0;
    std::uint64_t mbufs_lost = 0;
};

struct SlotReading {
    std::uint32_t slot = 0;  // 0: the wire
    std::uint32_t generation = 0;
    std::uint16_t domain = 0;
    std::string name;
    std::vector<std::uint64_t> counters;  // by StatsReader::counter_names(), summed over the data threads
};

struct StatsReading {
    std::uint64_t taken_ns = 0;  // CLOCK_MONOTONIC
    std::uint64_t engine_generation = 0;
    std::uint64_t engine_start_ns = 0;
    std::uint64_t engine_pid = 0;
    std::uint64_t holder_pid = 0;
    std::vector<ThreadReading> threads;
    std::vector<SlotReading> slots;  // the wire and every slot in use
};

class StatsReader {
  public:
    // Throws std::system_error when the file cannot be opened, std::runtime_error when it is no statistics file of
    // our version or contradicts itself.
    explicit StatsReader(std::string path);
    ~StatsReader();
    StatsReader(StatsReader const&) = delete;
    StatsReader& operator=(StatsReader const&) = delete;

    std::vector<std::string> const& counter_names() const { return names_; }
    // Maps the file anew when another one has taken its place (the holder was restarted). Throws as the constructor.
    StatsReading read();

  private:
    void open();
    void close() noexcept;
    bool replaced() const;
    void check_layout() const;
    void read_names();
    bool read_slot(std::uint32_t slot, SlotReading& reading) const;
    std::uint64_t counter(std::uint32_t slot, std::uint32_t index) const;

    StatsHeader const& header() const { return *reinterpret_cast<StatsHeader const*>(bytes_); }
    StatsSlot const& slot(std::uint32_t index) const;

    std::string path_;
    std::byte const* bytes_ = nullptr;
    std::size_t size_bytes_ = 0;
    std::uint64_t device_ = 0;
    std::uint64_t inode_ = 0;
    // copies of the header's layout, checked against the size
    std::uint32_t threads_ = 0;
    std::uint32_t slots_ = 0;
    std::uint32_t counters_ = 0;
    std::uint64_t slots_offset_ = 0;
    std::uint64_t cells_offset_ = 0;
    std::vector<std::string> names_;
};

}  // namespace librettos
