// SPDX-License-Identifier: BSD-2-Clause
// The protocol spoken by hand.
#include "tests/unit/local/raw_connection.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

namespace librettos::test {

RawConnection::RawConnection(std::string const& socket) : fd_{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
    if (::connect(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof(address)) != 0)
        throw std::runtime_error{"connect " + socket};
    timeval const timeout{30, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

RawConnection::~RawConnection() {
    ::close(fd_);
    if (events_ >= 0)
        ::close(events_);
}

std::vector<std::byte> RawConnection::request(lvif_hvp_operation operation, std::vector<std::uint64_t> const& arguments,
                                              std::vector<std::string> const& texts) {
    std::string payload;
    for (std::string const& text : texts)
        payload += text + '\0';
    lvif_hvp_header header{};
    header.magic = LVIF_HVP_MAGIC;
    header.version = LVIF_HVP_VERSION;
    header.operation = static_cast<std::uint16_t>(operation);
    header.sequence = 1;
    header.length = static_cast<std::uint32_t>(payload.size());
    std::copy(arguments.begin(), arguments.end(), std::begin(header.argument));
    std::vector<std::byte> packet(sizeof(header) + payload.size());
    std::memcpy(packet.data(), &header, sizeof(header));
    std::memcpy(packet.data() + sizeof(header), payload.data(), payload.size());
    return packet;
}

bool RawConnection::send(std::span<std::byte const> packet, std::vector<int> const& fds) {
    iovec bytes{const_cast<std::byte*>(packet.data()), packet.size()};
    std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
        std::memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
    }
    return ::sendmsg(fd_, &message, MSG_NOSIGNAL) >= 0;
}

RawReply RawConnection::receive() {
    lvif_hvp_message packet;
    iovec bytes{&packet, sizeof(packet)};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control;
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t const got = ::recvmsg(fd_, &message, MSG_CMSG_CLOEXEC);
    RawReply reply;
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN)
            throw std::runtime_error{"no answer"};
        reply.closed = true;
        return reply;
    }
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        reply.fds.resize((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        std::memcpy(reply.fds.data(), CMSG_DATA(c), reply.fds.size() * sizeof(int));
    }
    reply.status = packet.header.status;
    std::copy(std::begin(packet.header.argument), std::end(packet.header.argument), reply.result.begin());
    reply.payload.assign(packet.payload, packet.header.length);
    return reply;
}

RawReply RawConnection::call(lvif_hvp_operation operation, std::vector<std::uint64_t> const& arguments,
                             std::vector<std::string> const& texts, std::vector<int> const& fds) {
    if (!send(request(operation, arguments, texts), fds)) {
        RawReply reply;
        reply.closed = true;
        return reply;
    }
    return receive();
}

RawReply RawConnection::hello(lvif_hv_role role, std::string const& name) {
    RawReply reply = call(LVIF_HVP_HELLO, {static_cast<std::uint64_t>(role)}, {name});
    if (reply.fds.size() == 1)
        events_ = reply.fds[0];
    return reply;
}

}  // namespace librettos::test
