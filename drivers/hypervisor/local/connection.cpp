// SPDX-License-Identifier: BSD-2-Clause
// One client's sockets.
#include "drivers/hypervisor/local/connection.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace librettos {

namespace {

constexpr std::size_t reply_fds_max = 2;
constexpr std::size_t fds_max = 253;  // SCM_MAX_FD of the kernel: a packet never brings more, so none is lost unseen

// Descriptors that the kernel put into the control data of a packet.
void take_fds(msghdr& packet, std::vector<UniqueFd>& fds) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&packet); c != nullptr; c = CMSG_NXTHDR(&packet, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        std::size_t const count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; i++) {
            int fd;
            std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            fds.emplace_back(fd);
        }
    }
}

}  // namespace

void discard(std::vector<UniqueFd>& fds) {
    linger const at_once{1, 0};
    for (UniqueFd const& fd : fds)
        (void)::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));  // not a socket: no matter
    fds.clear();
}

Connection::Connection(UniqueFd socket, uid_t uid, pid_t pid)
    : socket_{std::move(socket)}, peer_{uid, Machine::guest_watches_max}, pid_{pid} {
}

Connection::Received Connection::receive(std::span<std::byte>& packet, std::vector<UniqueFd>& fds) {
    iovec bytes{buffer_.data(), buffer_.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(fds_max * sizeof(int)) + CMSG_SPACE(sizeof(ucred))> control;
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t const got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? Received::nothing : Received::end;
    take_fds(message, fds);
    if (got == 0)
        return Received::end;
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return Received::broken;
    packet = std::span{buffer_}.first(static_cast<std::size_t>(got));
    return Received::packet;
}

bool Connection::send(Request const& request, Reply reply) {
    lvif_hvp_header header{};
    header.magic = LVIF_HVP_MAGIC;
    header.version = LVIF_HVP_VERSION;
    header.operation = static_cast<std::uint16_t>(request.operation);
    header.sequence = request.sequence;
    header.status = reply.status;
    if (reply.status != 0)
        reply = Reply{};
    header.length = static_cast<std::uint32_t>(reply.payload.size());
    std::copy(reply.result.begin(), reply.result.end(), std::begin(header.argument));

    std::array<iovec, 2> bytes{{{&header, sizeof(header)}, {reply.payload.data(), reply.payload.size()}}};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(reply_fds_max * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = bytes.data();
    message.msg_iovlen = bytes.size();
    if (!reply.fds.empty()) {
        std::array<int, reply_fds_max> numbers{};
        std::size_t const count = std::min(reply.fds.size(), numbers.size());
        for (std::size_t i = 0; i < count; i++)
            numbers[i] = reply.fds[i].get();
        std::size_t const size = count * sizeof(int);
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(size);
        cmsghdr* c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(c), numbers.data(), size);
    }
    // A client reads each reply before its next request, so there is always room for one.
    return ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

bool Connection::open_events(Reply& reply) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    events_ = UniqueFd{ends[0]};
    reply.fds.emplace_back(ends[1]);
    return ::shutdown(ends[0], SHUT_RD) == 0;
}

bool Connection::send_events() {
    while (Watches::Event const* event = peer_.watches.front()) {
        std::array<iovec, 2> bytes{{{const_cast<char*>(event->watched.c_str()), event->watched.size() + 1},
                                    {const_cast<char*>(event->changed.c_str()), event->changed.size() + 1}}};
        msghdr message{};
        message.msg_iov = bytes.data();
        message.msg_iovlen = bytes.size();
        if (::sendmsg(events_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            return errno == EAGAIN;
        peer_.watches.pop();
    }
    return false;
}

bool Connection::hung_up() const {
    pollfd status{socket_.get(), POLLIN, 0};
    return ::poll(&status, 1, 0) > 0 && (status.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace librettos
