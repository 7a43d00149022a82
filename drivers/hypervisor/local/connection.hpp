// SPDX-License-Identifier: BSD-2-Clause
// One client's sockets: receives requests, sends replies and watch events, never waits and never stores more than one
// reply.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "drivers/hypervisor/local/machine.hpp"
#include "drivers/hypervisor/local/request.hpp"
#include "drivers/unique_fd.hpp"

namespace librettos {

class Connection {
  public:
    enum class Received { packet, nothing, end, broken };

    Connection(UniqueFd socket, uid_t uid, pid_t pid);

    Peer& peer() { return peer_; }
    pid_t pid() const { return pid_; }
    int fd() const { return socket_.get(); }
    int events_fd() const { return events_.get(); }

    // One packet and the descriptors that came with it.
    Received receive(std::span<std::byte>& packet, std::vector<UniqueFd>& fds);
    // False: the client does not take its replies as the protocol says.
    bool send(Request const& request, Reply reply);
    // Before the reply to a successful HELLO: makes the event socket and adds the client's end to the reply.
    bool open_events(Reply& reply);
    // Sends what fits of the queued events. True: something is left, try again when events_fd() is writable.
    bool send_events();
    // The client has closed its end or is dead; there may still be requests of its in the socket.
    bool hung_up() const;

  private:
    UniqueFd socket_;
    UniqueFd events_;
    Peer peer_;
    pid_t pid_;
    std::array<std::byte, sizeof(lvif_hvp_message) + 1> buffer_;
};

// Closes descriptors that a client sent and nobody asked for. A TCP socket that lingers could keep us waiting in
// close(2).
void discard(std::vector<UniqueFd>& fds);

}  // namespace librettos
