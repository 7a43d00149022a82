// SPDX-License-Identifier: BSD-2-Clause
// Shared memory: what may be shared, who maps it, how long it lives, the life sign.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "tests/unit/local/hypervisord_process.hpp"
#include "tests/unit/local/raw_connection.hpp"

namespace librettos::test {

namespace {

constexpr int good_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

int memory(std::size_t bytes, int seals, unsigned flags = 0) {
    int const fd = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
    EXPECT_EQ(::ftruncate(fd, static_cast<off_t>(bytes)), 0);
    EXPECT_EQ(::fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

lvif_hv_totals totals(lvif_hv* hv) {
    lvif_hv_totals numbers{};
    EXPECT_EQ(lvif_hv_statistics(hv, &numbers), 0);
    return numbers;
}

}  // namespace

class Memory : public testing::Test {
  protected:
    static constexpr std::size_t size = 16384;

    int share_error(std::uint64_t bytes, int fd) {
        RawConnection guest{process_.socket()};
        guest.hello(LVIF_HV_GUEST, "raw");
        int const status = guest.call(LVIF_HVP_SHARE, {bytes, 0}, {}, {fd}).status;
        ::close(fd);
        return status;
    }

    HypervisordProcess process_;
    Client control_{process_, LVIF_HV_CONTROL};
};

TEST_F(Memory, OnlyProperlySealedMemoryIsTaken) {
    EXPECT_EQ(share_error(size, memory(size, good_seals)), 0);
    EXPECT_EQ(share_error(size, memory(size, F_SEAL_GROW | F_SEAL_SEAL)), -EINVAL) << "could shrink";
    EXPECT_EQ(share_error(size, memory(size, F_SEAL_SHRINK | F_SEAL_SEAL)), -EINVAL);
    EXPECT_EQ(share_error(size, memory(size, F_SEAL_SHRINK | F_SEAL_GROW)), -EINVAL)
        << "could be sealed against writing";
    EXPECT_EQ(share_error(size, memory(size, good_seals | F_SEAL_WRITE)), -EINVAL);
    EXPECT_EQ(share_error(size, memory(size, good_seals | F_SEAL_FUTURE_WRITE)), -EINVAL);
    EXPECT_EQ(share_error(2 * size, memory(size, good_seals)), -EINVAL) << "size that lies";
    EXPECT_EQ(share_error(0, memory(0, good_seals)), -EINVAL);
    EXPECT_EQ(share_error(LVIF_HVP_REGION_BYTES_MAX + 4096, memory(LVIF_HVP_REGION_BYTES_MAX + 4096, good_seals)),
              -EINVAL);
    EXPECT_EQ(share_error(size, ::open("/dev/null", O_RDWR | O_CLOEXEC)), -EINVAL);
    EXPECT_EQ(share_error(size, ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), -EINVAL);
    int const writable = memory(size, good_seals);
    int const readonly = ::open(("/proc/self/fd/" + std::to_string(writable)).c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(share_error(size, readonly), -EINVAL);
    ::close(writable);
}

TEST_F(Memory, IsTheSameOnBothSides) {
    Client const server{process_, LVIF_HV_SERVER};
    Client const guest{process_, LVIF_HV_GUEST, "guest"};
    auto* pages = static_cast<char*>(lvif_hv_pages_allocate(guest, size));
    ASSERT_NE(pages, nullptr);
    std::uint32_t region = 0;
    ASSERT_EQ(lvif_hv_share(guest, pages, size, 0, &region), 0);
    EXPECT_EQ(lvif_hv_share(guest, pages + 4096, size - 4096, 0, &region), -EINVAL) << "not an allocation";
    void* mapped = nullptr;
    EXPECT_EQ(lvif_hv_map(server, lvif_hv_self(guest), region, 2 * size, -1, 0, &mapped), -EINVAL);
    EXPECT_EQ(lvif_hv_map(server, lvif_hv_self(guest), region + 1, size, -1, 0, &mapped), -ENOENT);
    EXPECT_EQ(lvif_hv_map(server, 99, region, size, -1, 0, &mapped), -ENOENT);
    EXPECT_EQ(lvif_hv_map(server, lvif_hv_self(guest), region, size, 0, 1, &mapped), -EINVAL)
        << "a port that is not bound";
    EXPECT_EQ(lvif_hv_map(guest, lvif_hv_self(guest), region, size, -1, 0, &mapped), -EPERM);
    ASSERT_EQ(lvif_hv_map(server, lvif_hv_self(guest), region, size, -1, 0, &mapped), 0);
    std::strcpy(static_cast<char*>(mapped) + size - 100, "hello");
    EXPECT_STREQ(pages + size - 100, "hello");
    EXPECT_EQ(lvif_hv_unshare(guest, region), -EBUSY);
    void* again = nullptr;
    EXPECT_EQ(lvif_hv_map(server, lvif_hv_self(guest), region, size, -1, 0, &again), -EBUSY);
    EXPECT_EQ(totals(control_).mappings, 1u);
    EXPECT_EQ(lvif_hv_unmap(server, lvif_hv_self(guest), region, mapped, size), 0);
    EXPECT_EQ(lvif_hv_unshare(guest, region), 0);
    EXPECT_EQ(lvif_hv_unshare(guest, region), -ENOENT);
    lvif_hv_pages_free(guest, pages, size);
    EXPECT_EQ(totals(control_).regions, 0u);
    EXPECT_EQ(totals(control_).mappings, 0u);
}

TEST_F(Memory, OfAnotherDomainIsNotTheServers) {
    Client const server{process_, LVIF_HV_SERVER};
    Client const a{process_, LVIF_HV_GUEST, "a"};
    Client const b{process_, LVIF_HV_GUEST, "b"};
    void* pages = lvif_hv_pages_allocate(a, size);
    std::uint32_t region = 0;
    std::uint32_t port = 0;
    EXPECT_EQ(lvif_hv_share(a, pages, size, 999, &region), -ENOENT);
    ASSERT_EQ(lvif_hv_share(a, pages, size, lvif_hv_self(b), &region), 0);
    void* mapped = nullptr;
    EXPECT_EQ(lvif_hv_map(server, lvif_hv_self(a), region, size, -1, 0, &mapped), -EACCES);
    EXPECT_EQ(lvif_hv_unshare(b, region), -ENOENT);
    ASSERT_EQ(lvif_hv_event_allocate(a, lvif_hv_self(b), &port), 0);
    EXPECT_EQ(lvif_hv_event_bind(server, lvif_hv_self(a), port, &port), -EACCES);
}

TEST_F(Memory, OutlivesTheServerButNotItsDomain) {
    Client guest{process_, LVIF_HV_GUEST, "guest"};
    std::uint16_t const domain = lvif_hv_self(guest);
    auto* pages = static_cast<char*>(lvif_hv_pages_allocate(guest, size));
    std::uint32_t region = 0;
    ASSERT_EQ(lvif_hv_share(guest, pages, size, 0, &region), 0);
    void* mapped = nullptr;
    for (int life = 0; life < 3; life++) {
        Client const server{process_, LVIF_HV_SERVER};
        ASSERT_EQ(lvif_hv_map(server, domain, region, size, -1, 0, &mapped), 0);
        EXPECT_EQ(pages[0], static_cast<char>(life));
        *static_cast<char*>(mapped) = static_cast<char>(life + 1);
        ::munmap(mapped, size);
    }
    Client const server{process_, LVIF_HV_SERVER};
    ASSERT_EQ(lvif_hv_map(server, domain, region, size, -1, 0, &mapped), 0);
    guest.close();
    EXPECT_TRUE(eventually([&] { return totals(control_).regions == 0; }));
    EXPECT_EQ(*static_cast<char*>(mapped), 3) << "the server's mapping stays safe to touch";
    std::memset(mapped, 7, size);
    EXPECT_EQ(lvif_hv_unmap(server, domain, region, mapped, size), 0);
    EXPECT_EQ(lvif_hv_map(server, domain, region, size, -1, 0, &mapped), -ENOENT);
    EXPECT_EQ(totals(control_).mappings, 0u);
}

// Holes punched by the guest while the server writes: zero pages, no SIGBUS.
TEST_F(Memory, TamperingHarmsNobody) {
    Client const server{process_, LVIF_HV_SERVER};
    RawConnection guest{process_.socket()};
    auto const domain = static_cast<std::uint16_t>(guest.hello(LVIF_HV_GUEST, "evil").result[0]);
    int const fd = memory(size, good_seals);
    auto const region = static_cast<std::uint32_t>(guest.call(LVIF_HVP_SHARE, {size, 0}, {}, {fd}).result[0]);
    void* mapped = nullptr;
    ASSERT_EQ(lvif_hv_map(server, domain, region, size, -1, 0, &mapped), 0);
    for (int i = 0; i < 1000; i++) {
        EXPECT_NE(::ftruncate(fd, 0), 0);
        ASSERT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size), 0);
        static_cast<char volatile*>(mapped)[static_cast<std::size_t>(i) * 16 % size] = 1;
    }
    EXPECT_NE(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    EXPECT_EQ(lvif_hv_unmap(server, domain, region, mapped, size), 0);
    ::close(fd);
}

TEST_F(Memory, RegionsPerGuestAreBounded) {
    Client const guest{process_, LVIF_HV_GUEST, "guest"};
    void* pages = lvif_hv_pages_allocate(guest, 4096);
    std::uint32_t region = 0;
    int shared = 0;
    while (shared < 5000 && lvif_hv_share(guest, pages, 4096, 0, &region) == 0)
        shared++;
    EXPECT_EQ(shared, 256);
    EXPECT_EQ(lvif_hv_share(guest, pages, 4096, 0, &region), -ENOSPC);
    int ports = 0;
    std::uint32_t port = 0;
    while (ports < 5000 && lvif_hv_event_allocate(guest, 0, &port) == 0)
        ports++;
    EXPECT_EQ(ports, 128);
    EXPECT_EQ(lvif_hv_event_allocate(guest, 0, &port), -ENOSPC);
}

class LifeSign : public Memory {
  protected:
    static constexpr std::size_t offset = 200;

    void SetUp() override {
        pages_ = static_cast<char*>(lvif_hv_pages_allocate(guest_, size));
        ASSERT_EQ(lvif_hv_share(guest_, pages_, size, 0, &region_), 0);
        ASSERT_EQ(lvif_hv_event_allocate(guest_, 0, &port_), 0);
    }
    bool notified() {
        pollfd readable{lvif_hv_event_fd(guest_, port_), POLLIN, 0};
        return ::poll(&readable, 1, 10'000) == 1;
    }
    // As a server would: binds, maps, sets the sign.
    static void* adopt(lvif_hv* server, std::uint16_t domain, std::uint32_t port, std::uint32_t region) {
        std::uint32_t local = 0;
        void* mapped = nullptr;
        if (lvif_hv_event_bind(server, domain, port, &local) != 0 ||
            lvif_hv_map(server, domain, region, size, offset, local, &mapped) != 0)
            return nullptr;
        static_cast<char volatile*>(mapped)[offset] = 1;
        return mapped;
    }

    Client guest_{process_, LVIF_HV_GUEST, "guest"};
    char* pages_ = nullptr;
    std::uint32_t region_ = 0;
    std::uint32_t port_ = 0;
};

TEST_F(LifeSign, GoesWithTheMapping) {
    Client const server{process_, LVIF_HV_SERVER};
    void* mapped = adopt(server, lvif_hv_self(guest_), port_, region_);
    ASSERT_NE(mapped, nullptr);
    EXPECT_EQ(pages_[offset], 1);
    ASSERT_EQ(lvif_hv_unmap(server, lvif_hv_self(guest_), region_, mapped, size), 0);
    EXPECT_TRUE(notified());
    EXPECT_EQ(pages_[offset], 0);
}

TEST_F(LifeSign, GoesWithAKilledServerAndComesWithTheNext) {
    for (int life = 0; life < 3; life++) {
        int ready[2];
        ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
        pid_t const child = ::fork();
        if (child == 0) {
            lvif_hv* server = nullptr;
            bool const up = lvif_hv_connect(process_.socket().c_str(), LVIF_HV_SERVER, nullptr, &server) == 0 &&
                            adopt(server, lvif_hv_self(guest_), port_, region_) != nullptr;
            (void)!::write(ready[1], up ? "y" : "n", 1);
            ::pause();
            ::_exit(0);
        }
        char answer = 0;
        ASSERT_EQ(::read(ready[0], &answer, 1), 1);
        EXPECT_EQ(answer, 'y') << "life " << life;
        EXPECT_EQ(pages_[offset], 1);
        ::kill(child, SIGKILL);
        EXPECT_TRUE(notified());
        EXPECT_EQ(pages_[offset], 0);
        lvif_hv_event_clear(guest_, port_);
        ASSERT_EQ(::waitpid(child, nullptr, 0), child);
        ::close(ready[0]);
        ::close(ready[1]);
        EXPECT_EQ(totals(control_).mappings, 0u);
        EXPECT_EQ(totals(control_).bound_channels, 0u);
    }
}

}  // namespace librettos::test
