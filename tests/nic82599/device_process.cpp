// SPDX-License-Identifier: BSD-2-Clause
// The NIC in a process of its own, driven by others: nic82599-device --folder DIR [--vfs N] [--mac MAC] [--wire NAME].
// Programs find it by NIC82599_FOLDER=DIR and the preloaded library. It says "ready" on its output, takes commands on
// its input, one a line, answered by one line each, and ends with its input.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

#include "tests/nic82599/board.hpp"
#include "tests/nic82599/function_resets.hpp"
#include "tests/nic82599/sessions.hpp"
#include "tests/nic82599/sysfs_tree.hpp"
#include "tests/nic82599/wire_interface.hpp"

namespace nic82599 {
namespace {

constexpr char const* usage =
    "usage: nic82599-device --folder DIR [--vfs N] [--mac XX:XX:XX:XX:XX:XX] [--wire INTERFACE]\n"
    "commands: link up|down, module in|out, mailbox silent|heard, dma-fault N, reset pf|VF, remove pf|VF, return "
    "pf|VF,\n"
    "          show VF, peek OFFSET, events\n";

struct Options {
    std::string folder, wire;
    unsigned vfs = 0;
    Eeprom::Mac mac{0x00, 0x1B, 0x21, 0x01, 0x02, 0x03};
};

bool parse_mac(std::string const& text, Eeprom::Mac& mac) {
    char end = 0;
    return std::sscanf(text.c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx%c", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
                       &mac[5], &end) == 6;
}

bool parse(int argc, char** argv, Options& options) {
    for (int i = 1; i + 1 < argc; i += 2) {
        std::string const name = argv[i], value = argv[i + 1];
        if (name == "--folder") {
            options.folder = value;
        } else if (name == "--wire") {
            options.wire = value;
        } else if (name == "--vfs") {
            options.vfs = static_cast<unsigned>(std::stoul(value));
        } else if (name != "--mac" || !parse_mac(value, options.mac)) {
            return false;
        }
    }
    return argc % 2 == 1 && !options.folder.empty() && options.vfs <= Nic::most_vfs;
}

std::string describe(Events const& events) {
    std::ostringstream text;
    text << "received " << events.received << " filtered " << events.filtered << " delivered " << events.delivered
         << " looped_back " << events.looped_back << " transmitted " << events.transmitted << " spoofed "
         << events.spoofed << " queue_disabled " << events.queue_disabled << " queue_full " << events.queue_full
         << " missed " << events.missed << " bad_requests " << events.bad_requests << " dma_faults "
         << events.dma_faults;
    return text.str();
}

std::string carry_out(std::string const& line, Nic& nic, SysfsTree const& sysfs, WireInterface* wire) {
    std::istringstream words(line);
    std::string command, argument;
    words >> command >> argument;
    if (command == "link" && (argument == "up" || argument == "down")) {
        nic.set_link(argument == "up");
    } else if (command == "module" && (argument == "in" || argument == "out")) {
        nic.set_module_present(argument == "in");
    } else if (command == "mailbox" && (argument == "silent" || argument == "heard")) {
        nic.set_mailbox_silent(argument == "silent");
    } else if (command == "dma-fault") {
        nic.fail_dma(static_cast<unsigned>(std::stoul(argument)));
    } else if (command == "reset") {
        nic.function_level_reset(argument == "pf" ? Function::pf()
                                                  : Function::vf(static_cast<unsigned>(std::stoul(argument))));
    } else if ((command == "remove" || command == "return") && argument == "pf") {
        nic.set_removed(command == "remove");
    } else if (command == "remove" || command == "return") {
        nic.set_vf_removed(static_cast<unsigned>(std::stoul(argument)), command == "remove");
    } else if (command == "show") {
        sysfs.show(Function::vf(static_cast<unsigned>(std::stoul(argument))));
    } else if (command == "peek") {
        return std::to_string(nic.peek(static_cast<reg::Offset>(std::stoul(argument, nullptr, 0))));
    } else if (command == "events") {
        auto const dropped = wire != nullptr ? wire->dropped() : WireInterface::Dropped{};
        return describe(nic.events()) + " before_wire " + std::to_string(dropped.in) + " behind_wire " +
               std::to_string(dropped.out);
    } else {
        return "unknown command";
    }
    return "done";
}

void run(Options const& options) {
    SysfsTree const sysfs(options.folder + "/" + sysfs_folder_name, options.vfs);
    std::unique_ptr<WireInterface> wire;
    if (!options.wire.empty()) {
        wire = std::make_unique<WireInterface>(WireInterface::open_interface(options.wire));
    }
    Board board(options.mac, options.vfs, [&wire](std::span<std::uint8_t const> frame) {
        if (wire) {
            wire->send(frame);
        }
    });
    if (wire) {
        wire->listen([&board](Frame const& frame) { board.nic().receive(frame); });
    }
    FunctionResets const resets(sysfs, board.nic());
    Sessions sessions(board);
    sessions.serve(options.folder + "/" + bus_socket_name);
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        try {
            std::cout << carry_out(line, board.nic(), sysfs, wire.get()) << std::endl;
        } catch (std::logic_error const&) {
            std::cout << "not a number" << std::endl;
        }
    }
    // Sessions still have threads in here: no destructor must pull the board from under them.
    std::error_code none;
    std::filesystem::remove_all(sysfs.folder(), none);
    std::filesystem::remove(options.folder + "/" + bus_socket_name, none);
    std::_Exit(0);
}

}  // namespace
}  // namespace nic82599

int main(int argc, char** argv) {
    nic82599::Options options;
    try {
        if (!nic82599::parse(argc, argv, options)) {
            std::cerr << nic82599::usage;
            return 2;
        }
        nic82599::run(options);
    } catch (std::exception const& error) {
        std::cerr << "nic82599-device: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
