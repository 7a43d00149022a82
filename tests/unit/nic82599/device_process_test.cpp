// SPDX-License-Identifier: BSD-2-Clause
// The NIC in a process of its own: its PF in one program, a VF in another, and the end of one of them.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/nic82599/bus_protocol.hpp"
#include "tests/nic82599/fake_vfio.hpp"
#include "tests/nic82599/libc_calls.hpp"
#include "tests/nic82599/nic.hpp"
#include "tests/nic82599/pci_addresses.hpp"
#include "tests/nic82599/remote_bus.hpp"
#include "tests/unit/nic82599/dpdk_ports.hpp"

namespace nic82599 {
namespace {

// nic82599-device, commanded through a socket that is its input and output.
class DeviceProcess {
  public:
    DeviceProcess(std::string const& folder, unsigned vfs) {
        std::filesystem::create_directories(folder);
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
            std::abort();
        }
        pid_ = fork();
        if (pid_ == 0) {
            dup2(ends[1], STDIN_FILENO);
            dup2(ends[1], STDOUT_FILENO);
            execl(NIC82599_DEVICE, NIC82599_DEVICE, "--folder", folder.c_str(), "--vfs", std::to_string(vfs).c_str(),
                  nullptr);
            _exit(127);
        }
        close(ends[1]);
        stream_ = fdopen(ends[0], "r+");
        ready_ = line() == "ready";
    }
    ~DeviceProcess() {
        std::fclose(stream_);
        if (pid_ > 0) {
            waitpid(pid_, nullptr, 0);
        }
    }
    DeviceProcess(DeviceProcess const&) = delete;
    DeviceProcess& operator=(DeviceProcess const&) = delete;

    bool ready() const { return ready_; }
    void kill() {
        ::kill(pid_, SIGKILL);
        waitpid(std::exchange(pid_, -1), nullptr, 0);
    }
    std::string command(std::string const& words) {
        std::fputs((words + "\n").c_str(), stream_);
        std::fflush(stream_);
        return line();
    }
    // A number out of its "events".
    unsigned long event(std::string const& name) {
        std::string const all = " " + command("events");
        std::size_t const at = all.find(" " + name + " ");
        return at == std::string::npos ? 0 : std::stoul(all.substr(at + name.size() + 2));
    }

  private:
    std::string line() {
        char text[512] = "";
        static_cast<void>(!std::fgets(text, sizeof text, stream_));
        text[std::strcspn(text, "\n")] = 0;
        return text;
    }

    pid_t pid_ = -1;
    FILE* stream_ = nullptr;
    bool ready_ = false;
};

// This program is one of those that drive the NIC.
struct Attached {
    explicit Attached(std::string const& folder) : bus(folder), vfio(bus, Nic::most_vfs) {
        setenv("SYSFS_PCI_DEVICES", (folder + "/" + sysfs_folder_name).c_str(), 1);
        route_libc_calls(&vfio);
    }
    ~Attached() { route_libc_calls(nullptr); }
    RemoteBus bus;
    FakeVfio vfio;
};

// Sends back what comes, until it is killed. Its EAL is set up by this process, its bursts are done by a child.
[[noreturn]] void echo_at_pf(std::string const& folder, int parent) {
    Attached const attached(folder);
    DpdkPorts ports({"-a", pci_address(Function::pf())});
    bool const up = ports.started() && ports.start(0) == 0 && ports.link_comes(0);
    pid_t const child = fork();
    if (child != 0) {
        static_cast<void>(!write(parent, up ? "y" : "n", 1));
        for (;;) {
            pause();
        }
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        for (Frame& frame : DpdkPorts::received(0)) {
            std::swap_ranges(frame.begin(), frame.begin() + 6, frame.begin() + 6);
            ports.send(0, frame);
        }
    }
}

class Programs : public testing::Test {
  protected:
    Programs() : device_(folder_, 1) {}
    ~Programs() override {
        kill_pf();
        std::filesystem::remove_all(folder_);
    }

    bool start_pf() {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
            return false;
        }
        pf_ = fork();
        if (pf_ == 0) {
            echo_at_pf(folder_, ends[1]);
        }
        close(ends[1]);
        char answer = 0;
        bool const up = read(ends[0], &answer, 1) == 1 && answer == 'y';
        close(ends[0]);
        return up;
    }
    void kill_pf() {
        if (pf_ > 0) {
            kill(pf_, SIGKILL);
            waitpid(pf_, nullptr, 0);
            pf_ = -1;
        }
    }

    std::string const folder_ = testing::TempDir() + "nic82599-device." + std::to_string(getpid());
    DeviceProcess device_;
    pid_t pf_ = -1;
};

TEST_F(Programs, AVfTalksToThePfOfAnotherProgramThatForked) {
    ASSERT_TRUE(device_.ready());
    ASSERT_TRUE(start_pf());
    ASSERT_EQ(device_.command("show 0"), "done");
    Attached const attached(folder_);
    DpdkPorts ports({"-a", pci_address(Function::vf(0))});
    ASSERT_TRUE(ports.started());
    ASSERT_EQ(rte_eth_dev_count_avail(), 1);
    ASSERT_EQ(ports.start(0), 0);
    ASSERT_TRUE(ports.link_comes(0));
    rte_ether_addr address{};
    rte_eth_macaddr_get(0, &address);
    Mac own{};
    std::copy(std::begin(address.addr_bytes), std::end(address.addr_bytes), own.begin());

    constexpr std::uint32_t frames = 100;
    std::vector<Frame> back;
    for (std::uint32_t i = 0; i < frames; ++i) {
        ASSERT_TRUE(ports.send(0, numbered_frame(pf_mac, own, i)));
    }
    EXPECT_TRUE(eventually([&] {
        auto const more = DpdkPorts::received(0);
        back.insert(back.end(), more.begin(), more.end());
        return back.size() >= frames;
    }));
    ASSERT_EQ(back.size(), frames);
    for (std::uint32_t i = 0; i < frames; ++i) {
        EXPECT_EQ(back[i], numbered_frame(own, pf_mac, i));
    }
    EXPECT_EQ(device_.event("looped_back"), 2 * frames);
    EXPECT_EQ(device_.event("dma_faults"), 0u);
}

// As a kernel does when a device's last descriptor is closed.
TEST_F(Programs, TheFunctionsOfAProgramThatDiedAreReset) {
    ASSERT_TRUE(device_.ready());
    ASSERT_TRUE(start_pf());
    RemoteBus bus(folder_);
    auto const receives = [&] { return bus.read(Function::pf(), reg::RXCTRL) & reg::RXCTRL_RXEN; };
    auto const vf_sees_reset = [&] {
        return (bus.read(Function::vf(0), reg::vf::VFMAILBOX) & reg::vf::MAILBOX_RSTI) != 0;
    };
    EXPECT_NE(receives(), 0u);
    EXPECT_FALSE(vf_sees_reset());
    kill_pf();
    EXPECT_TRUE(eventually([&] { return receives() == 0; }));
    EXPECT_TRUE(vf_sees_reset());
}

TEST_F(Programs, AProgramOutlivesTheDeviceProcess) {
    ASSERT_TRUE(device_.ready());
    RemoteBus bus(folder_);
    EXPECT_NE(bus.read(Function::pf(), reg::STATUS), 0xFFFFFFFFu);
    EXPECT_EQ(device_.command("remove pf"), "done");
    EXPECT_EQ(bus.read(Function::pf(), reg::STATUS), 0xFFFFFFFFu);
    EXPECT_EQ(device_.command("return pf"), "done");
    EXPECT_NE(bus.read(Function::pf(), reg::STATUS), 0xFFFFFFFFu);
    EXPECT_EQ(device_.command("nonsense"), "unknown command");
    device_.kill();
    EXPECT_EQ(bus.read(Function::pf(), reg::STATUS), 0xFFFFFFFFu);
    bus.write(Function::pf(), reg::CTRL, reg::CTRL_RST);
}

}  // namespace
}  // namespace nic82599
