// SPDX-License-Identifier: BSD-2-Clause
// How many buffers there are and how many are taken: a seam, so that the control thread knows no DPDK.
#pragma once

#include <cstdint>

struct rte_mempool;

namespace librettos {

struct MbufUse {
    std::uint32_t total = 0;
    std::uint32_t in_use = 0;  // of an instant; buffers in the data threads' caches count as free
};

MbufUse count_mbufs(rte_mempool const* pool);

}  // namespace librettos
