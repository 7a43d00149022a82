// SPDX-License-Identifier: BSD-2-Clause
// A small fake of Linux' Xen devices and of xenstore, for one test program: it counts what it gave out, and fails on
// request.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include <xen/sys/gntalloc.h>

#include "guest-frontend/xen/xen_calls.h"

namespace librettos::guest {
namespace {

constexpr std::uint32_t page = 4096;
constexpr std::uint32_t first_grant = 8;  // Xen keeps the first eight to itself

struct Channel {
    int fd;
    std::uint32_t port = 0;
    std::uint32_t domain = 0;
    bool masked = false;
    unsigned notified = 0;
};

// gntalloc's pages are those of one memfd: page n of it is granted as first_grant + n.
struct FakeXen {
    int pages = -1;
    std::uint32_t next_page = 0;
    std::uint32_t limit = 1024;
    std::map<std::uint64_t, std::uint32_t> allocations;  // index -> pages
    std::uint16_t granted_to = 0;
    std::map<char*, std::size_t> mappings;
    std::set<Channel*> channels;
    std::uint32_t next_port = 20;
    int stores = 0;
    std::map<std::string, std::string> values{{"domid", "5"}, {"name", "web"}};
    std::set<std::string> hidden;
    std::multiset<std::string> watches;
    unsigned events = 0;
    bool lost = false;
    int fail_at = -1;  // this call fails with EIO
    int calls = 0;

    bool fails(int error = EIO) {
        bool const now = calls++ == fail_at;
        errno = now ? error : errno;
        return now;
    }
    std::uint32_t grants() const {
        std::uint32_t count = 0;
        for (auto const& [index, number] : allocations) {
            count += number;
        }
        return count;
    }
};

FakeXen* xen = nullptr;

int gntalloc_open() {
    if (xen->fails()) {
        return -1;
    }
    return xen->pages = memfd_create("gntalloc", MFD_CLOEXEC);
}

int gntalloc_ioctl(int, unsigned long request, void* argument) {
    if (request == IOCTL_GNTALLOC_DEALLOC_GREF) {  // cannot fail for what was allocated
        auto const& dealloc = *static_cast<ioctl_gntalloc_dealloc_gref*>(argument);
        auto const found = xen->allocations.find(dealloc.index);
        if (found == xen->allocations.end() || found->second != dealloc.count) {
            errno = ENOENT;
            return -1;
        }
        xen->allocations.erase(found);
        return 0;
    }
    auto& alloc = *static_cast<ioctl_gntalloc_alloc_gref*>(argument);
    if (xen->fails()) {
        return -1;
    }
    if (xen->grants() + alloc.count > xen->limit) {
        errno = ENOSPC;
        return -1;
    }
    alloc.index = std::uint64_t{xen->next_page} * page;
    for (std::uint32_t i = 0; i < alloc.count; ++i) {
        (&alloc.gref_ids[0])[i] = first_grant + xen->next_page + i;
    }
    xen->next_page += alloc.count;
    xen->granted_to = alloc.domid;
    xen->allocations[alloc.index] = alloc.count;
    return ftruncate(xen->pages, std::int64_t{xen->next_page} * page);
}

int close_device(int fd) {
    xen->pages = -1;
    xen->allocations.clear();
    return close(fd);
}

void* map_pages(void* address, std::size_t bytes, int protection, int flags, int fd, off_t offset) {
    if (xen->fails()) {
        return MAP_FAILED;
    }
    void* const mapped = mmap(address, bytes, protection, flags, fd, offset);
    if (mapped != MAP_FAILED) {
        xen->mappings[static_cast<char*>(mapped)] = bytes;
    }
    return mapped;
}

int unmap_pages(void* address, std::size_t bytes) {
    auto const found = xen->mappings.find(static_cast<char*>(address));
    EXPECT_TRUE(found != xen->mappings.end() && found->second == bytes);
    xen->mappings.erase(static_cast<char*>(address));
    return munmap(address, bytes);
}

void* evtchn_open() {
    if (xen->fails()) {
        return nullptr;
    }
    auto* const channel = new Channel{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    xen->channels.insert(channel);
    return channel;
}

int evtchn_close(void* handle) {
    auto* const channel = static_cast<Channel*>(handle);
    EXPECT_EQ(xen->channels.erase(channel), 1u);
    close(channel->fd);
    delete channel;
    return 0;
}

int evtchn_fd(void* handle) {
    return static_cast<Channel*>(handle)->fd;
}

int evtchn_bind_unbound(void* handle, std::uint32_t domain) {
    auto& channel = *static_cast<Channel*>(handle);
    if (xen->fails()) {
        return -1;
    }
    channel.domain = domain;
    return static_cast<int>(channel.port = xen->next_port++);
}

int evtchn_notify(void* handle, std::uint32_t port) {
    auto& channel = *static_cast<Channel*>(handle);
    EXPECT_EQ(channel.port, port);
    ++channel.notified;
    return 0;
}

// The server's side.
void ring(Channel& channel) {
    if (!channel.masked) {
        eventfd_write(channel.fd, 1);
        channel.masked = true;
    }
}

int evtchn_pending(void* handle) {
    auto& channel = *static_cast<Channel*>(handle);
    eventfd_t count = 0;
    return eventfd_read(channel.fd, &count) == 0 ? static_cast<int>(channel.port) : -1;
}

int evtchn_unmask(void* handle, std::uint32_t) {
    static_cast<Channel*>(handle)->masked = false;
    return 0;
}

void* xs_open() {
    if (xen->fails()) {
        return nullptr;
    }
    ++xen->stores;
    return xen;
}

void xs_close(void*) {
    --xen->stores;
    xen->watches.clear();
}

int xs_fileno(void*) {
    return 77;
}

void* xs_read(void*, char const* path, unsigned* length) {
    if (xen->fails()) {
        return nullptr;
    }
    auto const found = xen->values.find(path);
    if (found == xen->values.end()) {
        errno = xen->hidden.contains(path) ? EACCES : ENOENT;
        return nullptr;
    }
    *length = static_cast<unsigned>(found->second.size());
    char* const copy = static_cast<char*>(std::malloc(found->second.size() + 1));
    std::memcpy(copy, found->second.c_str(), found->second.size() + 1);
    return copy;
}

bool xs_write(void*, char const* path, char const* value, unsigned length) {
    if (xen->fails()) {
        return false;
    }
    xen->values[path] = std::string(value, length);
    return true;
}

bool xs_watch(void*, char const* path, char const*) {
    if (xen->fails()) {
        return false;
    }
    xen->watches.insert(path);
    ++xen->events;
    return true;
}

bool xs_unwatch(void*, char const* path, char const*) {
    return xen->watches.erase(path) > 0;
}

char** xs_check_watch(void*) {
    if (xen->lost || xen->events == 0) {
        errno = xen->lost ? EBADF : EAGAIN;
        return nullptr;
    }
    --xen->events;
    return static_cast<char**>(std::calloc(2, sizeof(char*)));
}

lvif_xen_calls const calls = {
    gntalloc_open, gntalloc_ioctl, close_device,        map_pages,     unmap_pages,    evtchn_open,
    evtchn_close,  evtchn_fd,      evtchn_bind_unbound, evtchn_notify, evtchn_pending, evtchn_unmask,
    xs_open,       xs_close,       xs_fileno,           xs_read,       xs_write,       xs_watch,
    xs_unwatch,    xs_check_watch};

}  // namespace
}  // namespace librettos::guest
