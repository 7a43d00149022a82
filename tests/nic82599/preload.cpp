// SPDX-License-Identifier: BSD-2-Clause
// For unmodified DPDK programs: LD_PRELOAD of this library gives them the NIC. With NIC82599_FOLDER=DIR it is that of a
// device process; with NIC82599_WIRE=INTERFACE one of the program's own, with NIC82599_VFS functions more. A program
// that forks and lets the child use the NIC needs the former: the latter's state is the process' own.
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "tests/nic82599/board.hpp"
#include "tests/nic82599/bus_protocol.hpp"
#include "tests/nic82599/function_resets.hpp"
#include "tests/nic82599/libc_calls.hpp"
#include "tests/nic82599/local_bus.hpp"
#include "tests/nic82599/remote_bus.hpp"
#include "tests/nic82599/sysfs_tree.hpp"
#include "tests/nic82599/wire_interface.hpp"

namespace nic82599 {
namespace {

// What the environment says, once: programs that this one starts are none of ours.
std::string take(char const* name) {
    char const* const value = std::getenv(name);
    std::string const text = value == nullptr ? "" : value;
    unsetenv(name);
    return text;
}

struct OwnNic {
    OwnNic(std::string const& interface, unsigned vfs)
        : wire(WireInterface::open_interface(interface)),
          board({0x00, 0x1B, 0x21, 0x01, 0x02, 0x03}, vfs,
                [this](std::span<std::uint8_t const> frame) { wire.send(frame); }),
          bus(board),
          sysfs(std::filesystem::temp_directory_path() / ("nic82599." + std::to_string(getpid())), vfs),
          resets(sysfs, board.nic()) {
        for (unsigned vf = 0; vf < vfs; ++vf) {
            sysfs.show(Function::vf(vf));
        }
        wire.listen([this](Frame const& frame) { board.nic().receive(frame); });
    }

    WireInterface wire;
    Board board;
    LocalBus bus;
    SysfsTree sysfs;
    FunctionResets resets;
};

class Preloaded {
  public:
    Preloaded() {
        std::string const folder = take("NIC82599_FOLDER"), wire = take("NIC82599_WIRE"), vfs = take("NIC82599_VFS");
        try {
            if (!folder.empty()) {
                remote_ = std::make_unique<RemoteBus>(folder);
                serve(*remote_, Nic::most_vfs, folder + "/" + sysfs_folder_name);
            } else if (!wire.empty()) {
                unsigned const functions = vfs.empty() ? 0 : static_cast<unsigned>(std::stoul(vfs));
                own_ = std::make_unique<OwnNic>(wire, functions);
                serve(own_->bus, functions, own_->sysfs.folder());
            }
        } catch (std::exception const& error) {
            std::cerr << "nic82599: no NIC: " << error.what() << '\n';
        }
    }
    ~Preloaded() {
        route_libc_calls(nullptr);
        static_cast<void>(remote_.release());  // threads of the program may still be at it
        if (getpid() != owner_) {
            static_cast<void>(own_.release());  // a forked child has none of its threads
        }
    }

  private:
    void serve(Bus& bus, unsigned vfs, std::string const& sysfs) {
        setenv("SYSFS_PCI_DEVICES", sysfs.c_str(), 1);
        vfio_ = std::make_unique<FakeVfio>(bus, vfs);
        route_libc_calls(vfio_.get());
    }

    pid_t owner_ = getpid();
    std::unique_ptr<RemoteBus> remote_;
    std::unique_ptr<OwnNic> own_;
    std::unique_ptr<FakeVfio> vfio_;
} preloaded;

}  // namespace
}  // namespace nic82599
