// SPDX-License-Identifier: BSD-2-Clause
// Requests and responses over UDP, one at a time, from the wire side: round-trip times, and when the first answer comes
// after something died. Commands on stdin, answers in JSON:
//   latency COUNT      -> {"p50_us": .., "p99_us": .., "lost": ..}
//   first T0_NS        -> {"ms": ..}: from T0 (CLOCK_MONOTONIC) to the first answer to a request sent after this
//   command
// With --echo it is the other end, for a path without a server in it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace librettos::bench {
namespace {

constexpr int answer_limit_ms = 1000;
constexpr std::uint64_t first_limit_ns = 20'000'000'000;
constexpr unsigned warm_up_requests = 100;

struct Payload {
    std::uint64_t sequence;
    std::uint64_t padding;
};

std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

std::system_error failure(char const* what) {
    return {errno, std::generic_category(), what};
}

class Socket {
  public:
    Socket() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        if (fd_ < 0)
            throw failure("make a socket");
        // The sum is not what is measured, and a veth would leave it for hardware that is not there.
        int const yes = 1;
        setsockopt(fd_, SOL_SOCKET, SO_NO_CHECK, &yes, sizeof yes);
    }
    ~Socket() { close(fd_); }
    Socket(Socket const&) = delete;
    Socket& operator=(Socket const&) = delete;

    int fd() const { return fd_; }

    void connect_to(sockaddr_in const& address) {
        if (connect(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0)
            throw failure("connect");
    }

    // Errors are those of a peer that is away just now (ECONNREFUSED, ENETUNREACH): the same as no answer.
    void request(std::uint64_t sequence) {
        Payload const payload{sequence, 0};
        [[maybe_unused]] auto const sent = send(fd_, &payload, sizeof payload, MSG_DONTWAIT);
    }

    // The sequence of an answer, 0 when none came in time.
    std::uint64_t answer(timespec const& limit) {
        pollfd waiting{fd_, POLLIN, 0};
        if (ppoll(&waiting, 1, &limit, nullptr) <= 0)
            return 0;
        Payload payload{};
        return recv(fd_, &payload, sizeof payload, MSG_DONTWAIT) == sizeof payload ? payload.sequence : 0;
    }

  private:
    int fd_;
};

class Client {
  public:
    explicit Client(sockaddr_in const& address) { socket_.connect_to(address); }

    nlohmann::json latency(unsigned count) {
        std::vector<std::uint64_t> times;
        unsigned lost = 0;
        for (unsigned i = 0; i < count + warm_up_requests; ++i) {
            std::uint64_t const sequence = ++sequence_;
            std::uint64_t const start = monotonic_ns();
            socket_.request(sequence);
            std::uint64_t got = 0;
            do {
                got = socket_.answer({answer_limit_ms / 1000, answer_limit_ms % 1000 * 1'000'000L});
            } while (got != 0 && got != sequence);
            if (got == 0)
                ++lost;
            else if (i >= warm_up_requests)
                times.push_back(monotonic_ns() - start);
            if (lost > 10)
                throw std::runtime_error("no answers");
        }
        std::sort(times.begin(), times.end());
        auto const at = [&times](double part) {
            return static_cast<double>(times[static_cast<std::size_t>(part * static_cast<double>(times.size() - 1))]) /
                   1000.0;
        };
        return {{"p50_us", at(0.50)}, {"p99_us", at(0.99)}, {"lost", lost}};
    }

    nlohmann::json first(std::uint64_t t0_ns) {
        constexpr timespec interval{0, 200'000};
        std::uint64_t const earlier = sequence_;
        while (monotonic_ns() - t0_ns < first_limit_ns) {
            socket_.request(++sequence_);
            if (socket_.answer(interval) > earlier)
                return {{"ms", static_cast<double>(monotonic_ns() - t0_ns) / 1e6}};
        }
        throw std::runtime_error("no answer within 20 s");
    }

  private:
    Socket socket_;
    std::uint64_t sequence_ = 0;
};

void serve_commands(sockaddr_in const& address) {
    Client client(address);
    std::cout << R"({"ready":true})" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string command;
        std::uint64_t number = 0;
        words >> command >> number;
        if (!words || (command != "latency" && command != "first"))
            throw std::runtime_error("not a command: " + line);
        std::cout
            << (command == "latency" ? client.latency(static_cast<unsigned>(number)) : client.first(number)).dump()
            << std::endl;
    }
}

// Until the end of input.
void echo(sockaddr_in const& address) {
    Socket socket;
    if (bind(socket.fd(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0)
        throw failure("bind");
    std::cout << R"({"ready":true})" << std::endl;
    pollfd waiting[2] = {{socket.fd(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    while (poll(waiting, 2, -1) > 0 && waiting[1].revents == 0) {
        sockaddr_in from{};
        socklen_t length = sizeof from;
        char bytes[2048];
        ssize_t const got =
            recvfrom(socket.fd(), bytes, sizeof bytes, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length);
        if (got > 0)
            sendto(socket.fd(), bytes, static_cast<std::size_t>(got), 0, reinterpret_cast<sockaddr const*>(&from),
                   length);
    }
}

}  // namespace
}  // namespace librettos::bench

int main(int argc, char** argv) {
    std::string text;
    std::uint16_t port = 0;
    bool is_echo = false;
    CLI::App app{"Sends requests over UDP and times the answers"};
    app.add_option("address", text, "IPv4 address")->required();
    app.add_option("port", port, "UDP port")->required();
    app.add_flag("--echo", is_echo, "Be the one who answers, at that address");
    CLI11_PARSE(app, argc, argv);
    try {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1)
            throw std::runtime_error("not an IPv4 address: " + text);
        if (is_echo)
            librettos::bench::echo(address);
        else
            librettos::bench::serve_commands(address);
    } catch (std::exception const& error) {
        std::cerr << "bench_udp: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
