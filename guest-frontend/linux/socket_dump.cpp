// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/socket_dump.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "guest-frontend/linux/addresses.hpp"
#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/netlink_error.hpp"

namespace librettos::guest {

namespace {

constexpr std::uint32_t all_states = ~0u;

// The states of a socket that its program has closed and whose end is not acknowledged yet.
constexpr std::uint32_t closing_states = 1u << TCP_FIN_WAIT1 | 1u << TCP_LAST_ACK | 1u << TCP_CLOSING;

int take_socket(nl_msg* message, void* ports) {
    nlmsghdr* header = nlmsg_hdr(message);
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || nlmsg_datalen(header) < static_cast<int>(sizeof(inet_diag_msg))) {
        return NL_OK;
    }
    inet_diag_msg socket{};
    std::memcpy(&socket, nlmsg_data(header), sizeof socket);
    bool const local =
        socket.idiag_family == AF_INET6 ? is_loopback6(socket.id.idiag_src) : is_loopback4(socket.id.idiag_src);
    if (!local) {
        static_cast<PortSet*>(ports)->set(ntohs(socket.id.idiag_sport));
    }
    return NL_OK;
}

void dump(nl_sock* netlink, std::uint8_t family, Protocol protocol, std::uint32_t states, PortSet& ports) {
    inet_diag_req_v2 request{};
    request.sdiag_family = family;
    request.sdiag_protocol = static_cast<std::uint8_t>(protocol);
    request.idiag_states = states;
    nl_socket_modify_cb(netlink, NL_CB_VALID, NL_CB_CUSTOM, take_socket, &ports);
    int result = nl_send_simple(netlink, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof request);
    if (result >= 0) {
        result = nl_recvmsgs_default(netlink);
    }
    // A kernel without IPv6, or without the module for a protocol, has no such sockets.
    if (result < 0 && result != -NLE_OBJ_NOTFOUND) {
        throw_netlink(result, "list the sockets of the guest's namespace");
    }
}

}  // namespace

SocketDump::SocketDump() : netlink_(nl_socket_alloc()) {
    if (netlink_ == nullptr) {
        throw_errno(ENOMEM, "open a netlink socket");
    }
    int const result = nl_connect(netlink_, NETLINK_SOCK_DIAG);
    if (result < 0) {
        nl_socket_free(netlink_);
        throw_netlink(result, "open a socket-diagnosis netlink socket (kernel option INET_DIAG)");
    }
}

SocketDump::~SocketDump() {
    nl_socket_free(netlink_);
}

UsedPorts SocketDump::used_ports() {
    UsedPorts used;
    for (std::uint8_t const family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
        dump(netlink_, family, Protocol::tcp, all_states, used.tcp);
        dump(netlink_, family, Protocol::udp, all_states, used.udp);
    }
    return used;
}

bool SocketDump::data_left_behind() {
    PortSet closing;
    dump(netlink_, AF_INET, Protocol::tcp, closing_states, closing);
    dump(netlink_, AF_INET6, Protocol::tcp, closing_states, closing);
    return closing.any();
}

std::string socket_counters() {
    std::string counters;
    for (char const* path : {"/proc/thread-self/net/sockstat", "/proc/thread-self/net/sockstat6"}) {
        Descriptor const file(open(path, O_RDONLY | O_CLOEXEC));
        std::array<char, 1024> text{};
        ssize_t const length = file ? read(file.get(), text.data(), text.size()) : 0;
        std::string_view rest(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
        // "TCP: inuse 1 orphan 0 tw 0 alloc 5 mem 0": alloc and mem are the whole machine's.
        while (!rest.empty()) {
            std::string_view const line = rest.substr(0, rest.find('\n'));
            if (line.starts_with("TCP") || line.starts_with("UDP")) {
                counters += line.substr(0, std::min(line.find(" orphan"), line.find(" mem")));
                if (auto const time_wait = line.find(" tw "); time_wait != std::string_view::npos) {
                    counters += line.substr(time_wait, line.find(" alloc") - time_wait);
                }
                counters += '\n';
            }
            rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        }
    }
    return counters;
}

bool port_in_use(Protocol protocol, std::uint16_t port) {
    int const type = (protocol == Protocol::tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC;
    sockaddr_in6 address6{};
    address6.sin6_family = AF_INET6;
    address6.sin6_port = htons(port);
    Descriptor const socket6(socket(AF_INET6, type, 0));
    int const off = 0;
    if (socket6 && setsockopt(socket6.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0 &&
        bind(socket6.get(), reinterpret_cast<sockaddr*>(&address6), sizeof address6) == 0) {
        return false;
    }
    if (socket6 && errno == EADDRINUSE) {
        return true;
    }
    sockaddr_in address4{};
    address4.sin_family = AF_INET;
    address4.sin_port = htons(port);
    Descriptor const socket4 = checked_descriptor(socket(AF_INET, type, 0), "open a socket");
    return bind(socket4.get(), reinterpret_cast<sockaddr*>(&address4), sizeof address4) < 0;
}

}  // namespace librettos::guest
