// SPDX-License-Identifier: BSD-2-Clause
// Results as a healthy server gives them, and the fixture that most tests of the program use.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "tests/unit/ctl/fake_server.hpp"
#include "tests/unit/ctl/run_program.hpp"
#include "tests/unit/ctl/stats_memory.hpp"

namespace librettos::test {

using Json = nlohmann::json;

inline Json healthy_status() {
    return Json::parse(R"({
        "version": "0.1.0", "hypervisor": "local", "portmap_authority": "hypervisor", "pid": 200, "holder_pid": 100,
        "uptime_s": 7385, "engine_generation": 1,
        "port": {"device": "eth1", "driver": "packet_socket", "mac": "02:00:00:00:00:01",
                 "link": "up", "speed_mbps": 10000, "mtu_bytes": 1500, "queues": 1, "offloads": ["tx_tso", "rx_checksum"]},
        "network": {"ipv4": "192.0.2.2/24", "ipv6": null, "gateway4": "192.0.2.1", "gateway6": null,
                    "mac": "02:00:00:00:00:01", "vlan": 0},
        "data_threads": 1, "poll_us": 200, "wake_up_us": 5, "guests": {"connected": 3, "connecting": 1, "detached": 0},
        "ports": {"tcp_bound": 1200, "udp_bound": 3, "quarantined": 0},
        "mbufs": {"total": 16384, "in_use": 1024, "lost": 0}, "readopted": {"guests": 3, "ms": 4.5},
        "resources": {"fds": 40, "mappings": 12, "watches": 5}})");
}

inline Json sample_guest(std::string const& name, std::string const& state, int domain) {
    return Json{{"name", name},
                {"domain", domain},
                {"slot", domain},
                {"mode", "shared"},
                {"path", "server"},
                {"state", state},
                {"mac", "02:00:00:00:00:01"},
                {"ipv4", "192.0.2.2"},
                {"ipv6", nullptr},
                {"queues", 2},
                {"ports", 12},
                {"program", "nginx"},
                {"attached_s", 65},
                {"detach_reason", nullptr},
                {"limit", {{"frames_per_s", 0}, {"bits_per_s", 100'000'000}, {"ports", 4096}}}};
}

class ProgramTest : public ::testing::Test {
  protected:
    void serve(Behaviour behaviour) {
        server_ = std::make_unique<FakeServer>(folder_.file("sock"), std::move(behaviour));
    }
    void serve_result(Json const& result) {
        serve([result](Json const&) { return ok_reply(result); });
    }
    Output run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), {"--socket", folder_.file("sock"), "--stats-file", folder_.file("stats")});
        return run_ctl(std::move(arguments));
    }
    Json only_request() const {
        auto const requests = server_->requests();
        EXPECT_EQ(requests.size(), 1U);
        return requests.empty() ? Json{} : requests.front();
    }

    TemporaryFolder folder_;
    std::unique_ptr<FakeServer> server_;
};

}  // namespace librettos::test
