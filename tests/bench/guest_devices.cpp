// SPDX-License-Identifier: BSD-2-Clause
// The environment of memory and the handshake over it.
#include "tests/bench/guest_devices.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

namespace librettos::bench {
namespace {

constexpr std::uint16_t server_domain = 1000;
constexpr std::size_t device_alignment = 64;

struct Region {
    void* pages;
    std::size_t bytes;
};

}  // namespace

struct GuestDevice::World {
    std::map<std::string, std::string, std::less<>> store;
    std::vector<Region> regions;  // reference: index + 1
    std::uint32_t events = 0;
    int doorbell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    static World& of(void* context) { return *static_cast<World*>(context); }

    // Pages of a memfd, as a guest of librettos-hypervisord has them.
    static void* allocate(void*, std::size_t bytes) {
        int const fd = memfd_create("librettos-bench", MFD_CLOEXEC);
        if (fd < 0) {
            return nullptr;
        }
        void* pages = MAP_FAILED;
        if (ftruncate(fd, static_cast<off_t>(bytes)) == 0) {
            pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        }
        close(fd);
        return pages == MAP_FAILED ? nullptr : pages;
    }

    static int share(void* context, void* pages, std::size_t bytes, std::uint16_t, std::uint32_t* region) {
        World& world = of(context);
        world.regions.push_back({pages, bytes});
        *region = static_cast<std::uint32_t>(world.regions.size());
        return 0;
    }

    static int read(void* context, char const* path, char* value, std::size_t size) {
        auto const& store = of(context).store;
        auto const found = store.find(path);
        if (found == store.end()) {
            return LVIF_ENOENT;
        }
        if (found->second.size() + 1 > size) {
            return LVIF_EMSGSIZE;
        }
        std::memcpy(value, found->second.c_str(), found->second.size() + 1);
        return static_cast<int>(found->second.size());
    }

    static int write(void* context, char const* path, char const* value) {
        of(context).store[path] = value;
        return 0;
    }

    lvif_environment environment(std::uint16_t domain) {
        lvif_environment made{};
        made.context = this;
        made.self = domain;
        made.pages_allocate = allocate;
        made.pages_free = [](void*, void* pages, std::size_t bytes) { munmap(pages, bytes); };
        made.share = share;
        made.unshare = [](void*, std::uint32_t) { return 0; };
        made.event_allocate = [](void* context, std::uint16_t, std::uint32_t* port) {
            *port = ++of(context).events;
            return 0;
        };
        made.event_free = [](void*, std::uint32_t) {};
        made.event_notify = [](void* context, std::uint32_t) {
            std::uint64_t const one = 1;
            [[maybe_unused]] auto const written = ::write(of(context).doorbell_fd, &one, sizeof one);
        };
        made.store_read = read;
        made.store_write = write;
        made.store_watch = [](void*, char const*) { return 0; };
        made.store_unwatch = [](void*, char const*) {};
        made.now_us = [](void*) {
            auto const now = std::chrono::steady_clock::now().time_since_epoch();
            return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
        };
        made.yield = [](void*) { std::this_thread::yield(); };
        return made;
    }

    void offer(std::string const& frontend, std::string const& backend) {
        store[frontend + "/" LVIF_KEY_BACKEND] = backend;
        store[frontend + "/" LVIF_KEY_BACKEND_ID] = std::to_string(server_domain);
        std::pair<char const*, char const*> const keys[] = {
            {LVIF_KEY_STATE, "2"},
            {LVIF_KEY_VERSION, "1"},
            {LVIF_KEY_MODE, "shared"},
            {LVIF_KEY_MAC, "02:4c:52:00:00:01"},
            {LVIF_KEY_IPV4, "10.77.0.1/24"},
            {LVIF_KEY_MTU, "9000"},
            {LVIF_KEY_FEATURES, "0"},
            {LVIF_KEY_MAX_QUEUES, "1"},
            {LVIF_KEY_MAX_RING_BYTES, "16777216"},
            {LVIF_KEY_PORT_AUTHORITY, "hypervisor"},
        };
        for (auto const& [key, value] : keys) {
            store[backend + "/" + key] = value;
        }
    }

    std::span<std::byte> ring(std::string const& key) const {
        Region const& region = regions.at(std::stoul(store.at(key)) - 1);
        return {static_cast<std::byte*>(region.pages), region.bytes};
    }
};

GuestDevice::GuestDevice(std::uint16_t domain, std::uint32_t ring_bytes)
    : domain_(domain), world_(std::make_unique<World>()) {
    if (world_->doorbell_fd < 0) {
        throw std::system_error(errno, std::generic_category(), "make a guest's doorbell");
    }
    std::size_t space = lvif_device_bytes() + device_alignment;
    memory_ = std::make_unique<std::byte[]>(space);
    void* place = memory_.get();
    device_ = static_cast<lvif_device*>(std::align(device_alignment, lvif_device_bytes(), place, space));

    std::string const number = std::to_string(domain);
    std::string const frontend = "/local/domain/" + number + "/device/lvif/0";
    std::string const backend = "/local/domain/" + std::to_string(server_domain) + "/backend/lvif/" + number + "/0";
    lvif_environment const environment = world_->environment(domain);
    lvif_options options{};
    options.ring_bytes = ring_bytes;
    std::strcpy(options.program, "bench");
    if (lvif_open(device_, &environment, &options) != 0) {
        throw std::runtime_error("lvif_open refuses the benchmark's options");
    }
    std::uint64_t next_us = 0;
    world_->offer(frontend, backend);
    for (int i = 0; i < 4 && lvif_poll(device_, &next_us) != LVIF_PHASE_CONNECTING; ++i) {
    }
    world_->store[backend + "/" LVIF_KEY_STATE] = "4";
    if (lvif_poll(device_, &next_us) != LVIF_PHASE_CONNECTED) {
        throw std::runtime_error(std::string("a benchmark guest does not connect: ") + lvif_detach_reason(device_));
    }
    tx_ring_ = world_->ring(frontend + "/queue-0/" LVIF_KEY_TX_RING);
    rx_ring_ = world_->ring(frontend + "/queue-0/" LVIF_KEY_RX_RING);
}

GuestDevice::~GuestDevice() {
    for (Region const& region : world_->regions) {
        munmap(region.pages, region.bytes);
    }
    close(world_->doorbell_fd);
}

int GuestDevice::doorbell_fd() const {
    return world_->doorbell_fd;
}

}  // namespace librettos::bench
