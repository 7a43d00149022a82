// SPDX-License-Identifier: BSD-2-Clause
// librettos-hypervisord as a process: its loop.
#include "drivers/hypervisor/local/hypervisord.hpp"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <csignal>

#include <cerrno>
#include <system_error>
#include <vector>

namespace librettos {

namespace {

void check(int result, char const* what) {
    if (result < 0)
        throw std::system_error{-result, std::generic_category(), what};
}

// A line about what a client did.
template <typename... Arguments>
void log_client(LogBudget& budget, spdlog::level::level_enum level, fmt::format_string<Arguments...> format,
                Arguments&&... arguments) {
    std::uint64_t suppressed = 0;
    if (!spdlog::should_log(level) || !budget.take(LogBudget::Clock::now(), &suppressed))
        return;
    if (suppressed != 0)
        spdlog::warn("{} lines about clients were not logged", suppressed);
    spdlog::log(level, format, std::forward<Arguments>(arguments)...);
}

}  // namespace

Hypervisord::Hypervisord(Settings const& settings)
    : settings_{settings}, machine_{settings.machine}, socket_{settings.socket, settings.group} {
    sd_event* loop = nullptr;
    check(sd_event_new(&loop), "sd_event_new");
    loop_.reset(loop);
    for (int signal : {SIGTERM, SIGINT})
        check(sd_event_add_signal(loop, nullptr, signal, nullptr, nullptr), "sd_event_add_signal");
    sd_event_source* source = nullptr;
    auto const on_accept = [](sd_event_source*, int, std::uint32_t, void* self) {
        static_cast<Hypervisord*>(self)->accept();
        return 0;
    };
    check(sd_event_add_io(loop, &source, socket_.fd(), EPOLLIN, on_accept, this), "sd_event_add_io");
    accept_source_.reset(source);
    auto const on_quarantine = [](sd_event_source*, std::uint64_t, void* self) {
        auto* hypervisord = static_cast<Hypervisord*>(self);
        hypervisord->machine_.expire_quarantines();
        hypervisord->arm_quarantine();
        return 0;
    };
    check(sd_event_add_time(loop, &source, CLOCK_MONOTONIC, 0, 0, on_quarantine, this), "sd_event_add_time");
    quarantine_.reset(source);
    check(sd_event_source_set_enabled(source, SD_EVENT_OFF), "sd_event_source_set_enabled");
}

void Hypervisord::run() {
    sd_notify(0, "READY=1");
    spdlog::info("listening on {}", settings_.socket);
    check(sd_event_loop(loop_.get()), "event loop");
    sd_notify(0, "STOPPING=1");
    spdlog::info("stopping with {} connections", clients_.size());
}

void Hypervisord::accept() {
    UniqueFd socket{::accept4(socket_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (!socket)
        return;
    ucred credentials{};
    socklen_t size = sizeof(credentials);
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return;
    bool const trusted = credentials.uid == 0 || credentials.uid == ::geteuid();
    // The last places are kept for the server and the operator.
    if (clients_.size() + (trusted ? 0 : 8) >= settings_.connections_max) {
        log_client(log_budget_, spdlog::level::warn,
                   "connection of pid {} refused: there are {}, --max-domains allows no more", credentials.pid,
                   clients_.size());
        return;
    }
    make_room_for_greeting();
    Client& client = clients_.emplace_back(*this, std::move(socket), credentials.uid, credentials.pid);
    client.self = std::prev(clients_.end());
    clients_by_peer_.emplace(&client.connection.peer(), &client);
    machine_.join(client.connection.peer());
    greeting_++;

    sd_event_source* source = nullptr;
    auto const on_request = [](sd_event_source*, int, std::uint32_t, void* data) {
        auto* its_client = static_cast<Client*>(data);
        its_client->owner.serve(*its_client);
        return 0;
    };
    check(sd_event_add_io(loop_.get(), &source, client.connection.fd(), EPOLLIN, on_request, &client),
          "sd_event_add_io");
    client.requests.reset(source);
    auto const on_deadline = [](sd_event_source*, std::uint64_t, void* data) {
        auto* its_client = static_cast<Client*>(data);
        its_client->owner.disconnect(*its_client, "no HELLO in time");
        return 0;
    };
    std::uint64_t const timeout_us = std::chrono::microseconds{hello_timeout}.count();
    check(sd_event_add_time_relative(loop_.get(), &source, CLOCK_MONOTONIC, timeout_us, 0, on_deadline, &client),
          "sd_event_add_time");
    client.hello.reset(source);
}

// Connecting without a word must not keep others out: the one that has been silent longest goes.
void Hypervisord::make_room_for_greeting() {
    if (greeting_ < greeting_max)
        return;
    for (Client& client : clients_) {
        if (!client.connection.peer().role) {
            disconnect(client, "too many connections without HELLO");
            return;
        }
    }
}

void Hypervisord::serve(Client& client) {
    std::span<std::byte> packet;
    std::vector<UniqueFd> fds;
    Connection::Received const received = client.connection.receive(packet, fds);
    if (received == Connection::Received::nothing)
        return;
    char const* reason = received == Connection::Received::end ? "closed" : "protocol broken";
    bool keep = false;
    if (received == Connection::Received::packet) {
        if (auto request = parse_request(packet, fds)) {
            keep = answer(client, *request);
            reason = "does not read its replies";
            if (request->fd)
                fds.push_back(std::move(request->fd));  // refused: nobody took it
        }
    }
    discard(fds);
    if (!keep) {
        if (received != Connection::Received::end)
            machine_.count_broken_peer();
        disconnect(client, reason);
    }
    send_all_events();
}

bool Hypervisord::answer(Client& client, Request& request) {
    // A rival that is dead already has only not been noticed yet.
    if (Peer const* rival = machine_.rival(request); rival != nullptr && rival != &client.connection.peer()) {
        Client& other = client_of(*rival);
        if (other.connection.hung_up())
            disconnect(other, "closed");
    }
    Reply reply = machine_.handle(client.connection.peer(), request);
    if (request.operation == LVIF_HVP_HELLO && reply.status == 0)
        greet(client, reply);
    if (reply.status != 0)
        log_client(log_budget_, spdlog::level::debug, "pid {}: operation {}: {}", client.connection.pid(),
                   static_cast<int>(request.operation), std::generic_category().message(-reply.status));
    return client.connection.send(request, std::move(reply));
}

void Hypervisord::greet(Client& client, Reply& reply) {
    Peer const& peer = client.connection.peer();
    client.hello.reset();
    greeting_--;
    if (!client.connection.open_events(reply)) {
        reply.status = -ENFILE;
        return;
    }
    sd_event_source* source = nullptr;
    auto const on_room = [](sd_event_source*, int, std::uint32_t, void* data) {
        auto* its_client = static_cast<Client*>(data);
        its_client->owner.send_events(*its_client);
        return 0;
    };
    check(sd_event_add_io(loop_.get(), &source, client.connection.events_fd(), EPOLLOUT, on_room, &client),
          "sd_event_add_io");
    client.events.reset(source);
    check(sd_event_source_set_enabled(source, SD_EVENT_OFF), "sd_event_source_set_enabled");
    log_client(log_budget_, spdlog::level::info, "domain {} ({}) connected, pid {}", peer.domain.value,
               machine_.name_of(peer.domain), client.connection.pid());
}

void Hypervisord::disconnect(Client& client, char const* reason) {
    Peer& peer = client.connection.peer();
    if (peer.role)
        log_client(log_budget_, spdlog::level::info, "domain {} ({}) disconnected, pid {}: {}", peer.domain.value,
                   machine_.name_of(peer.domain), client.connection.pid(), reason);
    else
        greeting_--;
    machine_.leave(peer);
    clients_by_peer_.erase(&peer);
    clients_.erase(client.self);
    arm_quarantine();
    send_all_events();
}

void Hypervisord::send_events(Client& client) {
    if (client.events == nullptr)
        return;
    bool const more = client.connection.send_events();
    check(sd_event_source_set_enabled(client.events.get(), more ? SD_EVENT_ON : SD_EVENT_OFF),
          "sd_event_source_set_enabled");
}

void Hypervisord::send_all_events() {
    for (Peer const* peer : machine_.take_peers_with_events())
        send_events(client_of(*peer));
}

void Hypervisord::arm_quarantine() {
    auto const next = machine_.next_expiry();
    if (!next) {
        check(sd_event_source_set_enabled(quarantine_.get(), SD_EVENT_OFF), "sd_event_source_set_enabled");
        return;
    }
    check(sd_event_source_set_time(quarantine_.get(), static_cast<std::uint64_t>(next->count()) * 1000),
          "sd_event_source_set_time");
    check(sd_event_source_set_enabled(quarantine_.get(), SD_EVENT_ONESHOT), "sd_event_source_set_enabled");
}

}  // namespace librettos
