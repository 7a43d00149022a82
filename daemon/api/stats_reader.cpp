// SPDX-License-Identifier: BSD-2-Clause
// Maps and copies the statistics file. The layout is checked once, at opening, against the file's size; it is written
// by the holder before the file gets its name and does not change afterwards.
#include "daemon/api/stats_reader.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace librettos {

namespace {

constexpr std::uint16_t free_slot_domain = 0xffff;
constexpr std::uint32_t most_slots = 65536;
constexpr std::uint32_t most_counters = 1024;

struct OwnedFd {
    int fd;
    ~OwnedFd() {
        if (fd >= 0)
            ::close(fd);
    }
};

std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

std::string text_of(char const* field, std::size_t size) {
    return {field, strnlen(field, size)};
}

}  // namespace

StatsReader::StatsReader(std::string path) : path_(std::move(path)) {
    open();
}

StatsReader::~StatsReader() {
    close();
}

void StatsReader::close() noexcept {
    if (bytes_ != nullptr)
        munmap(const_cast<std::byte*>(bytes_), size_bytes_);
    bytes_ = nullptr;
}

void StatsReader::open() {
    OwnedFd file{::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.fd < 0)
        throw std::system_error(errno, std::generic_category(), "open " + path_);
    struct stat info {};
    if (fstat(file.fd, &info) != 0)
        throw std::system_error(errno, std::generic_category(), "fstat " + path_);
    if (!S_ISREG(info.st_mode) || info.st_size < static_cast<off_t>(sizeof(StatsHeader)))
        throw std::runtime_error(path_ + " is no statistics file: it is too short");
    auto const size = static_cast<std::size_t>(info.st_size);
    void* mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd, 0);
    if (mapped == MAP_FAILED)
        throw std::system_error(errno, std::generic_category(), "mmap " + path_);
    close();
    bytes_ = static_cast<std::byte const*>(mapped);
    size_bytes_ = size;
    device_ = info.st_dev;
    inode_ = info.st_ino;
    try {
        check_layout();
    } catch (...) {
        close();
        throw;
    }
    threads_ = header().threads;
    slots_ = header().slots;
    counters_ = header().counters;
    slots_offset_ = header().slots_offset;
    cells_offset_ = header().cells_offset;
    read_names();
}

void StatsReader::check_layout() const {
    StatsHeader const& h = header();
    if (h.magic != stats_magic)
        throw std::runtime_error(path_ + " is no statistics file of librettos-netserver");
    if (h.version != stats_version || h.header_bytes != sizeof(StatsHeader))
        throw std::runtime_error(path_ + " has version " + std::to_string(h.version) + ", this program reads version " +
                                 std::to_string(stats_version) + ": use the librettosctl of the server's release");
    auto const fits = [&](std::uint64_t offset, std::uint64_t bytes) {
        return offset % 8 == 0 && offset >= sizeof(StatsHeader) && offset <= size_bytes_ &&
               bytes <= size_bytes_ - offset;
    };
    bool const bounded = h.threads >= 1 && h.threads <= max_data_threads && h.slots >= 1 && h.slots <= most_slots &&
                         h.counters >= 1 && h.counters <= most_counters;
    if (!bounded || !fits(h.names_offset, std::uint64_t{h.counters} * stats_name_bytes) ||
        h.slots_offset % alignof(StatsSlot) != 0 || !fits(h.slots_offset, std::uint64_t{h.slots} * sizeof(StatsSlot)) ||
        !fits(h.cells_offset, h.threads * stats_thread_cells_bytes(h.slots, h.counters)))
        throw std::runtime_error(path_ + " is damaged: its header does not fit its size");
}

void StatsReader::read_names() {
    auto const* names = reinterpret_cast<char const*>(bytes_ + header().names_offset);
    names_.clear();
    for (std::uint32_t i = 0; i < counters_; ++i)
        names_.push_back(text_of(names + std::size_t{i} * stats_name_bytes, stats_name_bytes));
}

bool StatsReader::replaced() const {
    struct stat info {};
    return stat(path_.c_str(), &info) == 0 && (info.st_dev != device_ || info.st_ino != inode_);
}

StatsSlot const& StatsReader::slot(std::uint32_t index) const {
    return reinterpret_cast<StatsSlot const*>(bytes_ + slots_offset_)[index];
}

std::uint64_t StatsReader::counter(std::uint32_t slot, std::uint32_t index) const {
    std::uint64_t sum = 0;
    for (std::uint32_t t = 0; t < threads_; ++t) {
        auto const offset = cells_offset_ + t * stats_thread_cells_bytes(slots_, counters_) +
                            (std::uint64_t{slot} * counters_ + index) * sizeof(std::uint64_t);
        sum += reinterpret_cast<std::atomic<std::uint64_t> const*>(bytes_ + offset)->load(std::memory_order_relaxed);
    }
    return sum;
}

// False when the slot is free, or keeps changing (its writer died half-way): then it belongs to nobody.
bool StatsReader::read_slot(std::uint32_t index, SlotReading& reading) const {
    StatsSlot const& source = slot(index);
    for (int attempt = 0; attempt < 8; ++attempt) {
        auto const generation = source.generation.load(std::memory_order_acquire);
        reading = {};
        reading.slot = index;
        reading.generation = generation;
        reading.domain = source.domain;
        reading.name = index == 0 ? "wire" : text_of(source.name, sizeof(source.name));
        for (std::uint32_t i = 0; i < counters_; ++i)
            reading.counters.push_back(counter(index, i));
        std::atomic_thread_fence(std::memory_order_acquire);
        bool const unchanged = source.generation.load(std::memory_order_relaxed) == generation;
        if (index == 0 || (generation % 2 == 0 && unchanged))
            return index == 0 || reading.domain != free_slot_domain;
    }
    return false;
}

StatsReading StatsReader::read() {
    if (bytes_ == nullptr || replaced())
        open();
    StatsReading reading;
    reading.taken_ns = monotonic_ns();
    reading.engine_generation = header().engine_generation.load(std::memory_order_relaxed);
    reading.engine_start_ns = header().engine_start_ns.load(std::memory_order_relaxed);
    reading.engine_pid = header().engine_pid.load(std::memory_order_relaxed);
    reading.holder_pid = header().holder_pid.load(std::memory_order_relaxed);
    for (std::uint32_t t = 0; t < threads_; ++t) {
        ThreadStats const& thread = header().thread[t];
        reading.threads.push_back(
            {thread.turns.load(std::memory_order_relaxed), thread.sleeping.load(std::memory_order_relaxed) != 0,
             thread.sleeps.load(std::memory_order_relaxed), thread.busy_ns.load(std::memory_order_relaxed),
             thread.mbufs_lost.load(std::memory_order_relaxed)});
    }
    for (std::uint32_t i = 0; i < slots_; ++i) {
        SlotReading slot;
        if (read_slot(i, slot))
            reading.slots.push_back(std::move(slot));
    }
    return reading;
}

}  // namespace librettos
