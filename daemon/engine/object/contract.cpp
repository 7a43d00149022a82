// SPDX-License-Identifier: BSD-2-Clause
// Compares contracts.
#include "daemon/engine/object/contract.hpp"

#include <cstring>

namespace librettos {
namespace {

std::string text_of(std::array<char, 8> const& text) {
    return {text.data(), strnlen(text.data(), text.size())};
}

}  // namespace

EngineContract const& own_contract() {
    static constexpr EngineContract contract = engine_contract(LIBRETTOS_DPDK_VERSION);
    return contract;
}

std::string misfit(EngineContract const& engine, EngineContract const& holder) {
    if (engine.number != holder.number) {
        return "keeps contract " + std::to_string(engine.number) + ", the running holder " +
               std::to_string(holder.number);
    }
    if (engine.dpdk != holder.dpdk) {
        return "was built for DPDK " + text_of(engine.dpdk) + ", the running holder for " + text_of(holder.dpdk);
    }
    if (engine != holder) {
        return "was built otherwise than the running holder (compiler, its options, or the counters)";
    }
    return {};
}

}  // namespace librettos
