// SPDX-License-Identifier: BSD-2-Clause
// Event channels: what they promise, and that a hostile guest can make nobody wait.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include "tests/unit/local/hypervisord_process.hpp"

namespace librettos::test {

namespace {

bool is_readable(int fd, int timeout_ms = 0) {
    pollfd readable{fd, POLLIN, 0};
    return ::poll(&readable, 1, timeout_ms) == 1;
}

void make_blocking(int fd) {
    ASSERT_EQ(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
}

// Runs `f` in a thread; whether it came back within `wait`. A thread that did not is freed by `release`.
template <typename F, typename R>
bool returns(F f, std::chrono::milliseconds wait, R release) {
    std::atomic<bool> done{false};
    std::thread thread{[&] {
        f();
        done.store(true, std::memory_order_release);
    }};
    auto const deadline = std::chrono::steady_clock::now() + wait;
    while (!done.load(std::memory_order_acquire) && std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    bool const returned = done.load(std::memory_order_acquire);
    if (!returned)
        release();
    thread.join();
    return returned;
}

}  // namespace

// Why server to guest is not an eventfd: the guest's fcntl reaches the server's end.
TEST(Eventfd, HolderBlocksTheOtherSidesWrite) {
    int const server_end = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int const guest_end = ::fcntl(server_end, F_DUPFD_CLOEXEC, 0);  // what SCM_RIGHTS hands over
    std::uint64_t const full = UINT64_MAX - 1;
    std::uint64_t const one = 1;
    ASSERT_EQ(::write(guest_end, &full, sizeof(full)), 8);
    make_blocking(guest_end);
    std::uint64_t taken = 0;
    EXPECT_FALSE(returns([&] { (void)!::write(server_end, &one, sizeof(one)); }, std::chrono::milliseconds{200},
                         [&] { ASSERT_EQ(::read(guest_end, &taken, sizeof(taken)), 8); }));
    ::close(server_end);
    ::close(guest_end);
}

class Events : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(lvif_hv_event_allocate(guest_, 0, &guest_port_), 0);
        ASSERT_EQ(lvif_hv_event_bind(server_, lvif_hv_self(guest_), guest_port_, &server_port_), 0);
        guest_fd_ = lvif_hv_event_fd(guest_, guest_port_);
        server_fd_ = lvif_hv_event_fd(server_, server_port_);
    }
    // The guest's descriptor towards the server: the one that it writes. Found as its only eventfd.
    int guest_notify_fd() {
        for (int fd = 3; fd < 1024; fd++) {
            char target[64];
            ssize_t const length = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof(target));
            if (fd != server_fd_ && std::string_view{target, static_cast<std::size_t>(std::max<ssize_t>(length, 0))} ==
                                        "anon_inode:[eventfd]")
                return fd;
        }
        return -1;
    }
    bool server_returns(void (*call)(lvif_hv*, std::uint32_t)) {
        return returns([&] { call(server_, server_port_); }, std::chrono::seconds{20}, [] { std::abort(); });
    }

    HypervisordProcess process_;
    Client server_{process_, LVIF_HV_SERVER};
    Client guest_{process_, LVIF_HV_GUEST, "guest"};
    std::uint32_t guest_port_ = 0;
    std::uint32_t server_port_ = 0;
    int guest_fd_ = -1;
    int server_fd_ = -1;
};

TEST_F(Events, BothWaysReadableUntilCleared) {
    EXPECT_FALSE(is_readable(server_fd_) || is_readable(guest_fd_));
    lvif_hv_event_notify(guest_, guest_port_);
    EXPECT_TRUE(is_readable(server_fd_));
    EXPECT_FALSE(is_readable(guest_fd_));
    lvif_hv_event_notify(guest_, guest_port_);
    lvif_hv_event_clear(server_, server_port_);
    EXPECT_FALSE(is_readable(server_fd_));
    lvif_hv_event_clear(server_, server_port_);
    lvif_hv_event_notify(server_, server_port_);
    EXPECT_TRUE(is_readable(guest_fd_));
    lvif_hv_event_clear(guest_, guest_port_);
    EXPECT_FALSE(is_readable(guest_fd_));
    lvif_hv_event_clear(guest_, guest_port_);
}

TEST_F(Events, ManyNotificationsAreTakenAtOnce) {
    for (int i = 0; i < 100'000; i++) {
        lvif_hv_event_notify(guest_, guest_port_);
        lvif_hv_event_notify(server_, server_port_);
    }
    lvif_hv_event_clear(server_, server_port_);
    lvif_hv_event_clear(guest_, guest_port_);
    EXPECT_FALSE(is_readable(server_fd_) || is_readable(guest_fd_));
}

TEST_F(Events, UnknownPortsAreIgnored) {
    lvif_hv_event_notify(server_, 0);
    lvif_hv_event_notify(server_, 4711);
    lvif_hv_event_clear(server_, UINT32_MAX);
    EXPECT_EQ(lvif_hv_event_fd(server_, 4711), -ENOENT);
    std::uint32_t port = 0;
    EXPECT_EQ(lvif_hv_event_bind(server_, lvif_hv_self(guest_), 4711, &port), -ENOENT);
    EXPECT_EQ(lvif_hv_event_bind(server_, 4711, guest_port_, &port), -ENOENT);
    EXPECT_EQ(lvif_hv_event_bind(server_, lvif_hv_self(guest_), guest_port_, &port), -EBUSY);
    EXPECT_EQ(lvif_hv_event_allocate(server_, 0, &port), -EPERM);
    EXPECT_EQ(lvif_hv_event_bind(guest_, lvif_hv_self(guest_), guest_port_, &port), -EPERM);
}

// The guest never takes its notifications, and clears the flags of every descriptor that it has.
TEST_F(Events, GuestThatNeverReadsBlocksNobody) {
    make_blocking(guest_fd_);
    make_blocking(guest_notify_fd());
    EXPECT_TRUE(returns(
        [&] {
            for (int i = 0; i < 20'000; i++)
                lvif_hv_event_notify(server_, server_port_);
        },
        std::chrono::seconds{60}, [] { std::abort(); }));
    EXPECT_TRUE(is_readable(guest_fd_)) << "and it is still told";
}

TEST_F(Events, GuestWithAFullCounterBlocksNobody) {
    int const fd = guest_notify_fd();
    ASSERT_GE(fd, 0);
    std::uint64_t const full = UINT64_MAX - 1;
    ASSERT_EQ(::write(fd, &full, sizeof(full)), 8);
    make_blocking(fd);
    EXPECT_TRUE(is_readable(server_fd_));
    EXPECT_TRUE(server_returns(lvif_hv_event_clear));
    EXPECT_FALSE(is_readable(server_fd_));
}

// It takes its own notification back between the server's poll and its read.
TEST_F(Events, GuestThatReadsItsCounterBlocksNobody) {
    int const fd = guest_notify_fd();
    ASSERT_GE(fd, 0);
    make_blocking(fd);
    lvif_hv_event_notify(guest_, guest_port_);
    std::uint64_t taken = 0;
    ASSERT_EQ(::read(fd, &taken, sizeof(taken)), 8);
    EXPECT_TRUE(server_returns(lvif_hv_event_clear));
}

TEST_F(Events, GuestSendsNothingAgainstTheDirection) {
    char const byte = 1;
    EXPECT_LT(::send(guest_fd_, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT), 0);
    EXPECT_EQ(errno, EPIPE);
}

TEST_F(Events, NotifyingAGuestThatIsGoneIsHarmless) {
    guest_.close();
    std::signal(SIGPIPE, SIG_DFL);
    lvif_hv_event_notify(server_, server_port_);
    lvif_hv_event_clear(server_, server_port_);
    lvif_hv_event_free(server_, server_port_);
}

TEST_F(Events, NextServerFindsWhatWasNotified) {
    server_.close();
    lvif_hv_event_notify(guest_, guest_port_);
    Client const next{process_, LVIF_HV_SERVER};
    std::uint32_t port = 0;
    ASSERT_EQ(lvif_hv_event_bind(next, lvif_hv_self(guest_), guest_port_, &port), 0);
    EXPECT_TRUE(is_readable(lvif_hv_event_fd(next, port)));
    lvif_hv_event_notify(next, port);
    EXPECT_TRUE(is_readable(guest_fd_));
}

TEST_F(Events, FreedPortsAreUsedAgain) {
    std::uint32_t const first = guest_port_;
    for (int i = 0; i < 1000; i++) {
        lvif_hv_event_free(server_, server_port_);
        lvif_hv_event_free(guest_, guest_port_);
        ASSERT_EQ(lvif_hv_event_allocate(guest_, 0, &guest_port_), 0);
        ASSERT_EQ(lvif_hv_event_bind(server_, lvif_hv_self(guest_), guest_port_, &server_port_), 0);
        EXPECT_EQ(guest_port_, first);
    }
    lvif_hv_event_notify(guest_, guest_port_);
    EXPECT_TRUE(is_readable(lvif_hv_event_fd(server_, server_port_)));
}

TEST_F(Events, PortsBeyondOneChunkWork) {
    std::vector<Client> guests;
    std::uint32_t port = 0;
    std::uint32_t local = 0;
    for (int g = 0; g < 4; g++) {
        guests.emplace_back(process_, LVIF_HV_GUEST, ("more-" + std::to_string(g)).c_str());
        for (int i = 0; i < 100; i++) {
            ASSERT_EQ(lvif_hv_event_allocate(guests.back(), 0, &port), 0);
            ASSERT_EQ(lvif_hv_event_bind(server_, lvif_hv_self(guests.back()), port, &local), 0);
        }
    }
    EXPECT_GT(local, 256u);
    lvif_hv_event_notify(guests.back(), port);
    EXPECT_TRUE(is_readable(lvif_hv_event_fd(server_, local)));
}

}  // namespace librettos::test
