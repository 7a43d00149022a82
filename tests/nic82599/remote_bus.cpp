// SPDX-License-Identifier: BSD-2-Clause
// Calls to the device process. They are made by a SIGSEGV handler too: no allocation on that way.
#include "tests/nic82599/remote_bus.hpp"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "tests/nic82599/bus_socket.hpp"

namespace nic82599 {
namespace {

// Of the process: one connection, one call at a time. A child starts with none.
int connection = -1;
pthread_mutex_t calling = PTHREAD_MUTEX_INITIALIZER;

void forget_connection_in_child() {
    syscall(SYS_close, std::exchange(connection, -1));  // or the device process would not see the parent's end
    calling = PTHREAD_MUTEX_INITIALIZER;
}

struct Backing {
    int descriptor;
    std::uint64_t offset;
};

// A descriptor of this process for the file with that inode.
int descriptor_of(unsigned long inode) {
    std::unique_ptr<DIR, int (*)(DIR*)> const folder(opendir("/proc/self/fd"), closedir);
    while (dirent const* const entry = folder ? readdir(folder.get()) : nullptr) {
        int const fd = std::atoi(entry->d_name);
        struct stat status {};
        if (entry->d_name[0] != '.' && fstat(fd, &status) == 0 && status.st_ino == inode) {
            return fd;
        }
    }
    return -1;
}

// The one file behind the whole range, shared.
Backing backing_of(std::uintptr_t from, std::size_t size) {
    std::unique_ptr<FILE, int (*)(FILE*)> const maps(fopen("/proc/self/maps", "re"), fclose);
    char line[512];
    Backing backing{-1, 0};
    unsigned long inode = 0;
    std::uintptr_t covered = from;
    while (maps && covered < from + size && fgets(line, sizeof line, maps.get()) != nullptr) {
        unsigned long first = 0, end = 0, offset = 0, file = 0;
        char permissions[8] = "";
        if (std::sscanf(line, "%lx-%lx %7s %lx %*s %lu", &first, &end, permissions, &offset, &file) != 5 ||
            covered < first || covered >= end) {
            continue;
        }
        std::uint64_t const at = offset + (covered - first);
        if (covered == from) {
            inode = file;
            backing = {descriptor_of(file), at};
        }
        if (permissions[3] != 's' || file != inode || at != backing.offset + (covered - from)) {
            return {-1, 0};
        }
        covered = end;
    }
    return covered < from + size ? Backing{-1, 0} : backing;
}

}  // namespace

RemoteBus::RemoteBus(std::string folder) : path_(std::move(folder) + "/" + bus_socket_name) {
    pthread_atfork(nullptr, nullptr, forget_connection_in_child);
}

bool RemoteBus::connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    int const fd = static_cast<int>(syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    BusReply reply{};
    int none = -1;
    BusRequest const join{BusRequest::What::join, -1, domain_, 0, 0};
    if (fd < 0 || syscall(SYS_connect, fd, &address, sizeof address) != 0 || !send_message(fd, join) ||
        !receive_message(fd, reply, none)) {
        syscall(SYS_close, fd);
        return false;
    }
    domain_ = reply.value;
    connection = fd;
    return true;
}

BusReply RemoteBus::call(BusRequest const& request, int descriptor) {
    BusReply reply{ENODEV, 0, ~std::uint64_t{0}};
    int none = -1;
    pthread_mutex_lock(&calling);
    bool const answered = (connection >= 0 || connect()) && send_message(connection, request, descriptor) &&
                          receive_message(connection, reply, none);
    pthread_mutex_unlock(&calling);
    return answered ? reply : BusReply{ENODEV, 0, ~std::uint64_t{0}};
}

std::uint32_t RemoteBus::read(Function function, reg::Offset offset) {
    return static_cast<std::uint32_t>(call({BusRequest::What::read, function.number(), offset, 0, 0}).value);
}

void RemoteBus::write(Function function, reg::Offset offset, std::uint32_t value) {
    BusRequest const request{BusRequest::What::write, function.number(), offset, value, 0};
    pthread_mutex_lock(&calling);
    static_cast<void>((connection >= 0 || connect()) && send_message(connection, request));
    pthread_mutex_unlock(&calling);
}

void RemoteBus::reset(Function function) {
    call({BusRequest::What::reset, function.number(), 0, 0, 0});
}

void RemoteBus::attach(Function function) {
    call({BusRequest::What::attach, function.number(), 0, 0, 0});
}

void RemoteBus::set_interrupt(Function function, unsigned vector, int eventfd) {
    call({BusRequest::What::interrupt, function.number(), vector, 0, 0}, eventfd);
}

int RemoteBus::map(std::uint64_t io_address, void* memory, std::size_t size) {
    Backing const backing = backing_of(reinterpret_cast<std::uintptr_t>(memory), size);
    if (backing.descriptor < 0) {
        return EINVAL;
    }
    return call({BusRequest::What::map, -1, io_address, size, backing.offset}, backing.descriptor).error;
}

std::size_t RemoteBus::unmap(std::uint64_t io_address, std::size_t size) {
    BusReply const reply = call({BusRequest::What::unmap, -1, io_address, size, 0});
    return reply.error == 0 ? reply.value : 0;
}

}  // namespace nic82599
