// SPDX-License-Identifier: BSD-2-Clause
// A statistics file, written as the holder and the data threads write it (daemon/api/stats_file.hpp).
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>

#include "daemon/api/counters.hpp"
#include "daemon/api/stats_file.hpp"

namespace librettos::test {

class StatsMemory {
  public:
    explicit StatsMemory(std::string const& path, std::uint32_t threads = 1, std::uint32_t slots = 8) {
        names_ = sizeof(StatsHeader);
        slots_ = (names_ + counter_count * stats_name_bytes + 63) / 64 * 64;
        cells_ = slots_ + slots * sizeof(StatsSlot);
        size_ = cells_ + threads * stats_thread_cells_bytes(slots, counter_count);
        int const fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0 || ftruncate(fd, static_cast<off_t>(size_)) != 0)
            throw std::runtime_error("cannot make " + path);
        void* mapped = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (mapped == MAP_FAILED)
            throw std::runtime_error("mmap " + path);
        bytes_ = static_cast<std::byte*>(mapped);
        fill(threads, slots);
    }
    ~StatsMemory() { munmap(bytes_, size_); }
    StatsMemory(StatsMemory const&) = delete;
    StatsMemory& operator=(StatsMemory const&) = delete;

    StatsHeader& header() { return *reinterpret_cast<StatsHeader*>(bytes_); }
    StatsSlot& slot(std::uint32_t index) { return reinterpret_cast<StatsSlot*>(bytes_ + slots_)[index]; }
    std::size_t size() const { return size_; }

    void add_guest(std::uint32_t index, std::uint16_t domain, std::string const& name) {
        slot(index).domain = domain;
        std::fill(std::begin(slot(index).name), std::end(slot(index).name), '\0');
        name.copy(slot(index).name, sizeof(slot(index).name));
        slot(index).generation += 2;
    }
    void count(std::uint32_t thread, std::uint32_t slot, Counter counter, std::uint64_t value) {
        auto const block = thread * stats_thread_cells_bytes(header().slots, counter_count);
        auto const index = slot * counter_count + static_cast<std::size_t>(counter);
        reinterpret_cast<std::atomic<std::uint64_t>*>(bytes_ + cells_ + block)[index] += value;
    }

  private:
    void fill(std::uint32_t threads, std::uint32_t slots) {
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        auto& h = header();
        h.magic = stats_magic;
        h.version = stats_version;
        h.header_bytes = sizeof(StatsHeader);
        h.threads = threads;
        h.slots = slots;
        h.counters = counter_count;
        h.names_offset = names_;
        h.slots_offset = slots_;
        h.cells_offset = cells_;
        h.file_bytes = size_;
        h.engine_generation = 1;
        h.engine_start_ns = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U;
        h.engine_pid = static_cast<std::uint64_t>(getpid());
        h.holder_pid = static_cast<std::uint64_t>(getppid());
        for (std::size_t i = 0; i < counter_count; ++i)
            counter_texts[i].name.copy(reinterpret_cast<char*>(bytes_ + names_ + i * stats_name_bytes),
                                       stats_name_bytes - 1);
        for (std::uint32_t i = 0; i < slots; ++i)
            slot(i).domain = 0xffff;
        for (std::uint32_t t = 0; t < threads; ++t)
            header().thread[t].sleeping = 1;
    }

    std::byte* bytes_ = nullptr;
    std::size_t names_ = 0;
    std::size_t slots_ = 0;
    std::size_t cells_ = 0;
    std::size_t size_ = 0;
};

}  // namespace librettos::test
