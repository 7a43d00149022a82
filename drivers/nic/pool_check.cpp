// SPDX-License-Identifier: BSD-2-Clause
// Looks through a mempool's ring and caches for what a kill may have left.
#include "drivers/nic/pool_check.hpp"

#include <string_view>
#include <unordered_set>

#include <rte_mempool.h>
#include <rte_ring.h>

namespace librettos {
namespace {

std::string ring_fault(rte_ring const& ring) {
    if (ring.prod.head != ring.prod.tail) {
        return "a process died while it put buffers back";
    }
    if (ring.cons.head != ring.cons.tail) {
        return "a process died while it took buffers";
    }
    if (ring.prod.tail - ring.cons.tail > ring.capacity) {
        return "the ring holds more buffers than it can";
    }
    return {};
}

void note_object(rte_mempool*, void* objects, void* object, unsigned) {
    static_cast<std::unordered_set<void const*>*>(objects)->insert(object);
}

// Keeps the entries that are the pool's and not seen before; each is seen afterwards.
std::uint32_t mend_cache(rte_mempool_cache& cache, std::unordered_set<void const*>& absent) {
    std::uint32_t const before = cache.len;
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; i < before && i < std::size(cache.objs); ++i) {
        if (absent.erase(cache.objs[i]) == 1) {
            cache.objs[kept++] = cache.objs[i];
        }
    }
    cache.len = kept;
    return before - kept;
}

}  // namespace

PoolState mend_pool(rte_mempool* pool) {
    PoolState state;
    rte_mempool_ops const* const ops = rte_mempool_get_ops(pool->ops_index);
    if (!std::string_view(ops->name).starts_with("ring_")) {
        return state;  // another kind of pool: nothing known about its inside
    }
    auto const* const ring = static_cast<rte_ring const*>(pool->pool_data);
    if (state.reason = ring_fault(*ring); !state.reason.empty()) {
        state.usable = false;
        return state;
    }
    std::unordered_set<void const*> absent;
    absent.reserve(pool->size);
    rte_mempool_obj_iter(pool, note_object, &absent);
    auto* const* const entries = reinterpret_cast<void* const*>(ring + 1);
    for (std::uint32_t at = ring->cons.tail; at != ring->prod.tail; ++at) {
        if (absent.erase(entries[at & ring->mask]) == 0) {
            state.usable = false;
            state.reason = "a buffer is in the ring twice";
            return state;
        }
    }
    if (pool->cache_size > 0) {
        for (unsigned lcore = 0; lcore < RTE_MAX_LCORE; ++lcore) {
            state.mended += mend_cache(pool->local_cache[lcore], absent);
        }
    }
    state.in_use = static_cast<std::uint32_t>(absent.size());
    return state;
}

}  // namespace librettos
