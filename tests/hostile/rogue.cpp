// SPDX-License-Identifier: BSD-2-Clause
// The honest part of a dishonest guest.
#include "tests/hostile/rogue.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>

namespace librettos::hostile {

namespace {

constexpr Milliseconds patience{30'000};

void check(int status, std::string const& what) {
    if (status < 0)
        throw std::runtime_error(what + ": " + std::strerror(-status));
}

}  // namespace

void pause(Milliseconds time) {
    std::this_thread::sleep_for(time);
}

std::chrono::steady_clock::time_point in(Milliseconds time) {
    return std::chrono::steady_clock::now() + time;
}

bool before(std::chrono::steady_clock::time_point end) {
    return std::chrono::steady_clock::now() < end;
}

std::vector<int> own_descriptors(std::string_view text) {
    std::vector<int> found;
    for (auto const& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        auto const target = std::filesystem::read_symlink(entry.path(), gone).string();
        if (!gone && target.find(text) != std::string::npos)
            found.push_back(std::atoi(entry.path().filename().c_str()));
    }
    return found;
}

Rogue::Rogue(std::string const& socket, std::string const& name) {
    check(lvif_hv_connect(socket.c_str(), LVIF_HV_GUEST, name.c_str(), &hv_), "connect as " + name);
    frontend_ = home() + "/device/" LVIF_DEVICE_CLASS "/0";
}

Rogue::~Rogue() {
    lvif_hv_close(hv_);
}

int Rogue::write(std::string_view key, std::string const& value) {
    return lvif_hv_write(hv_, (frontend_ + "/" + std::string(key)).c_str(), value.c_str());
}

std::string Rogue::read_backend(char const* key) {
    std::array<char, LVIF_HV_VALUE_MAX + 1> value{};
    if (backend_.empty()) {
        if (lvif_hv_read(hv_, (frontend_ + "/" LVIF_KEY_BACKEND).c_str(), value.data(), value.size()) <= 0)
            return "";
        backend_ = value.data();
    }
    int const length = lvif_hv_read(hv_, (backend_ + "/" + key).c_str(), value.data(), value.size());
    return length < 0 ? "" : value.data();
}

int Rogue::backend_state() {
    return std::atoi(read_backend(LVIF_KEY_STATE).c_str());
}

void Rogue::ask_for_offer() {
    check(write(LVIF_KEY_STATE, "1"), "write the frontend's state");
    for (auto const end = in(patience); backend_state() != LVIF_STATE_INIT_WAIT; pause(Milliseconds(1)))
        if (!before(end))
            throw std::runtime_error("no offer came: state " + std::to_string(backend_state()) + ", '" +
                                     read_backend(LVIF_KEY_DETACH_REASON) + "'");
    features_ = static_cast<std::uint32_t>(std::atoi(read_backend(LVIF_KEY_FEATURES).c_str()));
}

Ring Rogue::make_ring(std::uint32_t capacity) {
    Ring ring;
    std::size_t const bytes = LVIF_PAGE_BYTES + std::size_t{capacity};
    void* const pages = lvif_hv_pages_allocate(hv_, bytes);
    if (pages == nullptr)
        throw std::runtime_error("no memory for a ring");
    ring.header = static_cast<lvif_ring_header*>(pages);
    ring.data = static_cast<std::byte*>(pages) + LVIF_PAGE_BYTES;
    ring.capacity = capacity;
    ring.header->magic = LVIF_RING_MAGIC;
    ring.header->version = LVIF_RING_VERSION;
    ring.header->capacity = capacity;
    ring.header->features = features_;
    check(lvif_hv_share(hv_, pages, bytes, 0, &ring.region), "share a ring");
    return ring;
}

std::uint32_t Rogue::make_page(lvif_control_ring*& page) {
    page = static_cast<lvif_control_ring*>(lvif_hv_pages_allocate(hv_, sizeof *page));
    if (page == nullptr)
        throw std::runtime_error("no memory for a control ring");
    page->magic = LVIF_CONTROL_MAGIC;
    page->version = LVIF_CONTROL_VERSION;
    std::uint32_t region = 0;
    check(lvif_hv_share(hv_, page, sizeof *page, 0, &region), "share a control ring");
    return region;
}

void Rogue::share_rings(std::uint32_t queues, std::uint32_t ring_bytes) {
    write(LVIF_KEY_QUEUES, std::to_string(queues));
    write(LVIF_KEY_RING_BYTES, std::to_string(ring_bytes));
    write(LVIF_KEY_CONTROL_TO_SERVER, std::to_string(make_page(to_server_)));
    write(LVIF_KEY_CONTROL_TO_GUEST, std::to_string(make_page(to_guest_)));
    check(lvif_hv_event_allocate(hv_, 0, &control_event_), "allocate an event channel");
    write(LVIF_KEY_CONTROL_EVENT, std::to_string(control_event_));
    for (std::uint32_t q = 0; q < queues; ++q) {
        Queue queue{make_ring(ring_bytes), make_ring(ring_bytes), 0};
        check(lvif_hv_event_allocate(hv_, 0, &queue.event), "allocate an event channel");
        auto const directory = "queue-" + std::to_string(q) + "/";
        write(directory + LVIF_KEY_TX_RING, std::to_string(queue.tx.region));
        write(directory + LVIF_KEY_RX_RING, std::to_string(queue.rx.region));
        write(directory + LVIF_KEY_EVENT, std::to_string(queue.event));
        queues_.push_back(queue);
    }
}

void Rogue::await_connected() {
    for (auto const end = in(patience); !is_connected(); pause(Milliseconds(1)))
        if (!before(end))
            throw std::runtime_error("not connected: state " + std::to_string(backend_state()) + ", '" +
                                     read_backend(LVIF_KEY_DETACH_REASON) + "'");
    write(LVIF_KEY_STATE, "4");
}

void Rogue::connect(std::uint32_t queues, std::uint32_t ring_bytes) {
    ask_for_offer();
    share_rings(queues, ring_bytes);
    say_initialised();
    await_connected();
}

std::string Rogue::await_detach(Milliseconds time) {
    for (auto const end = in(time); before(end); pause(Milliseconds(2))) {
        int const state = backend_state();
        if (state != LVIF_STATE_CLOSING && state != LVIF_STATE_CLOSED)
            continue;
        auto const reason = read_backend(LVIF_KEY_DETACH_REASON);
        return reason.empty() ? "(no reason)" : reason;
    }
    return "";
}

Identity Rogue::identity() {
    Identity identity;
    auto const mac = read_backend(LVIF_KEY_MAC);
    std::sscanf(mac.c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &identity.mac[0], &identity.mac[1], &identity.mac[2],
                &identity.mac[3], &identity.mac[4], &identity.mac[5]);
    auto address = read_backend(LVIF_KEY_IPV4);
    address.resize(std::min(address.find('/'), address.size()));
    if (inet_pton(AF_INET, address.c_str(), identity.ipv4.data()) != 1)
        throw std::runtime_error("the offer has no IPv4 address");
    return identity;
}

std::uint16_t Rogue::own_udp_port() {
    if (udp_port_ == 0)
        check(bind_port(IPPROTO_UDP, 0, udp_port_), "claim a port");
    return udp_port_;
}

int Rogue::bind_port(std::uint8_t protocol, std::uint16_t port, std::uint16_t& bound) {
    if (server_keeps_ports())
        return ask_server(LVIF_MSG_PORT_BIND, protocol, port, 1, bound);
    return lvif_hv_port_bind(hv_, protocol, port, &bound);
}

int Rogue::lease_ports(std::uint8_t protocol, std::uint16_t count, std::uint16_t& first) {
    if (server_keeps_ports())
        return ask_server(LVIF_MSG_PORT_LEASE, protocol, 0, count, first);
    return lvif_hv_port_lease(hv_, protocol, count, &first);
}

int Rogue::release_ports(std::uint8_t protocol, std::uint16_t first, std::uint16_t count) {
    std::uint16_t ignored = 0;
    if (server_keeps_ports())
        return ask_server(LVIF_MSG_PORT_RELEASE, protocol, first, count, ignored);
    return lvif_hv_port_release(hv_, protocol, first, count);
}

int Rogue::ask_server(lvif_message_type operation, std::uint8_t protocol, std::uint16_t port, std::uint16_t count,
                      std::uint16_t& answered) {
    auto const end = in(patience);
    std::uint32_t const head = to_server_->head;
    while (head - __atomic_load_n(&to_server_->tail, __ATOMIC_ACQUIRE) == LVIF_CONTROL_SLOTS) {
        if (!before(end))
            return -ETIMEDOUT;
        pause(Milliseconds(1));
    }
    lvif_message request{};
    request.type = static_cast<std::uint16_t>(operation);
    request.flags = LVIF_MSG_WANTS_REPLY;
    request.id = ++asked_;
    request.u.port = {protocol, 0, port, count};
    to_server_->slots[head % LVIF_CONTROL_SLOTS] = request;
    __atomic_store_n(&to_server_->head, head + 1, __ATOMIC_RELEASE);
    lvif_hv_event_notify(hv_, control_event_);
    lvif_message reply{};
    while (!take_reply(request.id, reply)) {
        if (!before(end))
            return -ETIMEDOUT;
        pause(Milliseconds(1));
    }
    if (reply.status == 0)
        answered = reply.u.port.port;
    return reply.status;
}

// Takes what the server said; true when the reply is among it.
bool Rogue::take_reply(std::uint32_t id, lvif_message& reply) {
    bool found = false;
    while (to_guest_->tail != __atomic_load_n(&to_guest_->head, __ATOMIC_ACQUIRE)) {
        auto const message = to_guest_->slots[to_guest_->tail % LVIF_CONTROL_SLOTS];
        __atomic_store_n(&to_guest_->tail, to_guest_->tail + 1, __ATOMIC_RELEASE);
        if (message.type == LVIF_MSG_REPLY && message.id == id) {
            reply = message;
            found = true;
        }
    }
    return found;
}

bool Rogue::send(std::span<std::uint8_t const> frame, lvif_record record, std::size_t number) {
    Ring const& ring = queues_.at(number).tx;
    record.length = static_cast<std::uint32_t>(frame.size());
    std::uint64_t const need = lvif_record_bytes(record.length);
    std::uint64_t head = ring.head();
    std::uint64_t const to_end = ring.capacity - (head & (ring.capacity - 1));
    std::uint64_t const total = need <= to_end ? need : to_end + need;
    for (auto const end = in(Milliseconds(5000)); ring.capacity - (head - ring.tail()) < total;
         pause(Milliseconds(1))) {
        this->ring(number);
        if (!before(end) || !is_connected())
            return false;
    }
    if (need > to_end) {
        lvif_record pad{};
        pad.flags = LVIF_PAD;
        pad.length = static_cast<std::uint32_t>(to_end - sizeof pad);
        std::memcpy(ring.at(head), &pad, sizeof pad);
        head += to_end;
    }
    std::memcpy(ring.at(head), &record, sizeof record);
    std::memcpy(ring.at(head) + sizeof record, frame.data(), frame.size());
    ring.set_head(head + need);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring.header->consumer_sleeps, __ATOMIC_RELAXED) != 0)
        this->ring(number);
    return true;
}

bool Rogue::await_taken(std::size_t number) {
    Ring const& ring = queues_.at(number).tx;
    for (auto const end = in(Milliseconds(10'000)); ring.tail() != ring.head(); pause(Milliseconds(1)))
        if (!before(end) || !is_connected())
            return false;
    return true;
}

}  // namespace librettos::hostile
