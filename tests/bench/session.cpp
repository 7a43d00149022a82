// SPDX-License-Identifier: BSD-2-Clause
// EAL, the two pinned threads and the commands.
#include "tests/bench/session.hpp"

#include <atomic>
#include <chrono>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>

namespace librettos::bench {
namespace {

constexpr unsigned server_lcore = 1;
constexpr unsigned guest_lcore = 2;
constexpr auto warm_up = std::chrono::milliseconds(50);

struct Running {
    Side const* side;
    std::atomic<bool> const* stop;
};

int run_side(void* argument) {
    auto const* const running = static_cast<Running const*>(argument);
    while (!running->stop->load(std::memory_order_relaxed))
        running->side->turn();
    return 0;
}

nlohmann::json measure(Side const& server, Side const& guest, Counts const& counts,
                       std::chrono::milliseconds duration) {
    std::atomic<bool> stop{false};
    Running server_running{&server, &stop};
    Running guest_running{&guest, &stop};
    rte_eal_remote_launch(run_side, &guest_running, guest_lcore);
    rte_eal_remote_launch(run_side, &server_running, server_lcore);
    std::this_thread::sleep_for(warm_up);
    auto const start = std::chrono::steady_clock::now();
    nlohmann::json const before = counts();
    std::this_thread::sleep_for(duration);
    nlohmann::json const after = counts();
    std::chrono::duration<double> const elapsed = std::chrono::steady_clock::now() - start;
    stop = true;
    rte_eal_wait_lcore(server_lcore);
    rte_eal_wait_lcore(guest_lcore);

    nlohmann::json result{{"seconds", elapsed.count()}, {"tsc_hz", rte_get_tsc_hz()}};
    for (auto const& [name, value] : after.items())
        result[name] = value.get<std::uint64_t>() - before[name].get<std::uint64_t>();
    return result;
}

}  // namespace

void start_eal(std::string const& program, std::string const& arguments) {
    std::vector<std::string> words{
        program, "--lcores=0@(0,1),1@0,2@1", "--no-telemetry", "--log-level=error", "--no-pci", "--iova-mode=va"};
    std::istringstream stream(arguments);
    for (std::string word; stream >> word;)
        words.push_back(word);
    static std::vector<std::vector<char>> storage;  // EAL keeps pointers
    static std::vector<char*> argv;
    for (std::string const& word : words) {
        storage.emplace_back(word.begin(), word.end());
        storage.back().push_back('\0');
    }
    for (auto& word : storage)
        argv.push_back(word.data());
    if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0)
        throw std::runtime_error(std::string("EAL does not start: ") + rte_strerror(rte_errno));
}

void converse(nlohmann::json const& description, Side const& server, Side const& guest, Counts const& counts) {
    nlohmann::json ready = description;
    ready["ready"] = true;
    std::cout << ready.dump() << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string command;
        unsigned milliseconds = 0;
        if (!(words >> command >> milliseconds) || command != "measure" || milliseconds > 60'000)
            throw std::runtime_error("not a command: '" + line + "'; write: measure MILLISECONDS");
        std::cout << measure(server, guest, counts, std::chrono::milliseconds(milliseconds)).dump() << std::endl;
    }
}

}  // namespace librettos::bench
