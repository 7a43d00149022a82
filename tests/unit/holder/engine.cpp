// SPDX-License-Identifier: BSD-2-Clause
// An engine for the holder's tests. LIBRETTOS_TEST_ENGINE is a list of words:
//   crash    exits at once                       hang     its data thread stands still after `ready`
//   deaf     does not stop when told             garbage  the first one sends a message that is none
//   mac      asks for a MAC, writes the answer to $LIBRETTOS_TEST_ENGINE_OUT
//   vf       asks for an operation on VF 3, writes the answer likewise
//   asleep   its data thread says that it sleeps
//   traffic  sends each frame back where it came from
// It turns until it is told to stop. Killed in the middle of traffic it may leave a buffer pool that the holder cannot
// mend, and the holder then ends: tests that kill it for other reasons do without.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "daemon/engine/boot.hpp"
#include "daemon/engine/holder_messages.hpp"

namespace {

using namespace librettos;

bool told(char const* word) {
    char const* const words = std::getenv("LIBRETTOS_TEST_ENGINE");
    return words != nullptr && std::strstr(words, word) != nullptr;
}

void send_back(std::uint16_t port) {
    rte_mbuf* frames[32];
    std::uint16_t const received = rte_eth_rx_burst(port, 0, frames, 32);
    std::uint16_t const sent = rte_eth_tx_burst(port, 0, frames, received);
    rte_pktmbuf_free_bulk(frames + sent, received - sent);
}

void send(int fd, HolderMessage const& message) {
    static_cast<void>(::send(fd, &message, sizeof message, MSG_NOSIGNAL));
}

void write_answer(HolderMessage const& message) {
    if (std::FILE* const out = std::fopen(std::getenv("LIBRETTOS_TEST_ENGINE_OUT"), "w")) {
        std::fprintf(out, "id %u status %d\n", message.id, message.status);
        std::fclose(out);
    }
}

// False: stop.
bool serve_holder(int fd) {
    HolderMessage message{};
    ssize_t const length = recv(fd, &message, sizeof message, MSG_DONTWAIT);
    if (length == 0 || (length > 0 && message.type == HolderMessageType::stop && !told("deaf"))) {
        return false;
    }
    if (length > 0 && message.type == HolderMessageType::done) {
        write_answer(message);
    }
    return true;
}

}  // namespace

extern "C" int librettos_engine_run(EngineBoot const* boot) noexcept {
    if (told("crash")) {
        return 7;
    }
    RTE_PER_LCORE(_lcore_id) = boot->first_lcore;
    ThreadStats& stats = boot->stats->thread[0];
    if (told("garbage") && boot->generation == 1) {
        static_cast<void>(::send(boot->holder_fd, "hello", 5, MSG_NOSIGNAL));
    }
    send(boot->holder_fd, {.type = HolderMessageType::ready});
    if (told("mac")) {
        send(boot->holder_fd, {.type = HolderMessageType::add_mac, .id = 42, .mac = {2, 0, 0, 0, 0, 5}});
    }
    if (told("vf")) {
        send(boot->holder_fd,
             {.type = HolderMessageType::operate_vf, .id = 43, .operation = VfOperation::take, .vf = 3});
    }
    while (serve_holder(boot->holder_fd)) {
        if (told("traffic")) {
            send_back(boot->port.port_id);
        }
        stats.sleeping.store(told("asleep") ? 1 : 0, std::memory_order_relaxed);
        if (!told("hang")) {
            stats.turns.fetch_add(1, std::memory_order_relaxed);
        }
        usleep(1000);
    }
    return 0;
}
