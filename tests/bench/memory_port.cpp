// SPDX-License-Identifier: BSD-2-Clause
// The port's two burst functions and the filling of its buffers.
#include "tests/bench/memory_port.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_prefetch.h>

namespace librettos::bench {
namespace {

constexpr unsigned buffers_per_port = 8192;
constexpr unsigned pool_cache = 512;

}  // namespace

rte_mempool* make_frame_pool(char const* name, std::uint32_t frame_bytes, unsigned ports) {
    auto const room = static_cast<std::uint16_t>(
        RTE_PKTMBUF_HEADROOM + std::max<std::uint32_t>((frame_bytes + 15U) & ~15U, RTE_MBUF_DEFAULT_DATAROOM));
    rte_mempool* const pool =
        rte_pktmbuf_pool_create(name, buffers_per_port * ports - 1, pool_cache, 0, room, SOCKET_ID_ANY);
    if (pool == nullptr)
        throw std::runtime_error(std::string("no memory for the pool ") + name + ": " + rte_strerror(rte_errno) +
                                 "; give EAL more (-m)");
    return pool;
}

MemoryPort::MemoryPort(Traffic const& traffic, Direction direction, rte_mempool* pool)
    : traffic_(traffic),
      pool_(pool),
      direction_(direction),
      frame_bytes_(static_cast<std::uint16_t>(traffic.shape().frame_bytes)),
      ring_(descriptors) {
    // Every buffer of the pool is taken once, filled and put back; what is in it stays.
    std::vector<rte_mbuf*> all(rte_mempool_avail_count(pool));
    if (rte_pktmbuf_alloc_bulk(pool, all.data(), static_cast<unsigned>(all.size())) != 0)
        throw std::runtime_error("the pool is in use already");
    for (rte_mbuf* mbuf : all)
        traffic.fill({rte_pktmbuf_mtod(mbuf, std::uint8_t*), frame_bytes_}, direction);
    rte_mbuf const* const model = all.front();
    std::memcpy(&rearm_, &model->rearm_data, sizeof rearm_);
    std::copy_n(all.begin(), descriptors, ring_.begin());
    rte_pktmbuf_free_bulk(all.data() + descriptors, static_cast<unsigned>(all.size() - descriptors));
}

MemoryPort::~MemoryPort() {
    rte_pktmbuf_free_bulk(ring_.data(), static_cast<unsigned>(ring_.size()));
}

template <Direction direction>
void MemoryPort::hand_out(rte_mbuf** frames, std::uint16_t count) {
    OwnedPort const* const walk = traffic_.walk().data();
    std::size_t const mask = traffic_.walk().size() - 1;
    for (std::uint16_t i = 0; i < count; ++i) {
        rte_mbuf* const mbuf = frames[i];
        std::memcpy(&mbuf->rearm_data, &rearm_, sizeof rearm_);
        mbuf->ol_flags = 0;
        mbuf->packet_type = 0;
        mbuf->pkt_len = frame_bytes_;
        mbuf->data_len = frame_bytes_;
        traffic_.address<direction>(static_cast<std::uint8_t*>(mbuf->buf_addr) + RTE_PKTMBUF_HEADROOM,
                                    walk[(step_ + i) & mask]);
    }
    step_ += count;
}

std::uint16_t MemoryPort::receive(rte_mbuf** frames, std::uint16_t count) {
    // Up to the end of the ring, as drivers do; the refill replaces exactly what is handed out.
    auto const burst = static_cast<std::uint16_t>(std::min<std::size_t>(count, descriptors - next_));
    rte_mbuf** const slots = &ring_[next_];
    rte_mbuf* fresh[descriptors];
    if (burst == 0 || rte_mempool_get_bulk(pool_, reinterpret_cast<void**>(fresh), burst) != 0)
        return 0;
    std::memcpy(frames, slots, burst * sizeof *slots);
    std::memcpy(slots, fresh, burst * sizeof *slots);
    next_ = (next_ + burst) & (descriptors - 1);
    if (direction_ == Direction::wire_to_guest)
        hand_out<Direction::wire_to_guest>(frames, burst);
    else
        hand_out<Direction::guest_to_wire>(frames, burst);
    for (std::uint16_t i = 0; i < std::min<std::size_t>(burst, descriptors - next_); ++i)
        rte_prefetch0(ring_[next_ + i]);
    __atomic_store_n(&received_, received_ + burst, __ATOMIC_RELAXED);
    return burst;
}

std::uint16_t MemoryPort::send(rte_mbuf** frames, std::uint16_t count) {
    rte_pktmbuf_free_bulk(frames, count);
    __atomic_store_n(&sent_, sent_ + count, __ATOMIC_RELAXED);
    return count;
}

void MemoryPort::take_over(std::uint16_t port_id, bool receives) {
    queue_[0] = this;
    struct rte_eth_fp_ops& operations = rte_eth_fp_ops[port_id];
    operations.rx_pkt_burst = [](void* queue, rte_mbuf** frames, std::uint16_t count) {
        return static_cast<MemoryPort*>(queue)->receive(frames, count);
    };
    if (!receives)
        operations.rx_pkt_burst = [](void*, rte_mbuf**, std::uint16_t) -> std::uint16_t { return 0; };
    operations.tx_pkt_burst = [](void* queue, rte_mbuf** frames, std::uint16_t count) {
        return static_cast<MemoryPort*>(queue)->send(frames, count);
    };
    operations.rxq.data = queue_;
    operations.txq.data = queue_;
}

}  // namespace librettos::bench
