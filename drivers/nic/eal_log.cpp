// SPDX-License-Identifier: BSD-2-Clause
// A stdio stream whose writes become spdlog lines.
#include "drivers/nic/eal_log.hpp"

#include <cstdio>
#include <deque>
#include <mutex>
#include <string_view>

#include <rte_log.h>
#include <spdlog/spdlog.h>

namespace librettos {
namespace {

constexpr std::size_t kept_lines = 4;
std::mutex kept_mutex;
std::deque<std::string> kept;

spdlog::level::level_enum spdlog_level(unsigned eal_level) {
    switch (eal_level) {
        case RTE_LOG_EMERG:
        case RTE_LOG_ALERT:
        case RTE_LOG_CRIT:
            return spdlog::level::critical;
        case RTE_LOG_ERR:
            return spdlog::level::err;
        case RTE_LOG_WARNING:
            return spdlog::level::warn;
        default:  // what DPDK tells about itself matters to its developers
            return spdlog::level::debug;
    }
}

ssize_t write_line(void*, char const* text, std::size_t size) {
    std::string_view line(text, size);
    while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) {
        line.remove_suffix(1);
    }
    auto const level = static_cast<unsigned>(rte_log_cur_msg_loglevel());
    if (!line.empty()) {
        spdlog::log(spdlog_level(level), "DPDK: {}", line);
        if (level >= RTE_LOG_EMERG && level <= RTE_LOG_WARNING) {
            std::lock_guard const lock(kept_mutex);
            kept.emplace_back(line);
            if (kept.size() > kept_lines) {
                kept.pop_front();
            }
        }
    }
    return static_cast<ssize_t>(size);
}

}  // namespace

void route_eal_log() {
    static std::FILE* const stream = [] {
        cookie_io_functions_t functions{};
        functions.write = write_line;
        std::FILE* const opened = fopencookie(nullptr, "w", functions);
        if (opened != nullptr) {
            setvbuf(opened, nullptr, _IOLBF, 1024);
        }
        return opened;
    }();
    if (stream != nullptr) {
        rte_openlog_stream(stream);
    }
}

std::string last_eal_complaints() {
    std::lock_guard const lock(kept_mutex);
    std::string all;
    for (auto const& line : kept) {
        all += (all.empty() ? "" : "; ") + line;
    }
    return all;
}

}  // namespace librettos
