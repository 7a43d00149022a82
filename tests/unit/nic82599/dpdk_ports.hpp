// SPDX-License-Identifier: BSD-2-Clause
// DPDK's ports for tests: one EAL per process, so each test runs in a process of its own.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "tests/nic82599/headers.hpp"

namespace nic82599 {

using Mac = std::array<std::uint8_t, 6>;

constexpr Mac pf_mac{0x00, 0x1B, 0x21, 0x01, 0x02, 0x03}, peer_mac{0x02, 0, 0, 0, 0, 0x09},
    broadcast{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

inline bool eventually(std::function<bool()> const& condition,
                       std::chrono::seconds patience = std::chrono::seconds(30)) {
    auto const end = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

// Of an EtherType for experiments; `number` and length decide its content.
inline Frame numbered_frame(Mac const& to, Mac const& from, std::uint32_t number, std::size_t bytes = 128) {
    Frame frame(bytes);
    std::copy(to.begin(), to.end(), frame.begin());
    std::copy(from.begin(), from.end(), frame.begin() + 6);
    put_be16(frame, 12, 0x88B5);
    put_be32(frame, 14, number);
    for (std::size_t i = 18; i < bytes; ++i) {
        frame[i] = static_cast<std::uint8_t>(i * 7 + number);
    }
    return frame;
}

inline Frame tagged(Frame frame, std::uint16_t tci) {
    std::uint8_t const tag[] = {0x81, 0, static_cast<std::uint8_t>(tci >> 8), static_cast<std::uint8_t>(tci)};
    frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
    return frame;
}

// EAL and its ports in this process, on whatever NIC there is.
class DpdkPorts {
  public:
    explicit DpdkPorts(std::vector<std::string> const& more_arguments = {}) {
        for (char const* argument : {"test", "--no-huge", "--no-shconf", "-m", "160", "--iova-mode=va",
                                     "--no-telemetry", "-l", "0", "--log-level=3"}) {
            arguments_.emplace_back(argument);
        }
        arguments_.insert(arguments_.end(), more_arguments.begin(), more_arguments.end());
        std::vector<char*> argv;
        for (auto& argument : arguments_) {
            argv.push_back(argument.data());
        }
        started_ = rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0;
        if (started_) {
            pool_ = rte_pktmbuf_pool_create("frames", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
        }
    }
    ~DpdkPorts() {
        for (std::uint16_t port = 8; port-- > 0;) {
            if (rte_eth_dev_is_valid_port(port) != 0) {
                rte_eth_dev_stop(port);
                rte_eth_dev_close(port);
            }
        }
        rte_eal_cleanup();
    }
    DpdkPorts(DpdkPorts const&) = delete;
    DpdkPorts& operator=(DpdkPorts const&) = delete;

    bool started() const { return started_; }
    rte_mempool* pool() const { return pool_; }

    // 0 or what failed.
    int start(std::uint16_t port, rte_eth_conf const& wanted = {}, std::uint16_t queues = 1,
              std::uint16_t descriptors = 256) {
        rte_eth_conf conf = wanted;
        rte_eth_dev_info info{};
        rte_eth_dev_info_get(port, &info);
        int error = rte_eth_dev_configure(port, queues, queues, &conf);
        rte_eth_rxconf rx = info.default_rxconf;
        rx.offloads = conf.rxmode.offloads;
        rx.rx_drop_en = drop_enable_;
        rte_eth_txconf tx = info.default_txconf;
        tx.offloads = conf.txmode.offloads;
        for (std::uint16_t queue = 0; queue < queues && error == 0; ++queue) {
            error = rte_eth_rx_queue_setup(port, queue, descriptors, 0, &rx, pool_);
            if (error == 0) {
                error = rte_eth_tx_queue_setup(port, queue, descriptors, 0, &tx);
            }
        }
        return error != 0 ? error : rte_eth_dev_start(port);
    }
    void use_drop_enable() { drop_enable_ = 1; }

    bool link_comes(std::uint16_t port, bool up = true) {
        return eventually([&] {
            rte_eth_link link{};
            rte_eth_link_get_nowait(port, &link);
            return (link.link_status == RTE_ETH_LINK_UP) == up;
        });
    }

    rte_mbuf* mbuf(Frame const& frame) const {
        rte_mbuf* const first = rte_pktmbuf_alloc(pool_);
        rte_mbuf* last = first;
        for (std::size_t copied = 0; copied < frame.size();) {
            std::size_t const piece = std::min<std::size_t>(2048, frame.size() - copied);
            if (copied > 0) {
                last->next = rte_pktmbuf_alloc(pool_);
                last = last->next;
                ++first->nb_segs;
            }
            last->data_len = static_cast<std::uint16_t>(piece);
            std::memcpy(rte_pktmbuf_mtod(last, void*), frame.data() + copied, piece);
            copied += piece;
        }
        first->pkt_len = static_cast<std::uint32_t>(frame.size());
        return first;
    }
    bool send(std::uint16_t port, Frame const& frame) const { return send(port, mbuf(frame)); }
    static bool send(std::uint16_t port, rte_mbuf* one) {
        if (rte_eth_tx_prepare(port, 0, &one, 1) == 1 && rte_eth_tx_burst(port, 0, &one, 1) == 1) {
            return true;
        }
        rte_pktmbuf_free(one);
        return false;
    }

    static Frame content(rte_mbuf const* one) {
        Frame frame;
        for (; one != nullptr; one = one->next) {
            auto const* const data = rte_pktmbuf_mtod(one, std::uint8_t const*);
            frame.insert(frame.end(), data, data + one->data_len);
        }
        return frame;
    }
    // What waits in a queue. In bursts of 32: the driver's vector path gives nothing to who asks for less than four.
    static std::vector<rte_mbuf*> taken(std::uint16_t port, std::uint16_t queue = 0) {
        std::vector<rte_mbuf*> all;
        std::array<rte_mbuf*, 32> burst{};
        while (std::uint16_t const count = rte_eth_rx_burst(port, queue, burst.data(), burst.size())) {
            all.insert(all.end(), burst.begin(), burst.begin() + count);
        }
        return all;
    }
    static std::vector<Frame> received(std::uint16_t port, std::uint16_t queue = 0) {
        std::vector<Frame> frames;
        for (rte_mbuf* const one : taken(port, queue)) {
            frames.push_back(content(one));
            rte_pktmbuf_free(one);
        }
        return frames;
    }
    // The only one that waits, or nullptr.
    static rte_mbuf* receive_one(std::uint16_t port, std::uint16_t queue = 0) {
        auto const all = taken(port, queue);
        if (all.size() == 1) {
            return all.front();
        }
        for (rte_mbuf* const one : all) {
            rte_pktmbuf_free(one);
        }
        return nullptr;
    }

  private:
    std::vector<std::string> arguments_;
    bool started_ = false;
    rte_mempool* pool_ = nullptr;
    std::uint8_t drop_enable_ = 0;
};

}  // namespace nic82599
