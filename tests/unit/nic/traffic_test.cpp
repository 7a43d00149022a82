// SPDX-License-Identifier: BSD-2-Clause
// Real frames on the port's queues: in a forked child, woken by the port's descriptor, over the death of a child.
#include <gtest/gtest.h>

#include <atomic>

#include <sys/mman.h>

#include "drivers/nic/adopt.hpp"
#include "drivers/nic/pool_check.hpp"
#include "drivers/nic/port.hpp"
#include "tests/unit/nic/wire.hpp"

namespace librettos {
namespace {

constexpr unsigned frames_per_child = 20;

// A child that receives for ever and says how many, and which was the last.
struct Progress {
    std::atomic<unsigned> received;
    std::atomic<unsigned> last;
};

pid_t start_receiver(PortDescription const& port, Progress& progress) {
    pid_t const child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        adopt_port_in_child(port);
        use_lcore(1);
        try {
            for (;;) {
                progress.last = next_frame(port).number;
                ++progress.received;
            }
        } catch (std::exception const&) {
            _exit(1);
        }
    }
    return child;
}

void wait_for(Progress const& progress, unsigned count) {
    for (int i = 0; i < 1000 && progress.received < count; ++i) {
        usleep(10'000);
    }
    require(progress.received >= count,
            "received " + std::to_string(progress.received) + " of " + std::to_string(count));
}

void kill_and_reap(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
}

// `interface` is where frames are put in so that the port receives them.
void children_take_turns(std::string const& device, std::string const& interface) {
    PortOptions const options = port_options(device);
    Eal const eal(options);
    Port const port(options, 1, eal);
    PortDescription const& description = port.description();
    require(description.wait_fds[0] >= 0, "a descriptor to wait on");
    shell("sysctl -qw net.ipv6.conf." + interface + ".disable_ipv6=1; ip link set " + interface + " up");
    auto& progress =
        *static_cast<Progress*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    Wire const wire(interface);
    for (unsigned generation = 0; generation < 4; ++generation) {
        progress.received = 0;
        pid_t const child = start_receiver(description, progress);
        for (unsigned i = 1; i <= frames_per_child; ++i) {
            wire.send(static_cast<std::uint8_t>(generation * frames_per_child + i));
            if (i % 5 == 0) {
                wait_for(progress, i);  // it sleeps again: each group needs its own wake-up
            }
        }
        require(progress.last == generation * frames_per_child + frames_per_child, "in order");
        kill_and_reap(child);
        require(mend_pool(port.pool()).usable, "pool");
        // What comes while nobody lives is there for the next one.
        wire.send(200);
        progress.received = 0;
        pid_t const next = start_receiver(description, progress);
        wait_for(progress, 1);
        require(progress.last == 200, "the frame that waited");
        kill_and_reap(next);
    }
}

TEST(Traffic, InterfaceOverKilledChildren) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(in_namespace([] {
                  make_veth();
                  children_take_turns("va", "vb");
              }),
              "");
}

TEST(Traffic, TapOverKilledChildren) {
    NEEDS_NAMESPACES();
    if (access("/dev/net/tun", R_OK | W_OK) != 0) {
        GTEST_SKIP() << "no /dev/net/tun";
    }
    EXPECT_EQ(in_namespace([] { children_take_turns("net_tap0,iface=lt0", "lt0"); }), "");
}

TEST(Traffic, DescriptorFiresForAFrameAndNotWithout) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(in_namespace([] {
                  make_veth();
                  PortOptions const options = port_options("va");
                  Eal const eal(options);
                  Port const port(options, 1, eal);
                  Wire const wire("vb");
                  int const fd = port.description().wait_fds[0];
                  wire.send(1);
                  require(readable(fd, 5000), "readable");
                  require(next_frame(port.description()).number == 1, "the frame");
                  require(!readable(fd, 50), "quiet again");
              }),
              "");
}

TEST(Traffic, JumboFrameInOneSegment) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(in_namespace([] {
                  make_veth("9000");
                  PortOptions options = port_options("va");
                  options.mtu_bytes = 9000;
                  options.memory_mib = 128;
                  Eal const eal(options);
                  Port const port(options, 1, eal);
                  Wire const wire("vb");
                  wire.send(9, 9014);
                  Arrived const arrived = next_frame(port.description());
                  require(arrived.bytes == 9014 && arrived.segments == 1 && arrived.number == 9,
                          std::to_string(arrived.bytes) + " bytes in " + std::to_string(arrived.segments));
              }),
              "");
}

}  // namespace
}  // namespace librettos
