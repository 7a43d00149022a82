// SPDX-License-Identifier: BSD-2-Clause
// A guest whose TCP/IP is lwIP, on lwIP's raw interface:
//
//     lwip_guest NAME shared|dedicated echo PORT                                   TCP and UDP echo, until it is killed
//     lwip_guest NAME shared|dedicated transfer ADDRESS PORT BYTES CONNECTIONS     sends BYTES to an echo server on
//                                                                                  each connection, compares what comes
//                                                                                  back
//     lwip_guest NAME dedicated load PORT IN_PORT FILE ADDRESS OUT_PORT PER_SECOND
//                                          echo, and numbered datagrams both ways, see lwip_load.hpp; until SIGTERM
//
// $LIBRETTOS_HYPERVISOR_SOCKET says where the hypervisor is, $LWIP_GUEST_VF which VF the guest may be switched to (PCI
// address). Exit status 3: the port is another guest's.
#include "guest-frontend/lwip/lvif_netif.h"
// lwIP's
#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <lwip/udp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "guest-frontend/dpdk/lvif_dpdk.h"
#include "tests/smoke/lwip_load.hpp"

namespace {

constexpr int port_is_taken = 3;
netif interface;

[[noreturn]] void end(int status, std::string const& text) {
    std::fprintf(stderr, "lwip_guest: %s\n", text.c_str());
    std::_Exit(status);
}

void require(err_t error, std::string const& tried) {
    if (error != ERR_OK) {
        end(error == ERR_USE ? port_is_taken : 1, tried + ": lwIP error " + std::to_string(error));
    }
}

void say(char const* text) {
    std::puts(text);
    std::fflush(stdout);
}

// ---- echo

// A connection: what came and has not gone back yet. lwIP acknowledges, and so lets more come, when it has gone.
struct Echo {
    pbuf* waiting = nullptr;
    bool ended = false;
};

err_t end_echo(tcp_pcb* pcb, Echo* echo) {
    tcp_arg(pcb, nullptr);
    tcp_recv(pcb, nullptr);
    tcp_sent(pcb, nullptr);
    tcp_poll(pcb, nullptr, 0);
    tcp_err(pcb, nullptr);
    delete echo;
    if (tcp_close(pcb) == ERR_OK) {
        return ERR_OK;
    }
    tcp_abort(pcb);
    return ERR_ABRT;
}

err_t send_back(tcp_pcb* pcb, Echo* echo) {
    while (echo->waiting != nullptr) {
        pbuf* const part = echo->waiting;
        u16_t const size = std::min(part->len, tcp_sndbuf(pcb));
        if (size == 0 || tcp_write(pcb, part->payload, size, TCP_WRITE_FLAG_COPY) != ERR_OK) {
            break;
        }
        echo->waiting = pbuf_free_header(part, size);
        tcp_recved(pcb, size);
    }
    tcp_output(pcb);
    return echo->ended && echo->waiting == nullptr ? end_echo(pcb, echo) : static_cast<err_t>(ERR_OK);
}

err_t echo_received(void* argument, tcp_pcb* pcb, pbuf* data, err_t /*error*/) {
    auto* const echo = static_cast<Echo*>(argument);
    if (data == nullptr) {
        echo->ended = true;
    } else if (echo->waiting == nullptr) {
        echo->waiting = data;
    } else {
        pbuf_cat(echo->waiting, data);
    }
    return send_back(pcb, echo);
}

void echo_broken(void* argument, err_t /*error*/) {
    auto* const echo = static_cast<Echo*>(argument);
    if (echo->waiting != nullptr) {
        pbuf_free(echo->waiting);
    }
    delete echo;
}

err_t echo_accepted(void* /*argument*/, tcp_pcb* pcb, err_t error) {
    if (error != ERR_OK || pcb == nullptr) {
        return ERR_VAL;
    }
    tcp_arg(pcb, new Echo);
    tcp_recv(pcb, echo_received);
    tcp_sent(pcb, [](void* echo, tcp_pcb* sender, u16_t) { return send_back(sender, static_cast<Echo*>(echo)); });
    tcp_poll(
        pcb, [](void* echo, tcp_pcb* sender) { return send_back(sender, static_cast<Echo*>(echo)); }, 2);
    tcp_err(pcb, echo_broken);
    return ERR_OK;
}

void answer_datagram(void* /*argument*/, udp_pcb* pcb, pbuf* data, ip_addr_t const* address, u16_t port) {
    udp_sendto(pcb, data, address, port);
    pbuf_free(data);
}

void serve(u16_t port) {
    LOCK_TCPIP_CORE();
    tcp_pcb* const listener = tcp_new_ip_type(IPADDR_TYPE_ANY);
    udp_pcb* const datagrams = udp_new_ip_type(IPADDR_TYPE_ANY);
    require(lvif_netif_tcp_bind(&interface, listener, IP_ANY_TYPE, port), "bind TCP");
    require(lvif_netif_udp_bind(&interface, datagrams, IP_ANY_TYPE, port), "bind UDP");
    tcp_accept(tcp_listen_with_backlog(listener, 0xff), echo_accepted);
    udp_recv(datagrams, answer_datagram, nullptr);
    UNLOCK_TCPIP_CORE();
    say("ready");
}

// ---- transfer

std::uint8_t byte_at(std::uint64_t position, std::uint64_t seed) {
    std::uint64_t value = (position / 8 + 1) * 0x9e3779b97f4a7c15u ^ seed * 0xbf58476d1ce4e5b9u;
    value ^= value >> 29;
    return static_cast<std::uint8_t>(value * 0x94d049bb133111ebu >> (position % 8 * 8));
}

// Not back yet of a connection, at the most. With an echo server's receive buffer full to the brim Linux drops what is
// in the window, and with it, from lwIP, which acknowledges from beyond that window, all acknowledgements: a deadlock
// of their own.
constexpr std::uint64_t most_under_way = 48 * 1024;

// One connection; sends and compares as the window allows.
struct Transfer {
    std::uint64_t size;
    std::uint64_t seed;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
};

std::mutex done_mutex;
std::condition_variable done_changed;
std::size_t done = 0;

err_t send_more(Transfer* transfer, tcp_pcb* pcb) {
    std::uint8_t block[4096];
    for (;;) {
        std::uint64_t const limit = std::min(transfer->size, transfer->received + most_under_way);
        auto const size =
            static_cast<u16_t>(std::min<std::uint64_t>({sizeof block, tcp_sndbuf(pcb), limit - transfer->sent}));
        for (u16_t i = 0; i < size; ++i) {
            block[i] = byte_at(transfer->sent + i, transfer->seed);
        }
        if (size == 0 || tcp_write(pcb, block, size, TCP_WRITE_FLAG_COPY) != ERR_OK) {
            break;
        }
        transfer->sent += size;
    }
    tcp_output(pcb);
    return ERR_OK;
}

err_t compare(void* argument, tcp_pcb* pcb, pbuf* data, err_t /*error*/) {
    auto* const transfer = static_cast<Transfer*>(argument);
    if (data == nullptr) {
        end(1, "the other side closed after " + std::to_string(transfer->received) + " bytes");
    }
    for (pbuf const* part = data; part != nullptr; part = part->next) {
        for (u16_t i = 0; i < part->len; ++i, ++transfer->received) {
            if (static_cast<std::uint8_t const*>(part->payload)[i] != byte_at(transfer->received, transfer->seed)) {
                end(1, "byte " + std::to_string(transfer->received) + " came back changed");
            }
        }
    }
    tcp_recved(pcb, data->tot_len);
    pbuf_free(data);
    send_more(transfer, pcb);
    if (transfer->received == transfer->size) {
        tcp_arg(pcb, nullptr);
        tcp_recv(pcb, nullptr);
        tcp_sent(pcb, nullptr);
        tcp_err(pcb, nullptr);
        tcp_close(pcb);
        std::lock_guard const lock(done_mutex);
        ++done;
        done_changed.notify_all();
    }
    return ERR_OK;
}

// All begin when the first is connected: until the next hop answers ARP, lwIP keeps ten packets and loses the others.
struct Plan {
    ip_addr_t address;
    u16_t port;
    std::vector<std::unique_ptr<Transfer>> all;
} plan;

void begin_transfer(Transfer* transfer);

err_t transfer_connected(void* argument, tcp_pcb* pcb, err_t /*error*/) {
    auto* const transfer = static_cast<Transfer*>(argument);
    if (transfer == plan.all.front().get()) {
        std::for_each(plan.all.begin() + 1, plan.all.end(), [](auto const& other) { begin_transfer(other.get()); });
        say("begun");
    }
    return send_more(transfer, pcb);
}

void begin_transfer(Transfer* transfer) {
    bool const v6 = IP_IS_V6(&plan.address);
    tcp_pcb* const pcb = tcp_new_ip_type(IP_GET_TYPE(&plan.address));
    require(lvif_netif_tcp_bind(&interface, pcb, v6 ? IP6_ADDR_ANY : IP4_ADDR_ANY, 0), "bind");
    tcp_arg(pcb, transfer);
    tcp_recv(pcb, compare);
    tcp_sent(pcb, [](void* sender, tcp_pcb* its, u16_t) { return send_more(static_cast<Transfer*>(sender), its); });
    tcp_err(pcb, [](void* broken, err_t error) {
        end(1, "connection " + std::to_string(static_cast<Transfer*>(broken)->seed) + ": lwIP error " +
                   std::to_string(error));
    });
    require(tcp_connect(pcb, &plan.address, plan.port, transfer_connected), "connect");
}

void transfer(char const* address, u16_t port, std::uint64_t size, std::size_t connections) {
    if (ipaddr_aton(address, &plan.address) == 0) {
        end(2, std::string("no address: ") + address);
    }
    plan.port = port;
    for (std::size_t i = 0; i < connections; ++i) {
        plan.all.push_back(std::make_unique<Transfer>(Transfer{size, i}));
    }
    auto const start = std::chrono::steady_clock::now();
    LOCK_TCPIP_CORE();
    begin_transfer(plan.all.front().get());
    UNLOCK_TCPIP_CORE();
    std::unique_lock lock(done_mutex);
    done_changed.wait(lock, [connections] { return done == connections; });
    std::chrono::duration<double> const took = std::chrono::steady_clock::now() - start;
    std::printf("%zu connections, %llu bytes each way on each, %.3f s, %.0f Mbit/s each way\n", connections,
                static_cast<unsigned long long>(size), took.count(),
                static_cast<double>(size * connections) * 8e-6 / took.count());
}

}  // namespace

int main(int count, char** words) {
    std::vector<std::string> const arguments(words + 1, words + count);
    bool const echo = arguments.size() == 4 && arguments[2] == "echo";
    bool const load = arguments.size() == 9 && arguments[2] == "load";
    if (!echo && !load && !(arguments.size() == 7 && arguments[2] == "transfer")) {
        end(2,
            "usage: NAME shared|dedicated echo PORT | transfer ADDRESS PORT BYTES CONNECTIONS | "
            "load PORT IN_PORT FILE ADDRESS OUT_PORT PER_SECOND");
    }
    if (echo || load) {
        LwipLoad::block_signals();
    }
    tcpip_init(nullptr, nullptr);
    lvif_netif_options options{};
    options.name = arguments[0].c_str();
    options.ring_bytes = 4u << 20;  // of 100 connections each may have 64 KiB on their way
    options.dedicated = arguments[1] == "dedicated";
    if (char const* const vf = std::getenv("LWIP_GUEST_VF"); vf != nullptr) {
        options.vf = lvif_dpdk_vf_create(vf);
    }
    require(lvif_netif_add(&interface, &options, 60'000), "become a guest");
    auto const port_in = [&arguments](std::size_t at) { return static_cast<u16_t>(std::stoul(arguments[at])); };
    if (echo || load) {
        serve(port_in(3));
    }
    if (load) {
        LwipLoad(interface, port_in(4), arguments[5], arguments[6], port_in(7), std::stod(arguments[8])).run();
    } else if (echo) {
        LwipLoad::wait_for_end();
    } else {
        transfer(arguments[3].c_str(), port_in(4), std::stoull(arguments[5]), std::stoul(arguments[6]));
    }
    lvif_netif_remove(&interface);
    if (options.vf != nullptr) {
        lvif_dpdk_vf_destroy(options.vf);
    }
    return 0;
}
