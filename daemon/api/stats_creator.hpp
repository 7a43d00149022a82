// SPDX-License-Identifier: BSD-2-Clause
// The holder's side of the statistics file (stats_file.hpp): it makes the file; data threads write, readers map it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "daemon/api/counters.hpp"
#include "daemon/api/stats_file.hpp"

namespace librettos {

// Bytes of a file for so many threads and slots (slot 0 included), with the counters of counters.hpp.
std::uint64_t stats_file_bytes(std::uint32_t threads, std::uint32_t slots);
// Fills stats_file_bytes() zeroed bytes: header, counter names, free slots.
void initialise_stats(void* memory, std::uint32_t threads, std::uint32_t slots);

// The file, mapped read-write and shared with children. Readable by everybody; appears under its name only when
// complete. The name is removed at the end of its life, if it is still this file's.
class StatsFile {
  public:
    // Throws std::system_error.
    StatsFile(std::string path, std::uint32_t threads, std::uint32_t slots);
    ~StatsFile();
    StatsFile(StatsFile const&) = delete;
    StatsFile& operator=(StatsFile const&) = delete;

    StatsHeader* header() const { return static_cast<StatsHeader*>(memory_); }
    // Of the wire, one that no data thread counts.
    void set_wire(Counter counter, std::uint64_t value) const;

  private:
    void create(std::string const& unfinished, std::uint32_t threads, std::uint32_t slots);

    std::string path_;
    std::uint64_t bytes_;
    void* memory_ = nullptr;
    std::uint64_t device_ = 0;
    std::uint64_t inode_ = 0;
};

}  // namespace librettos
