// SPDX-License-Identifier: BSD-2-Clause
// Many guests in one process, against a whole server: each is a domain of its own at librettos-hypervisord, owns one
// UDP port and echoes what comes to it. One thread, asleep when nothing happens.
//
// Prints one line of JSON when all are connected: how long each took to attach and which ports they own. Then answers
// each line of input with one about its state, and leaves in order at the end of input.
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <netinet/in.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <librettos/frontend.h>

#include "guest-frontend/local/hypervisord_client.h"

namespace librettos::bench {
namespace {

constexpr std::size_t device_alignment = 64;
constexpr std::uint64_t attach_limit_us = 10'000'000;

std::uint64_t monotonic_us() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

void check(int status, char const* what) {
    if (status < 0)
        throw std::system_error(-status, std::generic_category(), what);
}

class EchoGuest {
  public:
    // Starts attaching; poll() goes on with it.
    EchoGuest(std::string const& socket, std::string const& name, std::uint16_t port, int epoll_fd);
    ~EchoGuest();
    EchoGuest(EchoGuest const&) = delete;
    EchoGuest& operator=(EchoGuest const&) = delete;

    void on_readable();                               // something of this guest's descriptors is
    void poll();                                      // the state machine
    std::uint64_t due_us() const { return due_us_; }  // when to call poll() again, monotonic_us clock

    bool connected() const { return phase_ == LVIF_PHASE_CONNECTED; }
    bool server_alive() const { return connected() && lvif_server_alive(device_); }
    std::string trouble() const { return lvif_detach_reason(device_); }
    std::uint16_t port() const { return port_; }
    struct lvif_statistics statistics() const {
        struct lvif_statistics sum {};
        lvif_statistics(device_, &sum);
        return sum;
    }

  private:
    void watch(int fd);
    void take_store_events();
    void echo_all();
    bool echo(lvif_frame const& frame);

    int epoll_fd_;
    std::uint16_t port_ = 0;
    lvif_hv* hv_ = nullptr;
    std::unique_ptr<std::byte[]> memory_;
    lvif_device* device_ = nullptr;
    lvif_phase phase_ = LVIF_PHASE_WAITING;
    std::uint64_t due_us_ = 0;
    std::uint32_t control_event_ = 0;
    std::uint32_t queue_event_ = 0;
};

EchoGuest::EchoGuest(std::string const& socket, std::string const& name, std::uint16_t port, int epoll_fd)
    : epoll_fd_(epoll_fd) {
    check(lvif_hv_connect(socket.c_str(), LVIF_HV_GUEST, name.c_str(), &hv_), "connect to librettos-hypervisord");
    check(lvif_hv_port_bind(hv_, IPPROTO_UDP, port, &port_), "claim a port");
    std::size_t space = lvif_device_bytes() + device_alignment;
    memory_ = std::make_unique<std::byte[]>(space);
    void* place = memory_.get();
    device_ = static_cast<lvif_device*>(std::align(device_alignment, lvif_device_bytes(), place, space));
    lvif_environment environment{};
    lvif_hv_environment(hv_, &environment);
    lvif_options options{};
    std::strcpy(options.program, "bench guests_load");
    check(lvif_open(device_, &environment, &options), "open the device");
    watch(lvif_hv_fd(hv_));
}

EchoGuest::~EchoGuest() {
    lvif_close(device_);
    lvif_hv_close(hv_);
}

void EchoGuest::watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = this;
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0)
        throw std::system_error(errno, std::generic_category(), "watch a guest's descriptor");
}

void EchoGuest::take_store_events() {
    char watched[LVIF_HV_PATH_MAX + 1];
    char changed[LVIF_HV_PATH_MAX + 1];
    int status = 0;
    while ((status = lvif_hv_take_event(hv_, watched, changed)) == 1) {
    }
    check(status, "read events of librettos-hypervisord");
}

void EchoGuest::poll() {
    lvif_phase const before = phase_;
    phase_ = lvif_poll(device_, &due_us_);
    if (phase_ == LVIF_PHASE_CONNECTED && before != LVIF_PHASE_CONNECTED) {
        control_event_ = lvif_control_event(device_);
        queue_event_ = lvif_queue_event(device_, 0);
        watch(lvif_hv_event_fd(hv_,
                               control_event_));  // closed, and so forgotten by epoll, when the library frees the event
        watch(lvif_hv_event_fd(hv_, queue_event_));
        echo_all();
    }
}

void EchoGuest::on_readable() {
    take_store_events();
    if (connected()) {
        lvif_hv_event_clear(hv_, control_event_);
        lvif_hv_event_clear(hv_, queue_event_);
    }
    poll();
    if (connected())
        echo_all();
}

void EchoGuest::echo_all() {
    lvif_rx_wake(device_, 0);
    do {
        lvif_frame frame;
        bool answered = false;
        while (lvif_rx_peek(device_, 0, &frame) == 1) {
            answered |= echo(frame);
            lvif_rx_release(device_, 0);
        }
        if (answered)
            lvif_tx_publish(device_, 0);
    } while (!lvif_rx_sleep(device_, 0) && lvif_queues(device_) != 0);
}

// Swaps both ends of a UDP datagram over IPv4 without options. The sums stay right.
bool EchoGuest::echo(lvif_frame const& frame) {
    constexpr std::uint32_t headers = 14 + 20 + 8;
    if (frame.length < headers || frame.bytes[12] != 0x08 || frame.bytes[13] != 0x00 || frame.bytes[14] != 0x45 ||
        frame.bytes[23] != IPPROTO_UDP)
        return false;
    std::uint8_t* answer = nullptr;
    if (lvif_tx_reserve(device_, 0, frame.length, &answer) != 0)
        return false;
    std::memcpy(answer, frame.bytes, frame.length);
    std::memcpy(answer + 0, frame.bytes + 6, 6);
    std::memcpy(answer + 6, frame.bytes + 0, 6);
    std::memcpy(answer + 26, frame.bytes + 30, 4);
    std::memcpy(answer + 30, frame.bytes + 26, 4);
    std::memcpy(answer + 34, frame.bytes + 36, 2);
    std::memcpy(answer + 36, frame.bytes + 34, 2);
    lvif_offload const none{};
    return lvif_tx_commit(device_, 0, frame.length, &none) == 0;
}

class Population {
  public:
    Population() : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
        if (epoll_fd_ < 0)
            throw std::system_error(errno, std::generic_category(), "epoll_create1");
    }
    ~Population() {
        guests_.clear();
        close(epoll_fd_);
    }

    // Returns the microseconds from nothing to connected.
    std::uint64_t attach(std::string const& socket, std::string const& name, std::uint16_t port);
    // Serves until `fd` is readable.
    void serve(int fd);
    nlohmann::json state() const;
    std::vector<std::uint16_t> ports() const;

  private:
    void step(int limit_ms);

    int epoll_fd_;
    std::vector<std::unique_ptr<EchoGuest>> guests_;
};

void Population::step(int limit_ms) {
    std::uint64_t const now_us = monotonic_us();
    std::uint64_t next_us = now_us + static_cast<std::uint64_t>(limit_ms) * 1000;
    for (auto const& guest : guests_) {
        if (guest->due_us() <= now_us) {
            guest->poll();
        }
        next_us = std::min(next_us, guest->due_us());
    }
    epoll_event events[64];
    int const wait_ms = next_us <= now_us ? 0 : static_cast<int>((next_us - now_us + 999) / 1000);
    int const count = epoll_wait(epoll_fd_, events, 64, wait_ms);
    for (int i = 0; i < count; ++i) {
        if (events[i].data.ptr != nullptr)
            static_cast<EchoGuest*>(events[i].data.ptr)->on_readable();
    }
}

std::uint64_t Population::attach(std::string const& socket, std::string const& name, std::uint16_t port) {
    std::uint64_t const start_us = monotonic_us();
    guests_.push_back(std::make_unique<EchoGuest>(socket, name, port, epoll_fd_));
    EchoGuest const& guest = *guests_.back();
    while (!guest.connected()) {
        if (monotonic_us() - start_us > attach_limit_us)
            throw std::runtime_error(name + " is not attached after 10 s: is the server running? " + guest.trouble());
        step(10);
    }
    return monotonic_us() - start_us;
}

void Population::serve(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
    pollfd input{fd, POLLIN, 0};
    while (::poll(&input, 1, 0) == 0)
        step(1'000'000);
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

nlohmann::json Population::state() const {
    std::uint64_t connected = 0, alive = 0, frames = 0, connections = 0;
    for (auto const& guest : guests_) {
        struct lvif_statistics const statistics = guest->statistics();
        connected += guest->connected() ? 1 : 0;
        alive += guest->server_alive() ? 1 : 0;
        frames += statistics.rx_frames;
        connections += statistics.connections;
    }
    return {{"connected", connected}, {"server_alive", alive}, {"frames", frames}, {"connections", connections}};
}

std::vector<std::uint16_t> Population::ports() const {
    std::vector<std::uint16_t> ports;
    for (auto const& guest : guests_)
        ports.push_back(guest->port());
    return ports;
}

// Lines from a descriptor, without a buffer that would hide from poll(2) what was read ahead.
bool read_line(std::string& line) {
    line.clear();
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) == 1) {
        if (byte == '\n')
            return true;
        line.push_back(byte);
    }
    return false;
}

void run(std::string const& socket, std::string const& prefix, unsigned guests, std::uint16_t first_port) {
    Population population;
    std::vector<double> attach_ms;
    for (unsigned i = 0; i < guests; ++i)
        attach_ms.push_back(static_cast<double>(population.attach(socket, prefix + std::to_string(i),
                                                                  static_cast<std::uint16_t>(first_port + i))) /
                            1000.0);
    std::cout << nlohmann::json{{"ready", true}, {"attach_ms", attach_ms}, {"ports", population.ports()}}.dump()
              << std::endl;
    std::string line;
    do {
        population.serve(STDIN_FILENO);
        if (!read_line(line))
            break;
        std::cout << population.state().dump() << std::endl;
    } while (true);
}

}  // namespace
}  // namespace librettos::bench

int main(int argc, char** argv) {
    std::string socket = LVIF_HV_DEFAULT_SOCKET;
    std::string prefix = "bench-";
    unsigned guests = 64;
    std::uint16_t first_port = 20000;
    CLI::App app{"Attaches many echoing guests to a running server; see tests/bench/whole_server.py"};
    app.add_option("--socket", socket, "Of librettos-hypervisord")->capture_default_str();
    app.add_option("--prefix", prefix, "Of the domains' names")->capture_default_str();
    app.add_option("--guests", guests, "How many")->check(CLI::Range(1, 1000))->capture_default_str();
    app.add_option("--first-port", first_port, "UDP port of the first one; the others follow")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        librettos::bench::run(socket, prefix, guests, first_port);
    } catch (std::exception const& error) {
        std::cerr << "bench_guests: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
