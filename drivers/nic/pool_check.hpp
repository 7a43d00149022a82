// SPDX-License-Identifier: BSD-2-Clause
// What a killed engine left of the buffer pool. Called by the holder when no process uses the pool.
//
// Kills can hit three places. Within an operation of the pool's ring: head and tail of one side differ, every later
// user would spin for ever; nothing mends that but a new holder. Between a cache's flush and its new length: buffers
// are both in ring and cache, and would be handed out twice; the cache's copies are dropped. Between taking buffers and
// noting them: they are lost; that is counted.
#pragma once

#include <cstdint>
#include <string>

struct rte_mempool;

namespace librettos {

struct PoolState {
    bool usable = true;
    std::string reason;        // when not usable
    std::uint32_t in_use = 0;  // buffers in neither ring nor cache: in the NIC's queues, in flight, or lost
    std::uint32_t mended = 0;  // cache entries dropped because they were there twice or not the pool's
};

PoolState mend_pool(rte_mempool* pool);

}  // namespace librettos
