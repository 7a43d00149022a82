// SPDX-License-Identifier: BSD-2-Clause
// Lays the statistics file out and gives it its name.
#include "daemon/api/stats_creator.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <system_error>

#include "daemon/api/counters.hpp"

namespace librettos {
namespace {

constexpr std::uint16_t free_slot_domain = 0xffff;

constexpr std::uint64_t to_cache_line(std::uint64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

constexpr std::uint64_t slots_offset() {
    return to_cache_line(sizeof(StatsHeader) + counter_count * stats_name_bytes);
}

constexpr std::uint64_t cells_offset(std::uint32_t slots) {
    return slots_offset() + std::uint64_t{slots} * sizeof(StatsSlot);
}

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error(error, std::generic_category(), what);
}

struct OwnedFd {
    int fd;
    ~OwnedFd() {
        if (fd >= 0) {
            ::close(fd);
        }
    }
};

}  // namespace

std::uint64_t stats_file_bytes(std::uint32_t threads, std::uint32_t slots) {
    return cells_offset(slots) + threads * stats_thread_cells_bytes(slots, counter_count);
}

void initialise_stats(void* memory, std::uint32_t threads, std::uint32_t slots) {
    auto* const header = new (memory) StatsHeader{};
    header->magic = stats_magic;
    header->version = stats_version;
    header->header_bytes = sizeof(StatsHeader);
    header->threads = threads;
    header->slots = slots;
    header->counters = counter_count;
    header->names_offset = sizeof(StatsHeader);
    header->slots_offset = slots_offset();
    header->cells_offset = cells_offset(slots);
    header->file_bytes = stats_file_bytes(threads, slots);
    auto* const bytes = static_cast<char*>(memory);
    for (std::size_t i = 0; i < counter_count; ++i) {
        auto const name = counter_texts[i].name;
        name.copy(bytes + header->names_offset + i * stats_name_bytes, stats_name_bytes - 1);
    }
    for (std::size_t i = 0; i < slots; ++i) {
        auto* const slot = new (bytes + header->slots_offset + i * sizeof(StatsSlot)) StatsSlot{};
        slot->domain = free_slot_domain;
    }
}

StatsFile::StatsFile(std::string path, std::uint32_t threads, std::uint32_t slots)
    : path_(std::move(path)), bytes_(stats_file_bytes(threads, slots)) {
    std::string const unfinished = path_ + ".new." + std::to_string(getpid());
    try {
        create(unfinished, threads, slots);
    } catch (...) {
        unlink(unfinished.c_str());
        if (memory_ != nullptr) {
            munmap(memory_, bytes_);
        }
        throw;
    }
}

void StatsFile::create(std::string const& unfinished, std::uint32_t threads, std::uint32_t slots) {
    unlink(unfinished.c_str());
    OwnedFd const file{open(unfinished.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644)};
    if (file.fd < 0) {
        fail(errno, "cannot create the statistics file " + unfinished + "; check paths.stats and its directory");
    }
    // Allocated now: a full file system shall not be met as SIGBUS in the data path.
    if (int const error = posix_fallocate(file.fd, 0, static_cast<off_t>(bytes_)); error != 0) {
        fail(error, "no room for the statistics file " + path_ + " (" + std::to_string(bytes_) + " bytes)");
    }
    void* const mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
    if (mapped == MAP_FAILED) {
        fail(errno, "cannot map the statistics file " + path_);
    }
    memory_ = mapped;
    initialise_stats(memory_, threads, slots);
    struct stat info {};
    if (fchmod(file.fd, 0644) != 0 || fstat(file.fd, &info) != 0 || rename(unfinished.c_str(), path_.c_str()) != 0) {
        fail(errno, "cannot put the statistics file in place at " + path_);
    }
    device_ = info.st_dev;
    inode_ = info.st_ino;
}

void StatsFile::set_wire(Counter counter, std::uint64_t value) const {
    auto* const cells = reinterpret_cast<std::uint64_t*>(static_cast<char*>(memory_) + header()->cells_offset);
    __atomic_store_n(cells + static_cast<std::size_t>(counter), value, __ATOMIC_RELAXED);
}

StatsFile::~StatsFile() {
    struct stat info {};
    if (stat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
        unlink(path_.c_str());
    }
    munmap(memory_, bytes_);
}

}  // namespace librettos
