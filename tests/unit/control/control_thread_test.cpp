// SPDX-License-Identifier: BSD-2-Clause
// The control thread as a whole, in a thread, with a holder's socket and a hypervisor that comes late.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "daemon/engine/control/control_thread.hpp"
#include "daemon/engine/holder_messages.hpp"
#include "tests/unit/control/scene.hpp"
#include "tests/unit/control/unix_client.hpp"

namespace librettos::test {

namespace {

using Json = nlohmann::json;

class Engine : public testing::Test {
  protected:
    Engine() {
        plane() = {};
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, holder) != 0)
            throw std::system_error(errno, std::generic_category(), "socketpair");
        config.paths.api_socket = "/tmp/librettos-engine-test-" + std::to_string(getpid()) + ".sock";
        boot.config = &config;
        boot.port = small_port();
        boot.holder_fd = holder[1];
    }
    ~Engine() override {
        end();
        close(holder[0]);
        close(holder[1]);
    }
    void run() {
        thread = std::thread([this] {
            try {
                run_control_thread(boot, config, [this](Config const&) -> std::unique_ptr<Hypervisor> {
                    ++attempts;
                    if (!hypervisor_there)
                        throw std::system_error(ENOENT, std::generic_category(), "connect");
                    return std::make_unique<FakeHypervisor>(world);
                });
            } catch (std::system_error const& error) {
                failure = error.code().value();
            }
        });
    }
    void tell(HolderMessageType type, bool up = false) {
        HolderMessage message{};
        message.type = type;
        message.up = up;
        message.speed_mbps = 25000;
        send(holder[0], &message, sizeof message, MSG_NOSIGNAL);
    }
    HolderMessage hear() {
        HolderMessage message{};
        pollfd wait{holder[0], POLLIN, 0};
        if (poll(&wait, 1, 20000) != 1 || recv(holder[0], &message, sizeof message, 0) != sizeof message)
            ADD_FAILURE() << "the engine says nothing";
        return message;
    }
    Json ask(std::string const& command) {
        for (int n = 0; n < 1000; ++n) {
            try {
                UnixClient client(config.paths.api_socket);
                client.send("{\"schema\":1,\"command\":\"" + command + "\"}\n");
                return Json::parse(client.line());
            } catch (std::system_error const&) {
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
            }
        }
        ADD_FAILURE() << "the API does not answer";
        return {};
    }
    void end() {
        if (!thread.joinable())
            return;
        tell(HolderMessageType::stop);
        thread.join();
    }

    World world;
    Config config = small_config();
    EngineBoot boot;
    int holder[2];
    std::thread thread;
    std::atomic<bool> hypervisor_there{true};
    std::atomic<int> attempts{0};
    int failure = 0;
};

TEST_F(Engine, TellsReadyAndStops) {
    FakeGuest guest(world, "own-a");
    guest.open("dedicated");
    run();
    EXPECT_EQ(hear().type, HolderMessageType::ready);
    auto const guests = ask("guests");
    ASSERT_EQ(guests.at("result").size(), 1U);
    EXPECT_EQ(guests["result"][0]["state"], "waiting");
    end();
    EXPECT_EQ(failure, 0);
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT) << "for the next engine";
    EXPECT_EQ(plane().planes, 0);
    EXPECT_NE(access(config.paths.api_socket.c_str(), F_OK), 0);
}

TEST_F(Engine, ConnectsADedicatedGuestAndAsksForItsMac) {
    FakeGuest guest(world, "own-a");
    guest.open("dedicated");
    run();
    EXPECT_EQ(hear().type, HolderMessageType::ready);
    end();
    guest.prepare();
    guest.set_state(LVIF_STATE_INITIALISED);
    run();
    auto const add = hear();
    EXPECT_EQ(add.type, HolderMessageType::add_mac);
    EXPECT_EQ(add.mac[0], 0x02);
    EXPECT_EQ(hear().type, HolderMessageType::ready);
    HolderMessage done{};
    done.type = HolderMessageType::done;
    done.id = add.id;
    done.status = -ENOSPC;
    send(holder[0], &done, sizeof done, 0);
    EXPECT_EQ(ask("guests").at("result")[0].at("state"), "connected");
    end();
    guest.die();
    run();
    auto const removed = hear();
    EXPECT_EQ(removed.type, HolderMessageType::remove_mac) << "of the guest that died while no engine was there";
    EXPECT_EQ(removed.mac, add.mac);
}

TEST_F(Engine, WaitsForTheHypervisorWhileTheApiAnswers) {
    hypervisor_there = false;
    run();
    auto const status = ask("status");
    EXPECT_EQ(status.at("result").at("hypervisor_connected"), false);
    EXPECT_EQ(ask("guests").at("error").at("code"), "busy");
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    EXPECT_LT(attempts, 12) << "it backs off";
    hypervisor_there = true;
    EXPECT_EQ(hear().type, HolderMessageType::ready);
    EXPECT_EQ(ask("status").at("result").at("hypervisor_connected"), true);
}

TEST_F(Engine, LinkOfTheHolderIsShown) {
    run();
    EXPECT_EQ(hear().type, HolderMessageType::ready);
    tell(HolderMessageType::link, true);
    auto port = Json::object();
    for (int n = 0; n < 1000 && port.value("link", "") != "up"; ++n)
        port = ask("status").at("result").at("port");
    EXPECT_EQ(port.at("speed_mbps"), 25000);
}

TEST_F(Engine, EndsWithTheHolder) {
    run();
    EXPECT_EQ(hear().type, HolderMessageType::ready);
    shutdown(holder[0], SHUT_RDWR);
    thread.join();
    EXPECT_EQ(failure, 0);
}

TEST_F(Engine, EndsOnAMessageThatIsNone) {
    run();
    EXPECT_EQ(hear().type, HolderMessageType::ready);
    send(holder[0], "x", 1, 0);
    thread.join();
    EXPECT_EQ(failure, EPROTO);
}

TEST_F(Engine, EndsWhenTheHypervisorIsLost) {
    run();
    EXPECT_EQ(hear().type, HolderMessageType::ready);
    ask("status");
    world.lost = true;
    std::uint64_t const one = 1;
    ASSERT_EQ(write(world.watch_fd, &one, sizeof one), 8);
    thread.join();
    EXPECT_EQ(failure, ECONNRESET);
    EXPECT_EQ(world.mappings, 0);
}

}  // namespace

}  // namespace librettos::test
