// SPDX-License-Identifier: BSD-2-Clause
// A guest that is its own frontend: it does the handshake by hand, so that it can lie in each step of it.
#pragma once

#include <librettos/control_ring.h>
#include <librettos/frame_ring.h>
#include <librettos/handshake.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisord_client.h"

namespace librettos::hostile {

using Milliseconds = std::chrono::milliseconds;

// A frame ring as its guest sees it.
struct Ring {
    lvif_ring_header* header = nullptr;
    std::byte* data = nullptr;
    std::uint32_t capacity = 0;
    std::uint32_t region = 0;

    std::byte* at(std::uint64_t position) const { return data + (position & (capacity - 1)); }
    std::uint64_t head() const { return __atomic_load_n(&header->head, __ATOMIC_ACQUIRE); }
    std::uint64_t tail() const { return __atomic_load_n(&header->tail, __ATOMIC_ACQUIRE); }
    void set_head(std::uint64_t value) const { __atomic_store_n(&header->head, value, __ATOMIC_RELEASE); }
    void set_tail(std::uint64_t value) const { __atomic_store_n(&header->tail, value, __ATOMIC_RELEASE); }
};

struct Queue {
    Ring tx, rx;
    std::uint32_t event = 0;
};

// What the server offers, as far as frames need it.
struct Identity {
    std::array<std::uint8_t, 6> mac{};
    std::array<std::uint8_t, 4> ipv4{};
};

class Rogue {
  public:
    // Throws std::runtime_error when hypervisord refuses; everything below throws when an honest step fails.
    Rogue(std::string const& socket, std::string const& name);
    ~Rogue();
    Rogue(Rogue const&) = delete;
    Rogue& operator=(Rogue const&) = delete;

    lvif_hv* hv() const { return hv_; }
    std::uint16_t self() const { return lvif_hv_self(hv_); }
    std::string const& frontend() const { return frontend_; }
    std::string home() const { return "/local/domain/" + std::to_string(self()); }

    // The handshake, step by step.
    void ask_for_offer();                                              // Initialising .. InitWait
    void share_rings(std::uint32_t queues, std::uint32_t ring_bytes);  // memory, channels, keys
    void say_initialised() { write(LVIF_KEY_STATE, "3"); }
    void await_connected();
    void connect(std::uint32_t queues = 1, std::uint32_t ring_bytes = LVIF_RING_MIN_CAPACITY);

    int write(std::string_view key, std::string const& value);  // in the frontend directory; unchecked
    std::string read_backend(char const* key);                  // "" when there is none
    int backend_state();
    // The reason of a detach that comes within the time; "": none came.
    std::string await_detach(Milliseconds patience = Milliseconds(3000));
    bool is_connected() { return backend_state() == LVIF_STATE_CONNECTED; }

    Queue& queue(std::size_t number) { return queues_.at(number); }
    std::size_t queues() const { return queues_.size(); }
    lvif_control_ring* to_server() { return to_server_; }
    lvif_control_ring* to_guest() { return to_guest_; }
    std::uint32_t control_event() const { return control_event_; }
    Identity identity();
    std::uint16_t own_udp_port();  // claimed at the first call

    // The portmap's operations, asked of who keeps it for this guest: the hypervisor, or the server over the control
    // ring of a connected device. -ETIMEDOUT: the server does not answer.
    int bind_port(std::uint8_t protocol, std::uint16_t port, std::uint16_t& bound);
    int lease_ports(std::uint8_t protocol, std::uint16_t count, std::uint16_t& first);
    int release_ports(std::uint8_t protocol, std::uint16_t first, std::uint16_t count);

    // Sends one record as it is, with what follows it, honestly published. False: no room, and the server takes nothing
    // any more.
    bool send(std::span<std::uint8_t const> frame, lvif_record record, std::size_t queue = 0);
    void ring(std::size_t queue = 0) { lvif_hv_event_notify(hv_, queues_.at(queue).event); }
    // Until the server has taken all that was sent. False: it does not.
    bool await_taken(std::size_t queue = 0);

  private:
    Ring make_ring(std::uint32_t capacity);
    std::uint32_t make_page(lvif_control_ring*& page);
    bool server_keeps_ports() { return read_backend(LVIF_KEY_PORT_AUTHORITY) == "server"; }
    int ask_server(lvif_message_type operation, std::uint8_t protocol, std::uint16_t port, std::uint16_t count,
                   std::uint16_t& answered);
    bool take_reply(std::uint32_t id, lvif_message& reply);

    lvif_hv* hv_ = nullptr;
    std::string frontend_;
    std::string backend_;
    std::uint32_t features_ = 0;
    std::vector<Queue> queues_;
    lvif_control_ring* to_server_ = nullptr;
    lvif_control_ring* to_guest_ = nullptr;
    std::uint32_t control_event_ = 0;
    std::uint32_t asked_ = 0;
    std::uint16_t udp_port_ = 0;
};

// Descriptors of this process whose link contains `text`.
std::vector<int> own_descriptors(std::string_view text);
void pause(Milliseconds time);
std::chrono::steady_clock::time_point in(Milliseconds time);
bool before(std::chrono::steady_clock::time_point end);

}  // namespace librettos::hostile
