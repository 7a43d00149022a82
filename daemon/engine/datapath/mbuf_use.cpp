// SPDX-License-Identifier: BSD-2-Clause
// Reads a mempool's occupation.
#include "daemon/engine/datapath/mbuf_use.hpp"

#include <rte_mempool.h>

namespace librettos {

MbufUse count_mbufs(rte_mempool const* pool) {
    if (pool == nullptr)
        return {};
    return {pool->size, rte_mempool_in_use_count(pool)};
}

}  // namespace librettos
