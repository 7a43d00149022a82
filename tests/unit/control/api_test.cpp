// SPDX-License-Identifier: BSD-2-Clause
// The control API through a real socket: every command, garbage, too much, too slow, too many.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "daemon/engine/control/api_commands.hpp"
#include "daemon/engine/control/api_server.hpp"
#include "tests/unit/control/scene.hpp"
#include "tests/unit/control/unix_client.hpp"

namespace librettos::test {

namespace {

using Json = ApiCommands::Json;

std::string socket_path() {
    return "/tmp/librettos-control-test-" + std::to_string(getpid()) + ".sock";
}

class Api : public Scene {
  protected:
    Api() {
        start();
        commands = std::make_unique<ApiCommands>(server->boot, server->config);
        commands->connected(server->hypervisor, *server->guests);
        listen();
    }
    void listen() { api = std::make_unique<ApiServer>(socket_path(), "", *commands); }
    void turn() {
        for (int n = 0; n < 4; ++n)
            api->handle(now);
        api->handle_time(now);
    }
    Json ask(Json request) {
        request["schema"] = 1;
        UnixClient client(socket_path());
        client.send(request.dump() + "\n");
        turn();
        return Json::parse(client.line());
    }
    Json result(Json const& request) {
        auto const reply = ask(request);
        EXPECT_EQ(reply.at("schema"), 1);
        EXPECT_TRUE(reply.at("ok").get<bool>()) << reply.dump();
        return reply.value("result", Json());
    }
    std::string error(Json const& request) {
        auto const reply = ask(request);
        EXPECT_FALSE(reply.at("ok").get<bool>());
        EXPECT_FALSE(reply.at("error").at("message").get<std::string>().empty());
        EXPECT_FALSE(reply.at("error").at("hint").get<std::string>().empty());
        return reply.at("error").at("code");
    }
    void TearDown() override {
        api.reset();
        EXPECT_NE(access(socket_path().c_str(), F_OK), 0);
    }

    std::unique_ptr<ApiCommands> commands;
    std::unique_ptr<ApiServer> api;
};

TEST_F(Api, StatusHasEveryKey) {
    FakeGuest guest(world, "web");
    FakeGuest waiting(world, "db");
    connect(guest);
    waiting.open();
    settle();
    world.set_port(IPPROTO_TCP, 80, lvif_port_entry(LVIF_PORT_BOUND, guest.domain.value, 0));
    auto const status = result({{"command", "status"}});
    for (auto const* key : {"version", "holder_version", "engine",   "hypervisor",        "portmap_authority",
                            "pid",     "holder_pid",     "uptime_s", "engine_generation", "port",
                            "network", "data_threads",   "poll_us",  "wake_up_us",        "guests",
                            "ports",   "mbufs",          "direct",   "readopted",         "resources"})
        EXPECT_TRUE(status.contains(key)) << key;
    EXPECT_EQ(status["hypervisor"], "fake");
    EXPECT_EQ(status["pid"], getpid());
    EXPECT_EQ(status["port"]["link"], "down");
    EXPECT_EQ(status["network"]["ipv4"], "192.0.2.2/24");
    EXPECT_EQ(status["wake_up_us"], 25);
    EXPECT_EQ(status["poll_us"], 400);
    EXPECT_EQ(status["guests"]["connected"], 1);
    EXPECT_EQ(status["guests"]["connecting"], 1);
    EXPECT_EQ(status["ports"]["tcp_bound"], 1);
    EXPECT_EQ(status["mbufs"]["total"], 100);
    EXPECT_EQ(status["resources"]["mappings"], 4);
    EXPECT_GT(status["resources"]["fds"], 5);
}

TEST_F(Api, GuestsAndGuest) {
    FakeGuest guest(world, "own-a");
    connect(guest, "dedicated", 2);
    auto const id = guest.domain.value;
    for (std::uint16_t const port : {80, 81})
        world.set_port(IPPROTO_TCP, port, lvif_port_entry(LVIF_PORT_BOUND, id, 0));
    world.set_port(IPPROTO_UDP, 40000, lvif_port_entry(LVIF_PORT_BOUND, id, LVIF_PORT_LEASED));
    auto const list = result({{"command", "guests"}});
    ASSERT_EQ(list.size(), 1U);
    EXPECT_EQ(list[0]["name"], "own-a");
    EXPECT_EQ(list[0]["mode"], "dedicated");
    EXPECT_EQ(list[0]["state"], "connected");
    EXPECT_EQ(list[0]["ports"], 3);
    EXPECT_EQ(list[0]["queues"], 2);
    EXPECT_EQ(list[0]["limit"]["ports"], 4096);
    for (auto const& name : {Json("own-a"), Json(id), Json(std::to_string(id))}) {
        auto const one = result({{"command", "guest"}, {"guest", name}});
        EXPECT_EQ(one["domain"], id);
        EXPECT_EQ(one["ring_bytes"], LVIF_RING_MIN_CAPACITY);
        EXPECT_EQ(one["features"], Json({"tx-csum", "rx-csum"}));
        EXPECT_EQ(one["tcp_ports"], Json::parse(R"([[80, 81, "bound"]])"));
        EXPECT_EQ(one["udp_ports"], Json::parse(R"([[40000, 40000, "leased"]])"));
        EXPECT_EQ(one["frontend_path"], guest.frontend());
        EXPECT_EQ(one["backend_path"], guest.backend());
    }
}

TEST_F(Api, PortsAndPort) {
    FakeGuest guest(world, "web");
    connect(guest);
    world.set_port(IPPROTO_TCP, 80, lvif_port_entry(LVIF_PORT_BOUND, guest.domain.value, 0));
    world.set_port(IPPROTO_TCP, 90, lvif_port_entry(LVIF_PORT_QUARANTINED, 77, 0));
    PortInfo info;
    info.owner_name = "web";
    info.age_s = 12;
    info.owner_ports = 1;
    info.owner_limit = 4096;
    world.port_info[IPPROTO_TCP << 16 | 80] = info;
    info.owner_name = "gone";
    info.quarantine_left_s = 41;
    world.port_info[IPPROTO_TCP << 16 | 90] = info;
    auto const ports = result({{"command", "ports"}});
    ASSERT_EQ(ports.size(), 2U);
    EXPECT_EQ(ports[0]["owner"], "web");
    EXPECT_EQ(ports[1]["owner"], "gone");
    EXPECT_EQ(ports[1]["state"], "quarantined");
    EXPECT_EQ(result({{"command", "ports"}, {"guest", "web"}}).size(), 1U);
    auto const both = result({{"command", "port"}, {"port", 80}});
    ASSERT_EQ(both.size(), 2U);
    EXPECT_EQ(both[0]["attached"], true);
    EXPECT_NE(both[0]["explanation"].get<std::string>().find("guest 'web'"), std::string::npos);
    EXPECT_EQ(both[1]["state"], "free");
    EXPECT_EQ(result({{"command", "port"}, {"port", 80}, {"protocol", "udp"}}).size(), 1U);
}

TEST_F(Api, LimitDetachAttach) {
    FakeGuest guest(world, "web");
    connect(guest);
    auto const limit = result({{"command", "limit"}, {"guest", "web"}, {"bits_per_s", 1000000}, {"ports", 7}});
    EXPECT_EQ(limit["bits_per_s"], 1000000);
    EXPECT_EQ(limit["frames_per_s"], 0);
    EXPECT_EQ(world.port_limits[guest.domain], 7U);
    EXPECT_EQ(result({{"command", "limit"}, {"guest", "web"}, {"ports", 0}})["ports"], 0);
    EXPECT_EQ(world.port_limits[guest.domain], 131072U) << "no limit";
    EXPECT_EQ(result({{"command", "detach"}, {"guest", "web"}, {"reason", "moved"}})["guest"], "web");
    settle();
    EXPECT_EQ(guest.offered(LVIF_KEY_DETACH_REASON), "moved");
    EXPECT_EQ(result({{"command", "guests"}})[0]["state"], "detached");
    EXPECT_EQ(result({{"command", "guests"}})[0]["detach_reason"], "moved");
    guest.set_state(LVIF_STATE_CLOSED);
    guest.set_state(LVIF_STATE_INITIALISING);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED);
    result({{"command", "attach"}, {"guest", "web"}});
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT);
}

TEST_F(Api, AnAddressThatTheServerDoesNotHaveDetachesNobody) {
    FakeGuest guest(world, "web");
    connect(guest);
    Json const attach{{"schema", 1}, {"command", "attach"}, {"guest", "web"}, {"mode", "dedicated"}};
    auto wrong = attach;
    wrong["ipv4"] = "10.0.0.1";
    EXPECT_EQ(error(wrong), "bad-request");
    auto config_without = server->config;
    config_without.dedicated = {};
    ApiCommands without(server->boot, config_without);
    without.connected(server->hypervisor, *server->guests);
    EXPECT_NE(without.answer(attach.dump()).find("no addresses for dedicated guests"), std::string::npos);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CONNECTED);
}

TEST_F(Api, ErrorsSayWhatToDo) {
    EXPECT_EQ(error({{"command", "guest"}, {"guest", "nobody"}}), "not-found");
    EXPECT_EQ(error({{"command", "guest"}}), "bad-request");
    EXPECT_EQ(error({{"command", "guest"}, {"guest", {1, 2}}}), "bad-request");
    EXPECT_EQ(error({{"command", "explode"}}), "unknown-command");
    EXPECT_EQ(error({{"command", 3}}), "bad-request");
    EXPECT_EQ(error({{"nothing", 3}}), "bad-request");
    EXPECT_EQ(error({{"command", "port"}}), "bad-request");
    EXPECT_EQ(error({{"command", "port"}, {"port", 0}}), "bad-request");
    EXPECT_EQ(error({{"command", "port"}, {"port", 65536}}), "bad-request");
    EXPECT_EQ(error({{"command", "port"}, {"port", "80"}}), "bad-request");
    EXPECT_EQ(error({{"command", "port"}, {"port", 80}, {"protocol", "sctp"}}), "bad-request");
    FakeGuest guest(world, "web");
    connect(guest);
    EXPECT_EQ(error({{"command", "limit"}, {"guest", "web"}}), "bad-request");
    EXPECT_EQ(error({{"command", "limit"}, {"guest", "web"}, {"ports", -1}}), "bad-request");
    EXPECT_EQ(error({{"command", "limit"}, {"guest", "web"}, {"ports", 4294967296}}), "bad-request");
    EXPECT_EQ(error({{"command", "detach"}, {"guest", "web"}, {"reason", 5}}), "bad-request");
    world.fail_call(1);
    EXPECT_EQ(error({{"command", "limit"}, {"guest", "web"}, {"ports", 1}}), "failed");
    world.fail_call(3);
    EXPECT_EQ(error({{"command", "limit"}, {"guest", "web"}, {"ports", 1}}), "failed");
    EXPECT_EQ(world.port_limits[guest.domain], 4096U) << "undone";
    EXPECT_EQ(guest_of(guest)->limits().ports, 4096U);
}

TEST_F(Api, GarbageIsAnswered) {
    for (std::string const text :
         {"{", "[]", "null", "\xff\xfe", "{\"schema\":2,\"command\":\"status\"}", "42", "\"x\"",
          "{\"command\":\"status\"}", "{\"schema\":1,\"command\":\"guest\",\"guest\":\"\xff\"}"}) {
        UnixClient client(socket_path());
        client.send(text + "\n");
        turn();
        auto const reply = Json::parse(client.line());
        EXPECT_FALSE(reply.at("ok").get<bool>()) << text;
    }
    UnixClient nested(socket_path());
    nested.send(std::string(2000, '[') + std::string(2000, ']') + "\n");
    turn();
    EXPECT_EQ(Json::parse(nested.line()).at("error").at("code"), "bad-request");
}

TEST_F(Api, PipelinedRequestsAreAnsweredInOrder) {
    UnixClient client(socket_path());
    client.send("{\"schema\":1,\"command\":\"guests\"}\n\n{\"schema\":1,\"command\":\"sta");
    turn();
    EXPECT_TRUE(Json::parse(client.line()).at("result").is_array());
    client.send("tus\"}\n");
    turn();
    EXPECT_TRUE(Json::parse(client.line()).at("result").is_object());
}

TEST_F(Api, OversizeIsRefusedAndClosed) {
    UnixClient client(socket_path());
    client.send(std::string(100000, 'x'));
    turn();
    EXPECT_EQ(Json::parse(client.line()).at("error").at("code"), "bad-request");
    client.receive();
    EXPECT_TRUE(client.ended());
    EXPECT_EQ(api->clients(), 0U);
    UnixClient exact(socket_path());
    auto request = std::string("{\"schema\":1,\"command\":\"guests\"");
    request += std::string(ApiServer::max_request_bytes - request.size() - 1, ' ') + "}";
    exact.send(request + "\n");
    turn();
    EXPECT_TRUE(Json::parse(exact.line()).at("ok").get<bool>()) << "4096 bytes are allowed";
}

TEST_F(Api, SlowReaderNeitherBlocksNorGrowsAndIsClosed) {
    for (std::uint32_t port = 1; port < 65536; port += 2)
        world.set_port(IPPROTO_UDP, static_cast<std::uint16_t>(port), lvif_port_entry(LVIF_PORT_RESERVED, 0, 0));
    UnixClient slow(socket_path());
    std::string const request = "{\"schema\":1,\"command\":\"ports\"}\n";
    for (int n = 0; n < 50; ++n) {
        slow.send(request);
        turn();
    }
    auto const status = result({{"command", "status"}});
    EXPECT_TRUE(status.is_object()) << "others are served";
    EXPECT_LE(api->next_wake(), now + ApiServer::slow_reader_limit);
    now += ApiServer::slow_reader_limit;
    turn();
    EXPECT_EQ(api->clients(), 0U);
    UnixClient patient(socket_path());
    patient.send(request + request);
    std::string all;
    for (int n = 0; n < 10000 && std::count(all.begin(), all.end(), '\n') < 2; ++n) {
        turn();
        all += patient.receive();
    }
    EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 2);
    EXPECT_EQ(Json::parse(all.substr(0, all.find('\n'))).at("result").size(), 32768U);
}

TEST_F(Api, OneClientTooManyPushesOutTheIdlest) {
    std::vector<std::unique_ptr<UnixClient>> clients;
    for (std::size_t n = 0; n < 3 * ApiServer::max_clients; ++n) {
        clients.push_back(std::make_unique<UnixClient>(socket_path()));
        now += std::chrono::seconds(1);
        turn();
        EXPECT_LE(api->clients(), ApiServer::max_clients);
    }
    clients.front()->receive();
    EXPECT_TRUE(clients.front()->ended());
    EXPECT_TRUE(result({{"command", "status"}}).is_object());
}

TEST_F(Api, ClientsThatHangUpAreForgotten) {
    for (int n = 0; n < 100; ++n) {
        UnixClient client(socket_path());
        client.send("{\"schema\":1,");
        turn();
    }
    turn();
    EXPECT_EQ(api->clients(), 0U);
}

TEST_F(Api, HalfClosedClientStillGetsItsAnswer) {
    UnixClient client(socket_path());
    client.send("{\"schema\":1,\"command\":\"guests\"}\n");
    shutdown(client.fd(), SHUT_WR);
    turn();
    EXPECT_TRUE(Json::parse(client.line()).at("ok").get<bool>());
    turn();
    EXPECT_EQ(api->clients(), 0U);
}

TEST_F(Api, SocketIsPrivateAndReplacesAStaleOne) {
    struct stat info {};
    ASSERT_EQ(stat(socket_path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0660U);
    auto const stale = socket_path() + ".link";
    ASSERT_EQ(link(socket_path().c_str(), stale.c_str()), 0);  // stays when the server goes: as after kill -9
    api.reset();
    ASSERT_EQ(rename(stale.c_str(), socket_path().c_str()), 0);
    EXPECT_THROW(UnixClient{socket_path()}, std::system_error);
    listen();
    EXPECT_TRUE(result({{"command", "status"}}).is_object());
}

TEST_F(Api, DoesNotOverwriteAFileOrUnknownGroup) {
    api.reset();
    std::ofstream(socket_path()) << "precious";
    EXPECT_THROW(listen(), std::system_error);
    EXPECT_EQ(unlink(socket_path().c_str()), 0);
    EXPECT_THROW(ApiServer(socket_path(), "no-such-group-here", *commands), std::system_error);
    listen();
}

TEST_F(Api, StrangersAreRefused) {
    if (geteuid() != 0)
        GTEST_SKIP() << "needs root, to become somebody else";
    ASSERT_EQ(chmod(socket_path().c_str(), 0666), 0);
    ASSERT_EQ(seteuid(65534), 0);
    auto const client = std::make_unique<UnixClient>(socket_path());
    ASSERT_EQ(seteuid(0), 0);
    client->send("{\"schema\":1,\"command\":\"status\"}\n");
    turn();
    EXPECT_EQ(Json::parse(client->line()).at("error").at("code"), "not-allowed");
    client->receive();
    EXPECT_TRUE(client->ended());
}

TEST_F(Api, BusyWhileTheHypervisorIsWaitedFor) {
    commands = std::make_unique<ApiCommands>(server->boot, server->config);
    api.reset();
    listen();
    auto const status = result({{"command", "status"}});
    EXPECT_EQ(status["hypervisor_connected"], false);
    EXPECT_EQ(error({{"command", "guests"}}), "busy");
    EXPECT_EQ(error({{"command", "port"}, {"port", 1}}), "busy");
}

}  // namespace

}  // namespace librettos::test
