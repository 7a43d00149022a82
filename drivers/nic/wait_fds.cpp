// SPDX-License-Identifier: BSD-2-Clause
// Finds the sockets and TAP queues that a DPDK driver opened.
#include "drivers/nic/wait_fds.hpp"

#include <dirent.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/kcmp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

namespace librettos {
namespace {

bool is_frame_socket(int fd) {
    int domain = 0;
    socklen_t length = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0) {
        return false;
    }
    if (domain == AF_XDP) {
        return true;
    }
    sockaddr_ll address{};
    length = sizeof(address);
    return domain == AF_PACKET && getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 &&
           address.sll_ifindex != 0;
}

bool is_attached_tap_queue(int fd) {
    std::array<char, 64> target{};
    std::string const link = "/proc/self/fd/" + std::to_string(fd);
    ssize_t const length = readlink(link.c_str(), target.data(), target.size());
    if (length <= 0 || std::string_view(target.data(), static_cast<std::size_t>(length)) != "/dev/net/tun") {
        return false;
    }
    ifreq request{};
    return ioctl(fd, TUNGETIFF, &request) == 0 && (request.ifr_flags & IFF_DETACH_QUEUE) == 0;
}

bool same_open_file(int a, int b) {
    return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b) == 0;
}

}  // namespace

std::set<int> open_fds() {
    std::unique_ptr<DIR, int (*)(DIR*)> const directory(opendir("/proc/self/fd"), closedir);
    if (directory == nullptr) {
        throw std::system_error(errno, std::generic_category(), "cannot list /proc/self/fd; mount /proc");
    }
    std::set<int> fds;
    while (dirent const* const entry = readdir(directory.get())) {
        if (entry->d_name[0] != '.') {
            fds.insert(std::atoi(entry->d_name));
        }
    }
    fds.erase(dirfd(directory.get()));
    return fds;
}

std::vector<int> frame_fds_since(std::set<int> const& before) {
    std::vector<int> found;
    for (int const fd : open_fds()) {
        if (before.contains(fd) || !(is_frame_socket(fd) || is_attached_tap_queue(fd))) {
            continue;
        }
        if (std::none_of(found.begin(), found.end(), [fd](int other) { return same_open_file(fd, other); })) {
            found.push_back(fd);
        }
    }
    return found;
}

}  // namespace librettos
