// SPDX-License-Identifier: BSD-2-Clause
// The pump between the kernel's TCP/IP behind a TAP interface and rings that the test holds.
#include "guest-frontend/linux/frame_pump.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>
#include <future>
#include <optional>
#include <random>

#include "guest-frontend/linux/interface.hpp"
#include "tests/unit/linux/ring_double.hpp"
#include "tests/unit/linux/running_program.hpp"

namespace librettos::guest {
namespace {

// A guest's end: 192.0.2.<host> on lvif0, whose only neighbour is the other host, in the calling thread's namespace.
class End {
  public:
    End(std::uint8_t host, std::uint8_t neighbour)
        : tap_("lvif0", 1), pump_(&ring, events_, tap_, LVIF_POLL_DEFAULT_US) {
        Offer offer{};
        offer.mac[0] = 2;
        offer.mac[5] = host;
        std::uint8_t const address[4] = {192, 0, 2, host};
        std::memcpy(offer.ipv4, address, sizeof address);
        offer.ipv4_prefix = 24;
        offer.mtu = 1500;
        tap_.set_offloads(LVIF_F_ALL);
        tap_.set_carrier(true);
        Interface interface("lvif0");
        interface.prepare(offer, 65000);
        interface.bring_up(offer);
        std::string const other = std::to_string(neighbour);
        ready = std::system(
                    ("ip neigh add 192.0.2." + other + " lladdr 02:00:00:00:00:0" + other + " dev lvif0 nud permanent")
                        .c_str()) == 0;
    }

    lvif_device ring;
    bool ready;

    FramePump& pump() { return pump_; }

  private:
    TapDevice tap_;
    RingEvents events_;
    FramePump pump_;
};

std::uint16_t checksum(std::uint8_t const* bytes, std::size_t length) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < length; i += 2) {
        sum += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
    }
    while (sum > 0xffff) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<std::uint16_t>(~sum);
}

void put16(std::vector<std::uint8_t>& frame, std::size_t at, std::uint16_t value) {
    frame[at] = static_cast<std::uint8_t>(value >> 8);
    frame[at + 1] = static_cast<std::uint8_t>(value);
}

// From host 1 to host 2.
RingFrame echo_request(std::uint16_t sequence) {
    std::vector<std::uint8_t> frame(14 + 20 + 8 + 56);
    std::uint8_t const head[] = {2, 0, 0, 0, 0,  2, 2, 0, 0,   0, 0, 1, 8,   0, 0x45, 0, 0, 84,
                                 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2,    2, 8};
    std::copy(std::begin(head), std::end(head), frame.begin());
    put16(frame, 40, sequence);
    put16(frame, 24, checksum(&frame[14], 20));
    put16(frame, 36, checksum(&frame[34], frame.size() - 34));
    return {frame, {}};
}

bool is_echo_reply(RingFrame const& frame) {
    return frame.bytes.size() == 98 && frame.bytes[23] == 1 && frame.bytes[34] == 0;
}

void send_datagrams(int count) {
    Descriptor const socket = checked_descriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    inet_pton(AF_INET, "192.0.2.1", &to.sin_addr);
    for (int i = 0; i < count; ++i) {
        ASSERT_EQ(sendto(socket.get(), &i, sizeof i, 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
                  static_cast<ssize_t>(sizeof i));
    }
}

double cpu_seconds() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

class Pump : public testing::Test {
  protected:
    void SetUp() override {
        if (!enter_private_network()) {
            GTEST_SKIP() << "needs root: a network namespace of its own";
        }
        end_.emplace(std::uint8_t{2}, std::uint8_t{1});
        ASSERT_TRUE(end_->ready);
        end_->pump().connect(1);
    }
    lvif_device& ring() { return end_->ring; }

    std::optional<End> end_;
};

TEST_F(Pump, AnswersABurstWithABurst) {
    ASSERT_TRUE(eventually([&] { return ring().asleep(); }));
    int const before = ring().publishes();
    std::vector<RingFrame> requests;
    for (std::uint16_t i = 0; i < 32; ++i) {
        requests.push_back(echo_request(i));
    }
    ring().deliver(requests);
    for (std::uint16_t i = 0; i < 32; ++i) {
        RingFrame const reply = ring().take();
        ASSERT_TRUE(is_echo_reply(reply));
        EXPECT_EQ(reply.bytes[41], i);
    }
    // One, where the kernel answers within the write, as it does unless the machine is busy.
    EXPECT_LE(ring().publishes() - before, 8);
}

TEST_F(Pump, SleepsWhenIdleAndWhenFull) {
    ASSERT_TRUE(eventually([&] { return ring().asleep(); }));
    ring().set_room(0);
    send_datagrams(10);
    ASSERT_TRUE(eventually([&] { return ring().waits_for_room() && ring().asleep(); }));
    double const before = cpu_seconds();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    EXPECT_LT(cpu_seconds() - before, 0.1) << "frames in the TAP, no room: no busy wait";
    ring().set_room(1024);
    for (int i = 0; i < 10; ++i) {
        RingFrame const frame = ring().take();
        ASSERT_EQ(frame.bytes.size(), 14u + 20 + 8 + 4);
        EXPECT_EQ(frame.bytes[42], i) << "nothing lost, in order";
    }
}

TEST_F(Pump, GoesOnReceivingWhileItCannotSend) {
    ring().set_room(0);
    send_datagrams(1);
    ASSERT_TRUE(eventually([&] { return ring().waits_for_room(); }));
    ring().deliver({echo_request(1)});
    ASSERT_TRUE(eventually([&] { return ring().asleep(); })) << "the request has been taken";
    ring().set_room(1024);
    ring().take();
    EXPECT_TRUE(is_echo_reply(ring().take()));
}

TEST_F(Pump, DropsLyingOffloadsByName) {
    RingFrame lie = echo_request(1);
    lie.offload = {LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4, 34, 16, 0, 54};
    ring().deliver({lie, echo_request(2)});
    RingFrame const reply = ring().take();
    ASSERT_TRUE(is_echo_reply(reply));
    EXPECT_EQ(reply.bytes[41], 2);
    EXPECT_EQ(end_->pump().drops().rx_bad_offload, 1u);
}

TEST_F(Pump, CountsFramesThatTheRingRefuses) {
    ring().refuse_frames();
    send_datagrams(3);
    EXPECT_TRUE(eventually([&] { return end_->pump().drops().tx_bad_frame == 3; }));
    EXPECT_EQ(ring().waiting(), 0u);
}

TEST_F(Pump, LeavesTheLibraryAloneAfterQuiesce) {
    end_->pump().quiesce();
    ring().forbid(true);
    send_datagrams(5);
    eventfd_write(ring().event(), 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_EQ(ring().trespasses(), 0);
    ring().forbid(false);
    end_->pump().connect(1);
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(ring().take().bytes.size(), 46u) << "the kernel kept them";
    }
}

TEST_F(Pump, CallsForAttentionWhenTheRingIsBroken) {
    ring().break_ring();
    EXPECT_TRUE(eventually([&] {
        pollfd attention{end_->pump().attention_fd(), POLLIN, 0};
        return poll(&attention, 1, 0) == 1;
    }));
    ring().forbid(true);
    eventfd_write(ring().event(), 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(ring().trespasses(), 0);
}

// The kernel's TCP on both sides, in two namespaces: large segments and unfinished checksums go through unharmed.
TEST(TwoPumps, CarryLargeSegments) {
    if (!enter_private_network()) {
        GTEST_SKIP() << "needs root: a network namespace of its own";
    }
    constexpr std::size_t total = 20'000'000;
    std::vector<char> sent(total);
    std::generate(sent.begin(), sent.end(),
                  [random = std::minstd_rand(1)]() mutable { return static_cast<char>(random() >> 8); });
    End here(1, 2);
    Descriptor const listener = checked_descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(7000);
    ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener.get(), 1), 0);
    std::promise<End*> made;
    std::promise<void> done;
    std::thread other([&] {
        ASSERT_TRUE(enter_private_network());
        End there(2, 1);
        made.set_value(&there);
        Descriptor const client = checked_descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
        EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(send(client.get(), sent.data(), total, MSG_NOSIGNAL), static_cast<ssize_t>(total));
        shutdown(client.get(), SHUT_WR);
        done.get_future().wait();
    });
    End* const there = made.get_future().get();
    here.ring.connect_to(there->ring);
    there->ring.connect_to(here.ring);
    here.pump().connect(1);
    there->pump().connect(1);
    Descriptor const stream = checked_descriptor(accept(listener.get(), nullptr, nullptr), "accept");
    std::vector<char> received(total);
    std::size_t length = 0;
    for (ssize_t part = 0; length < total && (part = recv(stream.get(), &received[length], total - length, 0)) > 0;) {
        length += static_cast<std::size_t>(part);
    }
    EXPECT_EQ(length, total);
    EXPECT_TRUE(received == sent);
    EXPECT_EQ(here.pump().drops().rx_bad_offload + there->pump().drops().tx_bad_frame, 0u);
    EXPECT_LT(there->ring.publishes(), static_cast<int>(total / 1448 / 2))
        << "segments of the MTU would be twice as many at least";
    here.pump().quiesce();
    there->pump().quiesce();
    done.set_value();
    other.join();
}

}  // namespace
}  // namespace librettos::guest
