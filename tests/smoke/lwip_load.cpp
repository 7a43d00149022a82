// SPDX-License-Identifier: BSD-2-Clause
#include "tests/smoke/lwip_load.hpp"

#include <lwip/etharp.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcpip.h>
#include <lwip/udp.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "guest-frontend/lwip/core_lock.hpp"

namespace {

using librettos::guest::CoreLock;
using Clock = std::chrono::steady_clock;

constexpr auto slot = std::chrono::microseconds(500);
constexpr auto look_every = std::chrono::milliseconds(20);
constexpr auto silence = std::chrono::milliseconds(300);
constexpr std::uint32_t most_at_once = 256;
constexpr int socket_room = 64;

sigset_t end_signal() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    return set;
}

}  // namespace

LwipLoad::LwipLoad(netif& interface, std::uint16_t in_port, std::string const& file, std::string const& address,
                   std::uint16_t out_port, double per_second)
    : interface_(interface), out_port_(out_port), per_second_(per_second) {
    if (ipaddr_aton(address.c_str(), &to_) == 0 || number_account_open(&account_, file.c_str()) < 0) {
        throw std::runtime_error("lwip_guest: load: no address, or no file");
    }
    CoreLock const lock;
    in_ = udp_new();
    out_ = udp_new();
    if (lvif_netif_udp_bind(&interface, in_, IP4_ADDR_ANY, in_port) != ERR_OK) {
        throw std::runtime_error("lwip_guest: load: no port");
    }
    udp_recv(in_, take, this);
}

void LwipLoad::block_signals() {
    sigset_t const set = end_signal();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void LwipLoad::wait_for_end() {
    sigset_t const set = end_signal();
    int number = 0;
    sigwait(&set, &number);
}

bool LwipLoad::ending() {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) == 1;
}

void LwipLoad::take(void* self, udp_pcb* /*pcb*/, pbuf* data, ip_addr_t const* /*address*/, u16_t /*port*/) {
    numbered head{};
    if (data->tot_len == numbered_bytes && pbuf_copy_partial(data, &head, sizeof head, 0) == sizeof head) {
        number_account_take(&static_cast<LwipLoad*>(self)->account_, head, number_account_now());
    }
    pbuf_free(data);
}

// What is sent before it is known is lost for the most part.
void LwipLoad::find_neighbour() {
    for (bool found = false; !found && !ending();) {
        {
            CoreLock const lock;
            eth_addr* ethernet = nullptr;
            ip4_addr_t const* known = nullptr;
            found = etharp_find_addr(&interface_, ip_2_ip4(&to_), &ethernet, &known) >= 0;
            if (!found) {
                etharp_request(&interface_, ip_2_ip4(&to_));
            }
        }
        std::this_thread::sleep_for(look_every);
    }
}

// A number that there is no room for is sent later.
void LwipLoad::send_due(std::uint32_t due) {
    CoreLock const lock;
    for (std::uint32_t left = most_at_once; sent_ < due && left != 0; --left) {
        pbuf* const data = pbuf_alloc(PBUF_TRANSPORT, numbered_bytes, PBUF_RAM);
        if (data == nullptr) {
            return;
        }
        std::memset(data->payload, 0, numbered_bytes);
        numbered const head{number_account_now(), sent_};
        std::memcpy(data->payload, &head, sizeof head);
        err_t const result = udp_sendto(out_, data, &to_, out_port_);
        pbuf_free(data);
        if (result != ERR_OK) {
            return;
        }
        ++sent_;
    }
}

void LwipLoad::look_at_connections() {
    CoreLock const lock;
    unsigned now = 0;
    for (tcp_pcb const* pcb = tcp_active_pcbs; pcb != nullptr; pcb = pcb->next) {
        now += pcb->nrtx > 0 ? 1 : 0;
    }
    timeouts_ += now > backed_off_ ? now - backed_off_ : 0;
    backed_off_ = now;
}

bool LwipLoad::silent() {
    std::uint64_t before = 0;
    {
        CoreLock const lock;
        before = account_.received;
    }
    std::this_thread::sleep_for(silence);
    CoreLock const lock;
    return account_.received == before;
}

void LwipLoad::run() {
    find_neighbour();
    auto const begin = Clock::now();
    auto look_again = begin;
    double behind = 0;  // what a pause left undone is not made good at once
    while (!ending()) {
        std::this_thread::sleep_for(slot);
        auto const now = Clock::now();
        double const wanted = std::chrono::duration<double>(now - begin).count() * per_second_ - behind;
        if (wanted - sent_ > 4.0 * socket_room + per_second_ / 1000) {
            behind += wanted - sent_ - socket_room;
        }
        send_due(static_cast<std::uint32_t>(std::max(0.0, std::min(wanted, sent_ + double{most_at_once}))));
        if (now >= look_again) {
            look_again = now + look_every;
            look_at_connections();
        }
    }
    while (!silent()) {
    }
    CoreLock const lock;
    udp_recv(in_, nullptr, nullptr);
    std::printf("{\"sent\": %u, \"tcp_timeouts\": %llu, ", sent_, static_cast<unsigned long long>(timeouts_));
    number_account_close(&account_);
    std::puts("}");
    std::fflush(stdout);
}
