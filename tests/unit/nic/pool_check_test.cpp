// SPDX-License-Identifier: BSD-2-Clause
// What a kill may leave in the buffer pool is found, and mended where that is possible.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include <rte_mempool.h>
#include <rte_ring.h>

#include "drivers/nic/adopt.hpp"
#include "drivers/nic/pool_check.hpp"
#include "drivers/nic/port.hpp"
#include "tests/unit/nic/wire.hpp"

namespace librettos {
namespace {

// Each case starts from a port whose driver (net_null) holds no buffers.
std::string with_pool(std::function<void(rte_mempool*)> const& body) {
    return in_process(false, [&] {
        PortOptions const options = port_options("net_null0");
        Eal const eal(options);
        Port const port(options, 1, eal);
        body(port.pool());
        _exit(0);  // a broken pool cannot be freed
    });
}

TEST(PoolCheck, WholePool) {
    EXPECT_EQ(with_pool([](rte_mempool* pool) {
                  PoolState const state = mend_pool(pool);
                  require(state.usable && state.in_use == 0 && state.mended == 0, "not whole");
              }),
              "");
}

TEST(PoolCheck, CountsWhatIsInUse) {
    EXPECT_EQ(with_pool([](rte_mempool* pool) {
                  use_lcore(1);
                  std::vector<rte_mbuf*> taken(37);
                  require(rte_pktmbuf_alloc_bulk(pool, taken.data(), 37) == 0, "alloc");
                  require(mend_pool(pool).in_use == 37, "in use: " + std::to_string(mend_pool(pool).in_use));
                  rte_pktmbuf_free_bulk(taken.data(), 37);
                  require(mend_pool(pool).in_use == 0, "all back");
              }),
              "");
}

TEST(PoolCheck, DropsWhatIsInRingAndCache) {
    EXPECT_EQ(with_pool([](rte_mempool* pool) {
                  use_lcore(1);
                  rte_pktmbuf_free(rte_pktmbuf_alloc(pool));  // fills the cache
                  rte_mempool_cache& cache = pool->local_cache[1];
                  unsigned const length = cache.len;
                  require(length > 3, "cache is in use");
                  // Killed between the flush of a cache and its new length; and an entry that was never written.
                  rte_mempool_ops_enqueue_bulk(pool, &cache.objs[length - 2], 2);
                  cache.objs[0] = reinterpret_cast<void*>(0x1234);
                  PoolState const state = mend_pool(pool);
                  require(state.usable && state.mended == 3, "mended " + std::to_string(state.mended));
                  require(cache.len == length - 3, "cache length");
                  require(state.in_use == 1, "the overwritten one is lost: " + std::to_string(state.in_use));
                  // Every buffer can be had once.
                  std::vector<rte_mbuf*> all;
                  for (rte_mbuf* m = nullptr; (m = rte_pktmbuf_alloc(pool)) != nullptr;) {
                      all.push_back(m);
                  }
                  std::sort(all.begin(), all.end());
                  require(std::adjacent_find(all.begin(), all.end()) == all.end(), "handed out twice");
              }),
              "");
}

TEST(PoolCheck, GivesUpOnAnUnfinishedRingOperation) {
    EXPECT_EQ(with_pool([](rte_mempool* pool) {
                  auto* const ring = static_cast<rte_ring*>(pool->pool_data);
                  ring->cons.head = ring->cons.head + 5;
                  require(!mend_pool(pool).usable, "unfinished take");
                  ring->cons.head = ring->cons.tail;
                  ring->prod.head = ring->prod.head + 1;
                  PoolState const state = mend_pool(pool);
                  require(!state.usable && !state.reason.empty(), "unfinished put");
              }),
              "");
}

}  // namespace
}  // namespace librettos
