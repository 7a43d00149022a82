// SPDX-License-Identifier: BSD-2-Clause
// librettos-hypervisord as a process: one thread, an sd-event loop, the listening socket, the connections, the Machine.
//
// Nothing here waits for a client. A client has at most one request in work; one that does not read its replies, or
// breaks the protocol in any other way, is disconnected, and with it goes what it had. Nothing is kept per client but a
// bounded queue of watch events.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "drivers/hypervisor/local/connection.hpp"
#include "drivers/hypervisor/local/listening_socket.hpp"
#include "drivers/hypervisor/local/log_budget.hpp"
#include "drivers/hypervisor/local/machine.hpp"

namespace librettos {

struct EventLoopDeleter {
    void operator()(sd_event* loop) const { sd_event_unref(loop); }
};
struct EventSourceDeleter {
    void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
};
using EventLoop = std::unique_ptr<sd_event, EventLoopDeleter>;
using EventSource = std::unique_ptr<sd_event_source, EventSourceDeleter>;

class Hypervisord {
  public:
    struct Settings {
        std::string socket;
        std::string group;
        Machine::Settings machine;
        std::uint32_t connections_max = 0;
    };

    static constexpr std::chrono::seconds hello_timeout{5};
    static constexpr std::size_t greeting_max = 64;  // connections that have not said HELLO

    explicit Hypervisord(Settings const& settings);
    Hypervisord(Hypervisord const&) = delete;
    Hypervisord& operator=(Hypervisord const&) = delete;

    // Until SIGTERM or SIGINT, which must be blocked.
    void run();

  private:
    struct Client {
        Client(Hypervisord& its_owner, UniqueFd socket, uid_t uid, pid_t pid)
            : owner{its_owner}, connection{std::move(socket), uid, pid} {}
        Hypervisord& owner;
        Connection connection;
        EventSource requests;
        EventSource events;  // armed while watch events wait for room
        EventSource hello;   // deadline
        std::list<Client>::iterator self;
    };

    void accept();
    void make_room_for_greeting();
    void serve(Client& client);
    bool answer(Client& client, Request& request);
    void greet(Client& client, Reply& reply);
    void disconnect(Client& client, char const* reason);
    void send_events(Client& client);
    void send_all_events();
    void arm_quarantine();
    Client& client_of(Peer const& peer) { return *clients_by_peer_.at(&peer); }

    Settings settings_;
    Machine machine_;
    ListeningSocket socket_;
    EventLoop loop_;
    std::list<Client> clients_;
    std::unordered_map<Peer const*, Client*> clients_by_peer_;
    std::size_t greeting_ = 0;
    LogBudget log_budget_;
    EventSource accept_source_;
    EventSource quarantine_;
};

}  // namespace librettos
