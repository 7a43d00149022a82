// SPDX-License-Identifier: BSD-2-Clause
#include "fake_server.hpp"

#include <charconv>
#include <cstring>

namespace {

std::optional<std::uint32_t> number(std::string const& text) {
    std::uint32_t value = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

constexpr std::size_t alive_offset = offsetof(lvif_ring_header, server_alive);

}  // namespace

FakeServer::FakeServer(FakeWorld& world) : world_(world) {
    offer = {{"frontend", frontend},
             {"frontend-id", "7"},
             {"version", "1"},
             {"mode", "dedicated"},
             {"mac", "02:00:5e:10:00:07"},
             {"ipv4", "192.0.2.7/24"},
             {"gateway4", "192.0.2.1"},
             {"ipv6", "2001:db8::7/64"},
             {"gateway6", "fe80::1"},
             {"mtu", "1500"},
             {"features", "63"},
             {"max-queues", "4"},
             {"max-ring-bytes", "1048576"},
             {"port-authority", "hypervisor"}};
}

void FakeServer::write_offer() {
    set_state(LVIF_STATE_INITIALISING);
    for (auto const& [key, value] : offer)
        world_.write(backend + "/" + key, value);
    world_.remove(backend + "/detach-reason");
    set_state(LVIF_STATE_INIT_WAIT);
    world_.write(frontend + "/backend", backend);
    world_.write(frontend + "/backend-id", "3");
}

std::uint32_t FakeServer::event_of(std::string const& key) const {
    return number(world_.read(frontend + "/" + key)).value_or(0);
}

std::optional<std::span<std::byte>> FakeServer::map(std::string const& key, std::size_t bytes) {
    auto const reference = number(world_.read(frontend + "/" + key));
    if (!reference)
        return std::nullopt;
    auto const found = world_.regions().find(*reference);
    if (found == world_.regions().end() || found->second.bytes != bytes)
        return std::nullopt;
    found->second.mapped++;
    mapped_.push_back(*reference);
    auto* const memory = static_cast<std::byte*>(found->second.pages);
    memory[alive_offset] = std::byte{1};
    return std::span(memory, bytes);
}

bool FakeServer::map_all() {
    let_go();
    auto const queues = number(world_.read(frontend + "/queues"));
    auto const capacity = number(world_.read(frontend + "/ring-bytes"));
    if (!queues || !capacity || *queues == 0 || *queues > LVIF_MAX_QUEUES || *capacity < LVIF_RING_MIN_CAPACITY)
        return false;
    auto const to_server = map("control-to-server", LVIF_PAGE_BYTES);
    auto const to_guest = map("control-to-guest", LVIF_PAGE_BYTES);
    if (!to_server || !to_guest || !world_.has_event(event_of("control-event")))
        return false;
    to_server_ = reinterpret_cast<lvif_control_ring*>(to_server->data());
    to_guest_ = reinterpret_cast<lvif_control_ring*>(to_guest->data());
    if (to_server_->magic != LVIF_CONTROL_MAGIC || to_guest_->magic != LVIF_CONTROL_MAGIC)
        return false;
    for (std::uint32_t q = 0; q < *queues; q++) {
        std::string const directory = "queue-" + std::to_string(q);
        auto const tx = map(directory + "/tx-ring", LVIF_PAGE_BYTES + std::size_t{*capacity});
        auto const rx = map(directory + "/rx-ring", LVIF_PAGE_BYTES + std::size_t{*capacity});
        if (!tx || !rx || !world_.has_event(event_of(directory + "/event")))
            return false;
        tx_header_ = reinterpret_cast<lvif_ring_header*>(tx->data());
        rx_header_ = reinterpret_cast<lvif_ring_header*>(rx->data());
        if (tx_header_->magic != LVIF_RING_MAGIC || tx_header_->capacity != *capacity)
            return false;
        auto consumer = librettos::RingConsumer::adopt(*tx, *capacity);
        auto producer = librettos::RingProducer::adopt(*rx, *capacity);
        if (!consumer || !producer)
            return false;
        consumer->arm();
        queues_.push_back({*consumer, *producer});
    }
    to_server_->consumer_sleeps = 1;
    return true;
}

void FakeServer::drop(std::vector<std::uint32_t>& mapped) {
    for (std::uint32_t const reference : mapped) {
        auto const found = world_.regions().find(reference);
        if (found == world_.regions().end())
            continue;
        found->second.mapped--;
        static_cast<std::byte*>(found->second.pages)[alive_offset] = std::byte{0};
    }
    mapped.clear();
}

void FakeServer::let_go() {
    queues_.clear();
    to_server_ = to_guest_ = nullptr;
    kept_.insert(kept_.end(), mapped_.begin(), mapped_.end());
    mapped_.clear();
    if (!keeps_mappings)
        drop(kept_);
}

void FakeServer::detach(std::string const& reason) {
    world_.write(backend + "/detach-reason", reason);
    set_state(LVIF_STATE_CLOSING);
    let_go();
}

void FakeServer::crash() {
    queues_.clear();
    to_server_ = to_guest_ = nullptr;
    drop(mapped_);
    drop(kept_);
    alive_ = false;
}

void FakeServer::restart() {
    alive_ = true;
    if (state() == std::to_string(LVIF_STATE_CONNECTED) && !map_all())
        detach("rings cannot be adopted");
}

void FakeServer::turn() {
    if (!alive_)
        return;
    if (!keeps_mappings)
        drop(kept_);
    auto const guest = number(world_.read(frontend + "/state"));
    auto const own = number(state());
    if (!guest)
        return;
    if (!own) {
        if (*guest == LVIF_STATE_INITIALISING)
            write_offer();
        return;
    }
    bool const guest_leaves =
        *guest == LVIF_STATE_CLOSING || *guest == LVIF_STATE_CLOSED || *guest == LVIF_STATE_INITIALISING;
    if (*own == LVIF_STATE_INIT_WAIT && *guest == LVIF_STATE_INITIALISED) {
        if (map_all())
            set_state(LVIF_STATE_CONNECTED);
        else
            detach("rings cannot be mapped");
    } else if ((*own == LVIF_STATE_CONNECTED || *own == LVIF_STATE_CLOSING) && guest_leaves) {
        let_go();
        set_state(LVIF_STATE_CLOSED);
    } else if (*own == LVIF_STATE_CONNECTED && queues_.empty()) {
        if (!map_all())
            detach("rings cannot be adopted");
    } else if ((*own == LVIF_STATE_CLOSED || *own < LVIF_STATE_INIT_WAIT || *own == LVIF_STATE_INITIALISED) &&
               *guest == LVIF_STATE_INITIALISING) {
        write_offer();
    }
    messages();
    for (auto& queue : queues_)
        echo(queue);
}

void FakeServer::send(lvif_message const& message) {
    if (to_guest_ == nullptr || to_guest_->head - to_guest_->tail >= LVIF_CONTROL_SLOTS)
        return;
    to_guest_->slots[to_guest_->head % LVIF_CONTROL_SLOTS] = message;
    to_guest_->head++;
    world_.watch_fired |= to_guest_->consumer_sleeps != 0;  // the control event also makes the caller poll
}

void FakeServer::messages() {
    if (to_server_ != nullptr && to_server_->head - to_server_->tail > LVIF_CONTROL_SLOTS) {
        detach("the control ring is broken");  // as the product does; the test garbled an index
        return;
    }
    while (to_server_ != nullptr && to_server_->tail != to_server_->head) {
        lvif_message const message = to_server_->slots[to_server_->tail % LVIF_CONTROL_SLOTS];
        bool const about_ports = message.type >= LVIF_MSG_PORT_BIND && message.type <= LVIF_MSG_PORT_RELEASE;
        if (about_ports && !answers_ports)
            return;
        to_server_->tail++;
        if (about_ports) {  // granted: what was asked for, or 40000
            port_requests.push_back(message);
            lvif_message answer{};
            answer.type = LVIF_MSG_REPLY;
            answer.id = message.id;
            answer.status = message.u.port.port == 666 ? -98 : 0;
            answer.u.port = message.u.port;
            answer.u.port.port = message.u.port.port != 0 ? message.u.port.port : 40000;
            send(answer);
            continue;
        }
        if (message.type == LVIF_MSG_REPLY) {
            replies++;
            switch_replies.push_back(message);
        }
        vf_lost += message.type == LVIF_MSG_VF_LOST;
        if (message.type != LVIF_MSG_HELLO)
            continue;
        hellos++;
        hello_flags = message.u.hello.flags;
        program = std::string(message.u.hello.program, strnlen(message.u.hello.program, 40));
        lvif_message answer{};
        answer.type = LVIF_MSG_REPLY;
        answer.id = message.id;
        send(answer);
        answer = {};
        answer.type = LVIF_MSG_LINK;
        answer.u.link.up = 1;
        send(answer);
        answer = {};
        answer.type = LVIF_MSG_MTU;
        answer.u.mtu.mtu_bytes = number(offer["mtu"]).value_or(0);
        send(answer);
    }
}

void FakeServer::echo(Queue& queue) {
    queue.tx.refresh();
    for (librettos::RingConsumer::Frame frame; queue.tx.take(frame); echoed++) {
        lvif_record record{};
        queue.rx.put(frame.bytes, frame.record.length, record);
    }
    queue.tx.publish();
    queue.rx.publish();
}
