// SPDX-License-Identifier: BSD-2-Clause
// Clients that break the protocol are disconnected, they alone, and leave nothing behind.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <random>

#include "tests/unit/local/hypervisord_process.hpp"
#include "tests/unit/local/raw_connection.hpp"

namespace librettos::test {

class Garbage : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(lvif_hv_port_bind(bystander_, IPPROTO_TCP, 80, nullptr), 0);
        lvif_hv_totals totals{};
        ASSERT_TRUE(eventually([&] { return lvif_hv_statistics(control_, &totals) == 0 && totals.connections == 2; }));
        fds_ = process_.open_fds();
    }
    void TearDown() override {
        EXPECT_EQ(lvif_hv_port_bind(bystander_, IPPROTO_TCP, 81, nullptr), 0) << "others are served as before";
        EXPECT_TRUE(eventually([&] { return process_.open_fds() == fds_; }))
            << process_.open_fds() << " descriptors, before " << fds_;
    }
    // A connected guest sends this; whether hypervisord ended the connection.
    bool is_disconnected_by(std::span<std::byte const> packet, std::vector<int> const& fds = {}) {
        RawConnection raw{process_.socket()};
        EXPECT_EQ(raw.hello(LVIF_HV_GUEST, "raw").status, 0);
        return !raw.send(packet, fds) || raw.receive().closed;
    }
    static std::vector<std::byte> good() { return RawConnection::request(LVIF_HVP_READ, {}, {"/local/domain/1/name"}); }
    template <typename F>
    static std::vector<std::byte> changed(F change) {
        std::vector<std::byte> packet = good();
        lvif_hvp_header header;
        std::memcpy(&header, packet.data(), sizeof(header));
        change(header);
        std::memcpy(packet.data(), &header, sizeof(header));
        return packet;
    }

    HypervisordProcess process_;
    Client bystander_{process_, LVIF_HV_GUEST, "bystander"};
    Client control_{process_, LVIF_HV_CONTROL};
    std::size_t fds_ = 0;
};

TEST_F(Garbage, GoodRequestIsAnswered) {
    EXPECT_FALSE(is_disconnected_by(good()));
}

TEST_F(Garbage, BrokenHeaders) {
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.magic ^= 1; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.version = 2; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.operation = 0; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.operation = LVIF_HVP_OPERATIONS; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.status = -1; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.reserved = 1; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.length++; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.length--; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.length = UINT32_MAX; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.argument[0] = 1; })));
    EXPECT_TRUE(is_disconnected_by(changed([](auto& h) { h.argument[4] = 1; })));
}

TEST_F(Garbage, TruncatedAndOverlongPackets) {
    std::vector<std::byte> const packet = good();
    for (std::size_t length = 1; length < packet.size(); length += 7)
        EXPECT_TRUE(is_disconnected_by(std::span{packet}.first(length))) << length;
    EXPECT_TRUE(is_disconnected_by(std::vector<std::byte>(5000)));
    EXPECT_TRUE(is_disconnected_by(std::vector<std::byte>(100'000)));
    EXPECT_TRUE(is_disconnected_by({})) << "an empty packet";
}

TEST_F(Garbage, BrokenTexts) {
    EXPECT_TRUE(is_disconnected_by(RawConnection::request(LVIF_HVP_READ, {}, {})));
    EXPECT_TRUE(is_disconnected_by(RawConnection::request(LVIF_HVP_READ, {}, {"/a", "/b"})));
    std::vector<std::byte> unterminated = good();
    unterminated.back() = std::byte{'x'};
    EXPECT_TRUE(is_disconnected_by(unterminated));
}

TEST_F(Garbage, DescriptorsThatNobodyAskedFor) {
    int const fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    EXPECT_TRUE(is_disconnected_by(good(), {fd}));
    EXPECT_TRUE(is_disconnected_by(good(), std::vector<int>(200, fd)));
    EXPECT_TRUE(is_disconnected_by(RawConnection::request(LVIF_HVP_SHARE, {4096, 0}), {}));
    EXPECT_TRUE(is_disconnected_by(RawConnection::request(LVIF_HVP_SHARE, {4096, 0}), {fd, fd}));
    EXPECT_TRUE(is_disconnected_by(std::vector<std::byte>(3), {fd, fd, fd}));
    EXPECT_FALSE(is_disconnected_by(RawConnection::request(LVIF_HVP_SHARE, {4096, 0}), {fd})) << "well-formed, refused";
    ::close(fd);
}

// close(2) of a lingering TCP socket with unsent data waits: hypervisord must not.
TEST_F(Garbage, LingeringSocketDelaysNobody) {
    int const listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(listener, 1), 0);
    ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    int const sender = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)::connect(sender, reinterpret_cast<sockaddr*>(&address), size);
    int const receiver = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    std::vector<char> const bulk(65536);
    ASSERT_TRUE(eventually([&] { return ::send(sender, bulk.data(), bulk.size(), MSG_NOSIGNAL) > 0; }));
    while (::send(sender, bulk.data(), bulk.size(), MSG_NOSIGNAL) > 0) {
    }
    linger const long_time{1, 60};
    ASSERT_EQ(::setsockopt(sender, SOL_SOCKET, SO_LINGER, &long_time, sizeof(long_time)), 0);

    RawConnection raw{process_.socket()};
    raw.hello(LVIF_HV_GUEST, "raw");
    ASSERT_TRUE(raw.send(good(), {sender}));
    ::close(sender);  // hypervisord's is the last
    auto const start = std::chrono::steady_clock::now();
    EXPECT_EQ(lvif_hv_port_bind(bystander_, IPPROTO_TCP, 82, nullptr), 0);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds{20});
    ::close(receiver);
    ::close(listener);
}

TEST_F(Garbage, RandomBytes) {
    std::uint32_t const seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    for (int i = 0; i < 300; i++) {
        std::vector<std::byte> packet(1 + random() % 4200);
        for (std::byte& byte : packet)
            byte = static_cast<std::byte>(random());
        ASSERT_TRUE(is_disconnected_by(packet));
    }
}

// Well-formed requests with random contents: answered or disconnected, and never more than that.
TEST_F(Garbage, RandomRequests) {
    std::uint32_t const seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    for (int i = 0; i < 50; i++) {
        RawConnection raw{process_.socket()};
        ASSERT_EQ(raw.hello(LVIF_HV_GUEST, "raw").status, 0);
        for (int j = 0; j < 100; j++) {
            auto const operation = static_cast<lvif_hvp_operation>(1 + random() % (LVIF_HVP_OPERATIONS - 1));
            std::vector<std::uint64_t> arguments(random() % 6);
            for (std::uint64_t& argument : arguments)
                argument = random() % 3 == 0 ? random() * std::uint64_t{0x100000001} : random() % 8;
            std::vector<std::string> const texts(random() % 3, random() % 2 == 0 ? "/local/domain/1/x" : "/\xff//..");
            RawReply const reply = raw.call(operation, arguments, texts);
            for (int const fd : reply.fds)
                ::close(fd);
            if (reply.closed)
                break;
            ASSERT_LE(reply.status, 0);
        }
    }
}

TEST_F(Garbage, RequestsBeforeHelloAreRefused) {
    RawConnection raw{process_.socket()};
    EXPECT_EQ(raw.call(LVIF_HVP_READ, {}, {"/local"}).status, -EPERM);
    EXPECT_EQ(raw.call(LVIF_HVP_STATISTICS, {}).status, -EPERM);
    EXPECT_EQ(raw.hello(LVIF_HV_GUEST, "late").status, 0);
    EXPECT_EQ(raw.call(LVIF_HVP_HELLO, {LVIF_HV_GUEST}, {"again"}).status, -EINVAL);
}

TEST_F(Garbage, SilentConnectionsKeepNobodyOut) {
    std::vector<std::unique_ptr<RawConnection>> silent;
    for (int i = 0; i < 300; i++)
        silent.push_back(std::make_unique<RawConnection>(process_.socket()));
    EXPECT_NO_THROW((Client{process_, LVIF_HV_GUEST, "late"}));
}

// Requests without end and no reply is read: the sender goes.
TEST_F(Garbage, ClientThatDoesNotReadItsReplies) {
    RawConnection raw{process_.socket()};
    ASSERT_EQ(raw.hello(LVIF_HV_GUEST, "raw").status, 0);
    std::vector<std::byte> const packet = good();
    bool open = true;
    for (int i = 0; i < 100'000 && open; i++)
        open = raw.send(packet);
    EXPECT_FALSE(open);
}

}  // namespace librettos::test
