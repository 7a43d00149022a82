// SPDX-License-Identifier: BSD-2-Clause
// Ours: the server's loop on core 0, the guests on core 1, frames from and to an in-memory port.
#include <iostream>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>

#include "tests/bench/guest_side.hpp"
#include "tests/bench/memory_port.hpp"
#include "tests/bench/null_port.hpp"
#include "tests/bench/server_side.hpp"
#include "tests/bench/session.hpp"

namespace librettos::bench {
namespace {

struct Options {
    Direction direction = Direction::wire_to_guest;
    TrafficShape traffic;
    std::uint32_t ring_bytes = LVIF_RING_DEFAULT_CAPACITY;
    bool generator_alone = false;
    std::string eal = "--no-huge --no-shconf -m 512";
};

// Before anything is measured: the frames go where they have to, and none is dropped.
void prove(Options const& options, ServerSide& server, GuestSide& guests, MemoryPort const& port) {
    bool const inbound = options.direction == Direction::wire_to_guest;
    std::uint64_t arrived = 0;
    for (int i = 0; i < 4; ++i) {
        if (!inbound)
            guests.send_round();
        server.turns();
        arrived += inbound ? guests.receive_and_check() : 0;
    }
    std::uint64_t const passed = inbound ? arrived : port.sent();
    std::uint64_t const other_drops = server.drops() - server.total(Counter::drop_ring_full);
    if (passed == 0 || other_drops != 0)
        throw std::runtime_error("the server passed " + std::to_string(passed) + " frames and dropped " +
                                 std::to_string(other_drops) + " for other reasons than a full ring");
}

void run_generator(Options const& options, MemoryPort& port) {
    // What the port itself costs in either direction: frames received and sent back at once.
    Side const server{[&port] {
        rte_mbuf* frames[32];
        for (int i = 0; i < 64; ++i)
            port.send(frames, port.receive(frames, 32));
    }};
    Side const guest{[] { rte_pause(); }};
    converse({{"program", "generator"}, {"frame_bytes", options.traffic.frame_bytes}}, server, guest, [&port] {
        return nlohmann::json{{"frames", port.sent()}, {"offered", port.received()}};
    });
}

void run(Options const& options, std::string const& program) {
    start_eal(program, options.eal);
    Traffic const traffic(options.traffic);
    rte_mempool* const source_pool = make_frame_pool("source", options.traffic.frame_bytes, 1);
    rte_mempool* const server_pool = make_frame_pool("server", options.traffic.frame_bytes, 1);
    MemoryPort port(traffic, options.direction, source_pool);
    if (options.generator_alone) {
        run_generator(options, port);
        return;
    }
    bool const inbound = options.direction == Direction::wire_to_guest;
    NullPort const null_port(server_pool);
    port.take_over(null_port.id(), inbound);

    std::vector<std::unique_ptr<GuestDevice>> devices;
    for (std::uint16_t g = 0; g < options.traffic.guests; ++g)
        devices.push_back(
            std::make_unique<GuestDevice>(static_cast<std::uint16_t>(first_domain + g), options.ring_bytes));
    GuestSide guests(traffic, devices);
    ServerSide server(traffic, devices, null_port.id(), server_pool);
    prove(options, server, guests, port);

    Side const server_side{[&server] { server.turns(); }};
    Side const guest_side =
        inbound ? Side{[&guests] { guests.receive_round(); }} : Side{[&guests] { guests.send_round(); }};
    converse({{"program", "ours"}, {"guests", options.traffic.guests}}, server_side, guest_side, [&] {
        return nlohmann::json{{"frames", inbound ? guests.received() : port.sent()},
                              {"offered", inbound ? port.received() : server.total(Counter::from_guest_frames)},
                              {"ring_full", server.total(Counter::drop_ring_full)},
                              {"drops", server.drops()},
                              {"doorbells", server.total(Counter::doorbells_sent)}};
    });
}

}  // namespace
}  // namespace librettos::bench

int main(int argc, char** argv) {
    using namespace librettos::bench;
    Options options;
    bool outbound = false;
    CLI::App app{"Measures the server's data path between two cores; talks to run.py on stdin and stdout"};
    app.add_flag("--guest-to-wire", outbound, "The guests send; default: the wire does");
    app.add_flag("--generator", options.generator_alone, "Only the in-memory port, to know what it costs");
    app.add_option("--bytes", options.traffic.frame_bytes, "Frame size")->capture_default_str();
    app.add_option("--guests", options.traffic.guests, "Guests")->capture_default_str();
    app.add_option("--ports", options.traffic.owned_ports, "Ports owned by all guests together")->capture_default_str();
    app.add_option("--ring-bytes", options.ring_bytes, "Capacity of each ring")->capture_default_str();
    app.add_option("--eal", options.eal, "Memory arguments of EAL")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    options.direction = outbound ? Direction::guest_to_wire : Direction::wire_to_guest;
    try {
        run(options, argv[0]);
    } catch (std::exception const& error) {
        std::cerr << "bench_server: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
