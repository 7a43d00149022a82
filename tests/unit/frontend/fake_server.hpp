// SPDX-License-Identifier: BSD-2-Clause
// A server that behaves: makes offers, maps rings, echoes frames, answers HELLO; and that may detach, crash, return.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/engine/datapath/frame_ring.hpp"
#include "fake_world.hpp"

class FakeServer {
  public:
    explicit FakeServer(FakeWorld& world);

    // Does what there is to do: one step of the handshake, all messages, all frames.
    void turn();

    void detach(std::string const& reason);
    void crash();    // mappings and channels go, the hypervisor clears the life signs; the store stays
    void restart();  // a new server: takes up every state as it stands
    bool alive() const { return alive_; }
    bool connected() const { return !queues_.empty(); }
    std::string state() const { return world_.read(backend + "/state"); }
    void set_state(int state) { world_.write(backend + "/state", std::to_string(state)); }
    void write_offer();
    void send(lvif_message const& message);

    static inline std::string const backend = "/local/domain/3/backend/lvif/7/0";
    static inline std::string const frontend = "/local/domain/7/device/lvif/0";

    std::map<std::string, std::string> offer;
    bool keeps_mappings = false;  // after letting go: a slow server
    bool answers_ports = true;    // else they stay in the ring, as for a server that is busy
    std::vector<lvif_message> port_requests;
    std::string program;  // from the last HELLO
    std::uint32_t hello_flags = 0;
    std::vector<lvif_message> switch_replies;
    std::uint64_t vf_lost = 0;
    std::uint64_t hellos = 0;
    std::uint64_t echoed = 0;
    std::uint64_t replies = 0;
    std::uint32_t event_of(std::string const& key) const;
    lvif_ring_header* tx_header() { return tx_header_; }
    lvif_ring_header* rx_header() { return rx_header_; }
    lvif_control_ring* to_guest() { return to_guest_; }
    lvif_control_ring* to_server() { return to_server_; }

  private:
    struct Queue {
        librettos::RingConsumer tx;
        librettos::RingProducer rx;
    };
    std::optional<std::span<std::byte>> map(std::string const& key, std::size_t bytes);
    bool map_all();
    void let_go();
    void drop(std::vector<std::uint32_t>& mapped);
    void messages();
    void echo(Queue& queue);

    FakeWorld& world_;
    bool alive_ = true;
    std::vector<std::uint32_t> mapped_;
    std::vector<std::uint32_t> kept_;  // of earlier connections
    std::vector<Queue> queues_;
    lvif_control_ring* to_server_ = nullptr;
    lvif_control_ring* to_guest_ = nullptr;
    lvif_ring_header* tx_header_ = nullptr;
    lvif_ring_header* rx_header_ = nullptr;
};
