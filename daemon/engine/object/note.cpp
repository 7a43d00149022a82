// SPDX-License-Identifier: BSD-2-Clause
// The note of an engine's object. Linked into each as an object file: nothing refers to it.
#include "daemon/engine/object/contract.hpp"

namespace librettos {

[[gnu::section(".note.librettos"), gnu::used, gnu::aligned(4)]] extern constinit EngineNote const engine_note{
    .name_bytes = sizeof(EngineNote::name),
    .body_bytes = sizeof(EngineNote::Body),
    .type = EngineNote::note_type,
    .name = EngineNote::note_name,
    .body = {.contract = engine_contract(LIBRETTOS_DPDK_VERSION), .version = note_text<32>(LIBRETTOS_VERSION)}};

}  // namespace librettos
