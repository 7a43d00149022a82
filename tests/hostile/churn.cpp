// SPDX-License-Identifier: BSD-2-Clause
// Guests that come and go:  hostile_churn SOCKET NAME CYCLES
//
// Each cycle is a domain that attaches with liblvif, sends frames, and goes: in order, by closing its connection to
// hypervisord, or, in every third cycle, as a child process that is killed with frames on their way. Prints a line of
// JSON with the cycles done, and how long an attach took.
#include <librettos/frontend.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "hypervisord_client.h"

namespace {

using Clock = std::chrono::steady_clock;

class Guest {
  public:
    Guest(char const* socket, std::string const& name) {
        if (int const status = lvif_hv_connect(socket, LVIF_HV_GUEST, name.c_str(), &hv_); status != 0)
            throw std::runtime_error("connect as " + name + ": " + std::to_string(status));
        lvif_environment environment;
        lvif_hv_environment(hv_, &environment);
        lvif_options options{};
        options.features = LVIF_F_ALL;
        std::snprintf(options.program, sizeof options.program, "hostile_churn");
        memory_.reset(static_cast<std::byte*>(operator new (lvif_device_bytes(), std::align_val_t{64})));
        device_ = reinterpret_cast<lvif_device*>(memory_.get());
        if (lvif_open(device_, &environment, &options) != 0)
            throw std::runtime_error("lvif_open");
    }
    ~Guest() { lvif_hv_close(hv_); }
    Guest(Guest const&) = delete;
    Guest& operator=(Guest const&) = delete;

    void connect() {
        auto const end = Clock::now() + std::chrono::seconds(20);
        std::uint64_t next = 0;
        while (lvif_poll(device_, &next) != LVIF_PHASE_CONNECTED) {
            if (Clock::now() > end)
                throw std::runtime_error(std::string("not connected: ") + lvif_detach_reason(device_));
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    }
    void send(int frames) {
        std::vector<std::uint8_t> frame(200, 0);
        auto const* const offer = lvif_offer(device_);
        std::copy(std::begin(offer->mac), std::end(offer->mac), frame.begin() + 6);
        for (int i = 0; i < frames; ++i)
            lvif_tx_frame(device_, 0, frame.data(), static_cast<std::uint32_t>(frame.size()), nullptr);
        lvif_tx_publish(device_, 0);
    }
    void close() { lvif_close(device_); }

  private:
    struct Free {
        void operator()(std::byte* memory) const { operator delete (memory, std::align_val_t{64}); }
    };
    lvif_hv* hv_ = nullptr;
    std::unique_ptr<std::byte, Free> memory_;
    lvif_device* device_ = nullptr;
};

void killed_cycle(char const* socket, std::string const& name) {
    pid_t const child = fork();
    if (child == 0) {
        try {
            Guest guest(socket, name);
            guest.connect();
            guest.send(100);
            kill(getpid(), SIGKILL);
        } catch (std::exception const& error) {
            std::fprintf(stderr, "hostile_churn: %s\n", error.what());
        }
        _exit(EXIT_FAILURE);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        throw std::runtime_error("the child that was to be killed was not");
}

double orderly_cycle(char const* socket, std::string const& name, bool in_order) {
    auto const begin = Clock::now();
    Guest guest(socket, name);
    guest.connect();
    double const ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    guest.send(20);
    if (in_order)
        guest.close();
    return ms;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: hostile_churn SOCKET NAME CYCLES\n");
        return 2;
    }
    try {
        std::vector<double> attach_ms;
        int const cycles = std::atoi(argv[3]);
        for (int cycle = 0; cycle < cycles; ++cycle) {
            auto const name = std::string(argv[2]) + "." + std::to_string(cycle);
            if (cycle % 3 == 2)
                killed_cycle(argv[1], name);
            else
                attach_ms.push_back(orderly_cycle(argv[1], name, cycle % 3 == 0));
        }
        std::sort(attach_ms.begin(), attach_ms.end());
        nlohmann::json const result{{"cycles", cycles},
                                    {"attach_ms_p50", attach_ms.empty() ? 0 : attach_ms[attach_ms.size() / 2]}};
        std::cout << result.dump() << std::endl;
        return 0;
    } catch (std::exception const& error) {
        std::fprintf(stderr, "hostile_churn: %s\n", error.what());
        return 1;
    }
}
