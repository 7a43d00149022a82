// SPDX-License-Identifier: BSD-2-Clause
// The peers: DPDK's memif and vhost-user with virtio-user, each a pair of ports in this process, the server's end on
// core 0 and the guest's on core 1. They look at no frame: what is measured is the transport alone. One interface is
// their best case; with several, frames are spread over them as ours are over its guests.
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "tests/bench/memory_port.hpp"
#include "tests/bench/session.hpp"

namespace librettos::bench {
namespace {

constexpr unsigned rounds_per_turn = 64;
constexpr std::uint16_t max_burst = 256;

struct PeerOptions {
    std::string kind;
    Direction direction = Direction::wire_to_guest;
    TrafficShape traffic;
    std::uint16_t burst = 64;
    unsigned interfaces = 1;
    std::uint16_t descriptors = 1024;
    std::string virtio = "queue_size=1024,mrg_rxbuf=0,in_order=1";
    std::string eal = "--no-huge --no-shconf -m 512";
};

std::uint16_t start_port(std::string const& name, std::string const& arguments, std::uint16_t descriptors,
                         rte_mempool* pool) {
    if (rte_eal_hotplug_add("vdev", name.c_str(), arguments.c_str()) != 0)
        throw std::runtime_error("cannot make " + name + "," + arguments + ": " + rte_strerror(rte_errno));
    std::uint16_t port = 0;
    if (rte_eth_dev_get_port_by_name(name.c_str(), &port) != 0)
        throw std::runtime_error("no port " + name);
    rte_eth_conf const configuration{};
    int status = rte_eth_dev_configure(port, 1, 1, &configuration);
    if (status == 0)
        status = rte_eth_rx_queue_setup(port, 0, descriptors, SOCKET_ID_ANY, nullptr, pool);
    if (status == 0)
        status = rte_eth_tx_queue_setup(port, 0, descriptors, SOCKET_ID_ANY, nullptr);
    if (status == 0)
        status = rte_eth_dev_start(port);
    if (status != 0)
        throw std::runtime_error("cannot start " + name + ": " + rte_strerror(-status));
    return port;
}

void wait_for_link(std::uint16_t port) {
    for (int i = 0; i < 500; ++i) {
        rte_eth_link link{};
        rte_eth_link_get_nowait(port, &link);
        if (link.link_status == RTE_ETH_LINK_UP)
            return;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    throw std::runtime_error("the two ends did not connect within 5 s");
}

struct Interfaces {
    std::vector<std::uint16_t> server;
    std::vector<std::uint16_t> guest;
};

struct SocketFiles {
    std::vector<std::string> paths;
    ~SocketFiles() {
        for (std::string const& path : paths)
            unlink(path.c_str());
    }
};

Interfaces make_interfaces(PeerOptions const& options, SocketFiles& sockets, rte_mempool* server_pool,
                           rte_mempool* guest_pool) {
    Interfaces made;
    for (unsigned i = 0; i < options.interfaces; ++i) {
        std::string const number = std::to_string(i);
        std::string const socket = "/tmp/librettos-bench-" + std::to_string(getpid()) + "-" + number + ".sock";
        sockets.paths.push_back(socket);
        if (options.kind == "memif") {
            std::string const common = "socket=" + socket + ",socket-abstract=no,bsize=2048,rsize=10";
            made.server.push_back(
                start_port("net_memif_s" + number, "role=server," + common, options.descriptors, server_pool));
            made.guest.push_back(
                start_port("net_memif_c" + number, "role=client," + common, options.descriptors, guest_pool));
        } else {
            made.server.push_back(
                start_port("net_vhost" + number, "iface=" + socket + ",queues=1", options.descriptors, server_pool));
            made.guest.push_back(start_port("virtio_user" + number, "path=" + socket + ",queues=1," + options.virtio,
                                            options.descriptors, guest_pool));
        }
        wait_for_link(made.server.back());
        wait_for_link(made.guest.back());
    }
    return made;
}

// The server's sending side with several interfaces: each frame goes to the one that its port's owner has, which is
// known here without a look at the frame. What an interface has no room for is dropped, as a server has to.
class SpreadingSender {
  public:
    SpreadingSender(Traffic const& traffic, MemoryPort& source, std::vector<std::uint16_t> ports, std::uint16_t burst)
        : traffic_(traffic), source_(source), ports_(std::move(ports)), burst_(burst), buckets_(ports_.size()) {}

    void turn() {
        rte_mbuf* frames[max_burst];
        OwnedPort const* const walk = traffic_.walk().data();
        std::size_t const mask = traffic_.walk().size() - 1;
        for (unsigned round = 0; round < rounds_per_turn; ++round) {
            std::size_t const step = source_.step();
            std::uint16_t const count = source_.receive(frames, burst_);
            for (std::uint16_t i = 0; i < count; ++i) {
                Bucket& bucket = buckets_[walk[(step + i) & mask].guest % buckets_.size()];
                bucket.frames[bucket.count++] = frames[i];
            }
            for (std::size_t i = 0; i < buckets_.size(); ++i)
                flush(buckets_[i], ports_[i]);
        }
    }

  private:
    struct Bucket {
        std::uint16_t count = 0;
        rte_mbuf* frames[max_burst];
    };

    static void flush(Bucket& bucket, std::uint16_t port) {
        if (bucket.count == 0)
            return;
        std::uint16_t const sent = rte_eth_tx_burst(port, 0, bucket.frames, bucket.count);
        if (sent < bucket.count)
            rte_pktmbuf_free_bulk(bucket.frames + sent, bucket.count - sent);
        bucket.count = 0;
    }

    Traffic const& traffic_;
    MemoryPort& source_;
    std::vector<std::uint16_t> ports_;
    std::uint16_t burst_;
    std::vector<Bucket> buckets_;
};

// A side that has each frame's interface chosen already: one, or all in turn, a burst each. What the transport has no
// room for is offered again, so that nothing is made in vain.
class Sender {
  public:
    Sender(MemoryPort& source, std::vector<std::uint16_t> ports, std::uint16_t burst)
        : source_(source), burst_(burst), queues_(ports.size()) {
        for (std::size_t i = 0; i < ports.size(); ++i)
            queues_[i].port = ports[i];
    }

    void turn() {
        for (unsigned round = 0; round < rounds_per_turn; ++round) {
            Queue& queue = queues_[next_];
            next_ = next_ + 1 == queues_.size() ? 0 : next_ + 1;
            if (queue.first == queue.end) {
                queue.first = 0;
                queue.end = source_.receive(queue.frames, burst_);
            }
            queue.first = static_cast<std::uint16_t>(
                queue.first + rte_eth_tx_burst(queue.port, 0, queue.frames + queue.first,
                                               static_cast<std::uint16_t>(queue.end - queue.first)));
        }
    }

  private:
    struct Queue {
        std::uint16_t port = 0;
        std::uint16_t first = 0;
        std::uint16_t end = 0;
        rte_mbuf* frames[max_burst];
    };

    MemoryPort& source_;
    std::uint16_t burst_;
    std::vector<Queue> queues_;
    std::size_t next_ = 0;
};

class Receiver {
  public:
    Receiver(MemoryPort& sink, std::vector<std::uint16_t> ports, std::uint16_t burst)
        : sink_(sink), ports_(std::move(ports)), burst_(burst) {}

    void turn() {
        rte_mbuf* frames[max_burst];
        for (unsigned round = 0; round < rounds_per_turn; ++round) {
            std::uint16_t const count = rte_eth_rx_burst(ports_[next_], 0, frames, burst_);
            next_ = next_ + 1 == ports_.size() ? 0 : next_ + 1;
            if (count != 0)
                sink_.send(frames, count);
        }
    }

  private:
    MemoryPort& sink_;
    std::vector<std::uint16_t> ports_;
    std::uint16_t burst_;
    std::size_t next_ = 0;
};

void run(PeerOptions const& options, std::string const& program) {
    start_eal(program, options.eal);
    Traffic const traffic(options.traffic);
    rte_mempool* const source_pool = make_frame_pool("source", options.traffic.frame_bytes, options.interfaces);
    rte_mempool* const server_pool = make_frame_pool("server", options.traffic.frame_bytes, options.interfaces);
    rte_mempool* const guest_pool = make_frame_pool("guest", options.traffic.frame_bytes, options.interfaces);
    MemoryPort port(traffic, options.direction, source_pool);
    SocketFiles sockets;
    Interfaces const interfaces = make_interfaces(options, sockets, server_pool, guest_pool);

    bool const inbound = options.direction == Direction::wire_to_guest;
    SpreadingSender spreading(traffic, port, interfaces.server, options.burst);
    Sender sender(port, inbound ? interfaces.server : interfaces.guest, options.burst);
    Receiver receiver(port, inbound ? interfaces.guest : interfaces.server, options.burst);
    Side const sending = inbound && options.interfaces > 1 ? Side{[&spreading] { spreading.turn(); }}
                                                           : Side{[&sender] { sender.turn(); }};
    Side const receiving{[&receiver] { receiver.turn(); }};
    converse({{"program", options.kind}, {"interfaces", options.interfaces}}, inbound ? sending : receiving,
             inbound ? receiving : sending, [&port] {
                 return nlohmann::json{{"frames", port.sent()}, {"offered", port.received()}};
             });
    // The ports are left as they are: stopping one end makes the other end's driver clean up in EAL's interrupt thread
    // at the same time, which memif of DPDK 22.11 does not survive reliably.
}

}  // namespace
}  // namespace librettos::bench

int main(int argc, char** argv) {
    using namespace librettos::bench;
    PeerOptions options;
    bool outbound = false;
    CLI::App app{"Measures a transport of DPDK's between two cores; talks to run.py on stdin and stdout"};
    app.add_option("kind", options.kind, "memif or vhost")->required()->check(CLI::IsMember({"memif", "vhost"}));
    app.add_flag("--guest-to-wire", outbound, "The guest sends; default: the server sends");
    app.add_option("--bytes", options.traffic.frame_bytes, "Frame size")->capture_default_str();
    app.add_option("--interfaces", options.interfaces, "Pairs of ports; DPDK's limit of 32 ports allows 16")
        ->check(CLI::Range(1, 16))
        ->capture_default_str();
    app.add_option("--burst", options.burst, "Frames per call")->check(CLI::Range(1, 256))->capture_default_str();
    app.add_option("--descriptors", options.descriptors, "Per queue")->capture_default_str();
    app.add_option("--virtio", options.virtio, "Arguments of virtio_user")->capture_default_str();
    app.add_option("--eal", options.eal, "Memory arguments of EAL")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    options.direction = outbound ? Direction::guest_to_wire : Direction::wire_to_guest;
    try {
        run(options, argv[0]);
    } catch (std::exception const& error) {
        std::cerr << "bench_peer: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
