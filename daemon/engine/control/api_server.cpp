// SPDX-License-Identifier: BSD-2-Clause
// The control API's transport.
#include "daemon/engine/control/api_server.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <vector>

#include "daemon/api/api_socket.hpp"

namespace librettos::control {

namespace {

constexpr char refusal[] =
    R"({"schema":1,"ok":false,"error":{"code":"not-allowed","message":"this user may not use the control socket",)"
    R"("hint":"be root, or a member of the group in paths.api_group"}})"
    "\n";
constexpr char too_long[] =
    R"({"schema":1,"ok":false,"error":{"code":"bad-request","message":"the request is longer than 4096 bytes",)"
    R"("hint":"one JSON object per line"}})"
    "\n";

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error(error, std::generic_category(), what);
}

sockaddr_un address_of(std::string const& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        fail(ENAMETOOLONG, "paths.api_socket '" + path + "' (at most 107 bytes)");
    path.copy(address.sun_path, path.size());
    return address;
}

}  // namespace

ApiServer::ApiServer(std::string path, std::string const& group, RequestAnswerer& commands)
    : path_(std::move(path)), commands_(commands) {
    try {
        listen_at(group);
    } catch (...) {
        if (listener_ >= 0)
            close(listener_);
        if (epoll_ >= 0)
            close(epoll_);
        throw;
    }
}

void ApiServer::listen_at(std::string const& group) {
    group_ = check_api_socket(path_, group);
    auto const temporary = path_ + "." + std::to_string(getpid());
    auto const address = address_of(temporary);
    unlink(temporary.c_str());
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener_ < 0)
        fail(errno, "making the control socket");
    if (bind(listener_, reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0)
        fail(errno, "binding the control socket " + temporary);
    struct stat made {};
    bool const usable = chmod(temporary.c_str(), 0660) == 0 &&
                        (!group_ || chown(temporary.c_str(), static_cast<uid_t>(-1), *group_) == 0) &&
                        lstat(temporary.c_str(), &made) == 0 && listen(listener_, 16) == 0 &&
                        rename(temporary.c_str(), path_.c_str()) == 0;
    if (!usable) {
        int const error = errno;
        unlink(temporary.c_str());
        fail(error, "preparing the control socket " + path_);
    }
    inode_ = made.st_ino;
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = listener_;
    if (epoll_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0)
        fail(errno, "epoll for the control socket");
}

ApiServer::~ApiServer() {
    for (auto const& [fd, client] : clients_)
        close(fd);
    close(listener_);
    close(epoll_);
    struct stat now {};
    if (lstat(path_.c_str(), &now) == 0 && now.st_ino == inode_)
        unlink(path_.c_str());
}

void ApiServer::handle(TimePoint now) {
    std::array<epoll_event, max_clients + 1> events;
    int const count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    bool connecting = false;
    for (int i = 0; i < count; ++i) {
        int const fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == listener_)
            connecting = true;
        else if (auto const client = clients_.find(fd); client != clients_.end())
            serve(fd, client->second, now);
    }
    if (connecting)
        accept_all(now);  // last: a new client may get the number of one that just went
}

void ApiServer::accept_all(TimePoint now) {
    for (std::size_t n = 0; n < max_clients; ++n) {
        int const fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (!may_ask(fd)) {
            (void)send(fd, refusal, sizeof refusal - 1, MSG_NOSIGNAL);
            close(fd);
            continue;
        }
        if (clients_.size() >= max_clients)
            drop_most_idle();
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
            close(fd);
            continue;
        }
        clients_[fd].active = now;
    }
}

bool ApiServer::may_ask(int client) const {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    if (peer.uid == 0 || peer.uid == geteuid())
        return true;
    if (!group_)
        return false;
    if (peer.gid == *group_)
        return true;
    std::vector<gid_t> groups(65536);
    size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(client, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0)
        return false;
    groups.resize(size / sizeof(gid_t));
    return std::find(groups.begin(), groups.end(), *group_) != groups.end();
}

void ApiServer::serve(int fd, Client& client, TimePoint now) {
    client.active = now;
    if (client.out.empty() && !read_more(fd, client)) {
        drop(fd);
        return;
    }
    bool const alive = answer_lines(fd, client, now);
    if (!alive || (client.ended && client.out.empty())) {
        drop(fd);
        return;
    }
    epoll_event event{};
    event.events = client.out.empty() ? EPOLLIN : EPOLLOUT;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

// False: the connection is of no more use.
bool ApiServer::read_more(int fd, Client& client) {
    std::array<char, max_request_bytes + 1> room;
    auto const size = recv(fd, room.data(), room.size() - client.in.size(), 0);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR;
    client.ended = size == 0;
    client.in.append(room.data(), static_cast<std::size_t>(size));
    return true;
}

bool ApiServer::answer_lines(int fd, Client& client, TimePoint now) {
    while (true) {
        if (!client.out.empty() && !write_out(fd, client, now))
            return false;
        if (!client.out.empty())
            return true;
        if (client.last)
            return false;
        auto const end = client.in.find('\n');
        if (end == std::string::npos && client.in.size() <= max_request_bytes)
            return true;
        if (end == std::string::npos || end > max_request_bytes) {
            client.out = too_long;
            client.last = true;
            continue;
        }
        auto const line = client.in.substr(0, end);
        client.in.erase(0, end + 1);
        if (line.empty())
            continue;
        client.out = commands_.answer(line) + "\n";
        if (client.out.size() > max_reply_bytes)
            return false;
    }
}

bool ApiServer::write_out(int fd, Client& client, TimePoint now) {
    while (client.sent < client.out.size()) {
        auto const size =
            send(fd, client.out.data() + client.sent, client.out.size() - client.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN) {
            client.blocked_since = std::min(client.blocked_since, now);
            return true;
        }
        if (size < 0)
            return false;
        client.sent += static_cast<std::size_t>(size);
    }
    client.out = {};
    client.sent = 0;
    client.blocked_since = TimePoint::max();
    return true;
}

void ApiServer::handle_time(TimePoint now) {
    std::vector<int> slow;
    for (auto const& [fd, client] : clients_) {
        if (client.blocked_since != TimePoint::max() && now - client.blocked_since >= slow_reader_limit)
            slow.push_back(fd);
    }
    for (int const fd : slow)
        drop(fd);
}

TimePoint ApiServer::next_wake() const {
    auto wake = TimePoint::max();
    for (auto const& [fd, client] : clients_) {
        if (client.blocked_since != TimePoint::max())
            wake = std::min(wake, client.blocked_since + slow_reader_limit);
    }
    return wake;
}

void ApiServer::drop(int fd) {
    clients_.erase(fd);
    close(fd);
}

void ApiServer::drop_most_idle() {
    auto const idle = std::min_element(clients_.begin(), clients_.end(),
                                       [](auto const& a, auto const& b) { return a.second.active < b.second.active; });
    drop(idle->first);
}

}  // namespace librettos::control
