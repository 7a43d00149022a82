// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/holder/sole_holder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "daemon/api/stats_creator.hpp"

namespace librettos {

namespace {

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error(error, std::generic_category(), what);
}

flock whole_file() {
    flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

// Empty: it has just ended, or is not seen from here.
std::string holder_of(int fd) {
    flock lock = whole_file();
    return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0
               ? " (process " + std::to_string(lock.l_pid) + ")"
               : "";
}

}  // namespace

// A record lock is the process' own: an engine that outlives its holder for a moment does not have it.
SoleHolder::SoleHolder(std::string const& stats_path) {
    make_stats_directory(stats_path);
    std::string const path = stats_path + ".lock";
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd_ < 0) {
        fail(errno, "cannot open " + path + "; check paths.stats and its directory, and run the server as root");
    }
    flock lock = whole_file();
    if (fcntl(fd_, F_SETLK, &lock) != 0) {
        int const error = errno;
        std::string const other = holder_of(fd_);
        close(fd_);
        if (error == EACCES || error == EAGAIN) {
            fail(EBUSY, "another librettos-netserver" + other + " has " + path +
                            "; stop it, or write another paths.stats, paths.api_socket and port.device for this one");
        }
        fail(error, "cannot lock " + path);
    }
}

SoleHolder::~SoleHolder() {
    close(fd_);
}

}  // namespace librettos
