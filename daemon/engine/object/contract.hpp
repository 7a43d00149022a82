// SPDX-License-Identifier: BSD-2-Clause
// The engine is a shared object that a holder of another release may open. What both must have been built with alike is
// the contract; the object carries its own in an ELF note (`readelf -n` shows it), which is read without running
// anything of it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/api/counters.hpp"
#include "daemon/api/stats_file.hpp"
#include "daemon/engine/boot.hpp"
#include "daemon/engine/holder_messages.hpp"

namespace librettos {

// Raised when a holder from before a change and an engine from after it, or the other way round, would misunderstand
// each other: what is handed over (boot.hpp), said (holder_messages.hpp) or found in shared memory. lint.contract sees
// each change of these and what to do about it.
inline constexpr std::uint32_t engine_contract_number = 3;
// lint.contract: number 3, headers 66350970349186e2

struct EngineContract {
    std::uint32_t number;
    // What another compiler, or other options of it, would make different.
    std::uint32_t boot_bytes;
    std::uint32_t in_flight_bytes;
    std::uint32_t stats_header_bytes;
    std::uint32_t message_bytes;
    std::uint32_t counters;    // a checksum of their names, in order
    std::array<char, 8> dpdk;  // release, as "22.11": its structures are in DPDK's inline functions; NUL-terminated
    bool operator==(EngineContract const&) const = default;
};

struct EngineNote {
    static constexpr std::uint32_t note_type = 1;
    static constexpr std::array<char, 12> note_name{"librettos"};

    std::uint32_t name_bytes;  // ELF's header of a note
    std::uint32_t body_bytes;
    std::uint32_t type;
    std::array<char, 12> name;
    struct Body {
        EngineContract contract;
        std::array<char, 32> version;  // NUL-terminated
    } body;
};
static_assert(sizeof(EngineNote) == 24 + sizeof(EngineNote::Body) && alignof(EngineNote) == 4);

template <std::size_t size>
constexpr std::array<char, size> note_text(std::string_view text) {
    std::array<char, size> result{};
    for (std::size_t i = 0; i < text.size() && i + 1 < size; ++i) {
        result[i] = text[i];
    }
    return result;
}

constexpr std::uint32_t checksum_of_counters() {
    std::uint32_t sum = 2166136261U;  // FNV-1a
    for (auto const& counter : counter_texts) {
        for (char const byte : counter.name) {
            sum = (sum ^ static_cast<unsigned char>(byte)) * 16777619U;
        }
        sum = (sum ^ 0xffU) * 16777619U;
    }
    return sum;
}

// `dpdk`: "22.11.7", of which two numbers count.
constexpr EngineContract engine_contract(std::string_view dpdk) {
    return {.number = engine_contract_number,
            .boot_bytes = sizeof(EngineBoot),
            .in_flight_bytes = sizeof(InFlight),
            .stats_header_bytes = sizeof(StatsHeader),
            .message_bytes = sizeof(HolderMessage),
            .counters = checksum_of_counters(),
            .dpdk = note_text<8>(dpdk.substr(0, dpdk.find('.', dpdk.find('.') + 1)))};
}

// The contract that this program was built with.
EngineContract const& own_contract();

// Why a holder with contract `holder` cannot run an engine with contract `engine`; empty: it can.
std::string misfit(EngineContract const& engine, EngineContract const& holder);

}  // namespace librettos
