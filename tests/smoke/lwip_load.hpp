// SPDX-License-Identifier: BSD-2-Clause
// Numbered datagrams of a guest with lwIP: sent at a steady rate, received and accounted for, as smoke_numbers does
// with the kernel's stack. Until SIGTERM and then silence; prints one JSON object: what smoke_numbers prints about what
// was received, "sent", and "tcp_timeouts" of all connections meanwhile.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "guest-frontend/lwip/lvif_netif.h"
#include "tests/smoke/number_account.h"

struct pbuf;
struct udp_pcb;

class LwipLoad {
  public:
    // Receives at in_port, sends to address and out_port. FILE as smoke_numbers'.
    LwipLoad(netif& interface, std::uint16_t in_port, std::string const& file, std::string const& address,
             std::uint16_t out_port, double per_second);
    LwipLoad(LwipLoad const&) = delete;
    LwipLoad& operator=(LwipLoad const&) = delete;

    void run();

    // SIGTERM, in all threads that begin afterwards; and until it comes.
    static void block_signals();
    static void wait_for_end();

  private:
    static void take(void* self, udp_pcb* pcb, pbuf* data, ip_addr_t const* address, u16_t port);
    static bool ending();
    void find_neighbour();
    void send_due(std::uint32_t due);
    void look_at_connections();
    bool silent();

    netif& interface_;
    ip_addr_t to_{};
    std::uint16_t const out_port_;
    double const per_second_;
    udp_pcb* in_ = nullptr;
    udp_pcb* out_ = nullptr;
    number_account account_{};  // the core lock's
    std::uint32_t sent_ = 0;
    std::uint64_t timeouts_ = 0;
    unsigned backed_off_ = 0;  // connections that wait for an answer to a segment sent again
};
