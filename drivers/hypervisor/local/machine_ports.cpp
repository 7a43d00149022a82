// SPDX-License-Identifier: BSD-2-Clause
// The machine: the portmap's operations.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "drivers/hypervisor/local/machine.hpp"

namespace librettos {

namespace {

// Numbers as the authority takes them; what does not fit cannot be meant.
std::optional<std::uint8_t> as_protocol(std::uint64_t argument) {
    return argument <= UINT8_MAX ? std::optional{static_cast<std::uint8_t>(argument)} : std::nullopt;
}

bool fit_16_bits(std::initializer_list<std::uint64_t> arguments) {
    return std::all_of(arguments.begin(), arguments.end(), [](std::uint64_t a) { return a <= UINT16_MAX; });
}

}  // namespace

Reply Machine::ports(Peer const& peer, Request const& request) {
    auto const& argument = request.argument;
    auto const protocol = as_protocol(argument[0]);
    auto const a = static_cast<std::uint32_t>(argument[1]);
    auto const b = static_cast<std::uint32_t>(argument[2]);
    std::uint16_t port = 0;
    Reply reply;
    reply.status = -EINVAL;
    if (request.operation == LVIF_HVP_PORT_SET_LIMIT) {
        bool const fits = argument[0] <= domain_id_max && argument[1] <= UINT32_MAX;
        if (fits)
            reply.status = authority_.set_limit(DomId{static_cast<std::uint16_t>(argument[0])}, a);
        return reply;
    }
    if (!protocol || !fit_16_bits({argument[1], argument[2]}) || argument[3] > 1)
        return reply;
    switch (request.operation) {
        case LVIF_HVP_PORT_BIND:
            reply.status = authority_.bind(peer.domain, *protocol, static_cast<std::uint16_t>(a), now(), &port);
            break;
        case LVIF_HVP_PORT_LEASE:
            reply.status = authority_.lease(peer.domain, *protocol, a, now(), &port);
            break;
        case LVIF_HVP_PORT_RELEASE:
            reply.status = authority_.release(peer.domain, *protocol, a, b, now());
            break;
        case LVIF_HVP_PORT_RESERVE:
            reply.status = authority_.reserve(*protocol, a, b, argument[3] == 1, now());
            break;
        case LVIF_HVP_PORT_QUERY:
            return query_port(request);
        default:
            break;
    }
    reply.result[0] = port;
    return reply;
}

Reply Machine::query_port(Request const& request) {
    PortmapAuthority::Answer answer;
    Reply reply;
    authority_.expire(now());
    reply.status = authority_.query(static_cast<std::uint8_t>(request.argument[0]),
                                    static_cast<std::uint16_t>(request.argument[1]), now(), answer);
    if (reply.status != 0)
        return reply;
    reply.result = {answer.entry, answer.age_s, answer.quarantine_left_s, answer.owner_ports, answer.owner_limit};
    reply.payload = answer.owner_name;
    reply.payload.push_back('\0');
    return reply;
}

Reply Machine::portmap_descriptor() const {
    Reply reply;
    reply.fds.emplace_back(::fcntl(portmap_.reader_fd(), F_DUPFD_CLOEXEC, 0));
    if (!reply.fds.front()) {
        reply.fds.clear();
        reply.status = -ENFILE;
    }
    return reply;
}

}  // namespace librettos
