// SPDX-License-Identifier: BSD-2-Clause
// A NIC port that is nothing but memory: what a poll-mode driver costs and no more.
//
// Like a NIC's queue it cycles through a ring of descriptors and refills them from a pool whose buffers already hold
// frames, so a received frame lies in the cache where DMA would have put it, not in the first level. Receiving sets the
// mbuf's fields as a driver does and writes the frame's port; sending counts and frees. Made of net_null with other
// burst functions.
#pragma once

#include <cstdint>
#include <vector>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "tests/bench/traffic.hpp"

namespace librettos::bench {

class MemoryPort {
  public:
    static constexpr std::size_t descriptors = 1024;

    // `pool`: used by this port's receiving side alone; its buffers are filled here. Both outlive the port.
    MemoryPort(Traffic const& traffic, Direction direction, rte_mempool* pool);
    ~MemoryPort();
    MemoryPort(MemoryPort const&) = delete;
    MemoryPort& operator=(MemoryPort const&) = delete;

    // One thread each.
    std::uint16_t receive(rte_mbuf** frames, std::uint16_t count);
    std::uint16_t send(rte_mbuf** frames, std::uint16_t count);

    // Makes rte_eth_rx_burst and rte_eth_tx_burst of this started port, queue 0, ours until the port is stopped.
    // `receives`: the wire has frames; else it is silent and only takes them.
    void take_over(std::uint16_t port_id, bool receives);

    // Where in the traffic's walk the next received frame's port is.
    std::size_t step() const { return step_; }

    // Of the receiving and of the sending thread; read by another one.
    std::uint64_t received() const { return __atomic_load_n(&received_, __ATOMIC_RELAXED); }
    std::uint64_t sent() const { return __atomic_load_n(&sent_, __ATOMIC_RELAXED); }

  private:
    template <Direction direction>
    void hand_out(rte_mbuf** frames, std::uint16_t count);

    Traffic const& traffic_;
    rte_mempool* pool_;
    Direction direction_;
    std::uint16_t frame_bytes_;
    std::uint64_t rearm_ = 0;  // data_off, refcnt, nb_segs, port in one word, as drivers set them
    std::vector<rte_mbuf*> ring_;
    std::size_t next_ = 0;
    std::size_t step_ = 0;  // of the walk over the owned ports
    void* queue_[1] = {};
    alignas(64) std::uint64_t received_ = 0;
    alignas(64) std::uint64_t sent_ = 0;
};

// A pool for frames of `frame_bytes` with buffers enough for `ports` ports of 1,024 descriptors each. Throws
// std::runtime_error.
rte_mempool* make_frame_pool(char const* name, std::uint32_t frame_bytes, unsigned ports);

}  // namespace librettos::bench
