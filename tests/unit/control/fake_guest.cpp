// SPDX-License-Identifier: BSD-2-Clause
// A guest's side of the handshake.
#include "tests/unit/control/fake_guest.hpp"

#include <unistd.h>

#include <cstring>
#include <stdexcept>

namespace librettos::test {

FakeGuest::FakeGuest(World& world, std::string const& guest_name)
    : domain(world.create_domain(guest_name)), name(guest_name), world_(world) {
}

std::string FakeGuest::frontend() const {
    return "/local/domain/" + std::to_string(domain.value) + "/device/lvif/0";
}

std::string FakeGuest::backend() const {
    return "/local/domain/" + std::to_string(server_domain.value) + "/backend/lvif/" + std::to_string(domain.value) +
           "/0";
}

void FakeGuest::open(std::string const& mode) {
    set(LVIF_KEY_REQUEST_MODE, mode);
    set_state(LVIF_STATE_INITIALISING);
}

void FakeGuest::set_state(int state) {
    set(LVIF_KEY_STATE, std::to_string(state));
}

int FakeGuest::server_state() const {
    auto const text = offered(LVIF_KEY_STATE);
    return text.empty() ? 0 : std::stoi(text);
}

void FakeGuest::prepare(unsigned queues, std::uint32_t ring_bytes) {
    auto const number = [&](std::string const& at, std::uint32_t value) { set(at, std::to_string(value)); };
    number(LVIF_KEY_QUEUES, queues);
    number(LVIF_KEY_RING_BYTES, ring_bytes);
    number(LVIF_KEY_CONTROL_TO_SERVER, world_.share(domain, LVIF_PAGE_BYTES));
    number(LVIF_KEY_CONTROL_TO_GUEST, world_.share(domain, LVIF_PAGE_BYTES));
    number(LVIF_KEY_CONTROL_EVENT, world_.allocate_event(domain));
    for (auto* const control : {&to_server(), &to_guest()}) {
        control->magic = LVIF_CONTROL_MAGIC;
        control->version = LVIF_CONTROL_VERSION;
    }
    to_guest().consumer_sleeps = 1;
    for (unsigned q = 0; q < queues; ++q) {
        auto const directory = "queue-" + std::to_string(q) + "/";
        number(directory + LVIF_KEY_TX_RING, world_.share(domain, LVIF_PAGE_BYTES + ring_bytes));
        number(directory + LVIF_KEY_RX_RING, world_.share(domain, LVIF_PAGE_BYTES + ring_bytes));
        number(directory + LVIF_KEY_EVENT, world_.allocate_event(domain));
        for (bool const tx : {true, false}) {
            auto& header = ring(q, tx);
            header.magic = LVIF_RING_MAGIC;
            header.version = LVIF_RING_VERSION;
            header.capacity = ring_bytes;
            header.features = LVIF_F_TX_CSUM | LVIF_F_RX_CSUM;
        }
    }
}

Region& FakeGuest::region(std::string const& key_name) const {
    auto const reference = static_cast<std::uint32_t>(std::stoul(key(key_name)));
    return *world_.regions.at({domain, reference});
}

lvif_ring_header& FakeGuest::ring(unsigned queue, bool tx) {
    auto& memory = region("queue-" + std::to_string(queue) + (tx ? "/tx-ring" : "/rx-ring"));
    return *reinterpret_cast<lvif_ring_header*>(memory.bytes().data());
}

lvif_control_ring& FakeGuest::to_server() {
    return *reinterpret_cast<lvif_control_ring*>(region(LVIF_KEY_CONTROL_TO_SERVER).bytes().data());
}

lvif_control_ring& FakeGuest::to_guest() {
    return *reinterpret_cast<lvif_control_ring*>(region(LVIF_KEY_CONTROL_TO_GUEST).bytes().data());
}

void FakeGuest::send(lvif_message const& message) {
    auto& control = to_server();
    if (control.head - control.tail >= LVIF_CONTROL_SLOTS)
        throw std::logic_error("control ring is full");
    std::memcpy(&control.slots[control.head % LVIF_CONTROL_SLOTS], &message, sizeof message);
    ++control.head;
    ring_control();
}

void FakeGuest::ring_control() {
    auto const port = static_cast<std::uint32_t>(std::stoul(key(LVIF_KEY_CONTROL_EVENT)));
    std::uint64_t const one = 1;
    if (write(world_.channels.at({domain, port})->server_fd, &one, sizeof one) != sizeof one)
        throw std::logic_error("eventfd");
}

std::optional<lvif_message> FakeGuest::receive() {
    auto& control = to_guest();
    if (control.head == control.tail)
        return std::nullopt;
    lvif_message message;
    std::memcpy(&message, &control.slots[control.tail % LVIF_CONTROL_SLOTS], sizeof message);
    ++control.tail;
    return message;
}

std::uint64_t FakeGuest::notifications() const {
    std::uint64_t sum = 0;
    for (auto const& [at, channel] : world_.channels) {
        if (at.first == domain)
            sum += channel->to_guest;
    }
    return sum;
}

lvif_message request_of(std::uint16_t type, std::uint32_t id) {
    lvif_message message;
    std::memset(&message, 0, sizeof message);
    message.type = type;
    message.flags = LVIF_MSG_WANTS_REPLY;
    message.id = id;
    return message;
}

}  // namespace librettos::test
