// SPDX-License-Identifier: BSD-2-Clause
// The server's configuration: one TOML file, /etc/librettos/netserver.toml. conf/netserver.toml documents every
// key; load_config() refuses unknown keys, wrong types and values out of range with file, line and what to write
// instead.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/nic/port_options.hpp"

namespace librettos {

inline constexpr char default_config_path[] = "/etc/librettos/netserver.toml";

// An address with its prefix length, textual parts already checked.
struct Subnet {
    std::string address;  // as inet_pton takes it
    std::uint8_t prefix = 0;
};

struct Config {
    std::string hypervisor = "local";  // or "xen"
    std::string hypervisor_socket = "/run/librettos/hypervisor.sock";
    std::string portmap_authority = "auto";  // or "server", also where the hypervisor has a portmap

    PortOptions port;

    struct Network {
        std::string mac;  // of the shared address; empty: the port's
        std::optional<Subnet> ipv4;
        std::optional<Subnet> ipv6;
        std::string gateway4;
        std::string gateway6;
        std::uint16_t vlan = 0;
        std::string unowned_tcp = "answer";  // or "silent"
        std::string unowned_udp = "answer";
        std::uint32_t replies_per_s = 10'000;
    } network;

    struct Dedicated {
        std::vector<std::string> ipv4;  // the pool: addresses, one per dedicated guest, in the subnet of network.ipv4
        std::vector<std::string> ipv6;  // likewise, taken at the same index
        std::string mac_prefix = "02:4c:52";  // three bytes; the other three are drawn from the guest's name
    } dedicated;

    struct Direct {                     // guests that are switched to a VF
        std::string steering = "none";  // or "bridge", "ixgbe", "kernel"
        std::string bridge;             // interface
        std::string server_port;        // the bridge's port that leads to port.device
        std::string pf;                 // interface, whose driver is the kernel's
        std::vector<std::string> vfs;   // interfaces, the guests' ends of veth pairs; of a NIC PCI addresses
        std::uint32_t rate_mbps = 0;    // of each queue of a VF, with ixgbe
        struct Auto {                   // who has the VFs by load; librettosctl switch GUEST auto
            bool enabled = false;       // for guests of which no operator has said anything
            std::uint32_t promote_mbps = 100;
            std::uint32_t demote_mbps = 20;
            std::uint32_t takeover_percent = 200;
            std::uint32_t window_s = 10;
            std::uint32_t dwell_s = 60;
            std::uint32_t back_off_s = 60;
        } automatic;
    } direct;

    struct Attach {
        std::vector<std::string> names{"*"};   // shell patterns of domain names that are attached; on Xen: none
        std::vector<std::string> dedicated{};  // those of them that may have (if they ask) an address of their own
    } attach;

    struct Limits {  // defaults for a guest; 0: none
        std::uint64_t frames_per_s = 0;
        std::uint64_t bits_per_s = 0;
        std::uint32_t ports = 4096;
        std::uint16_t queues = 4;
        std::uint32_t ring_bytes = 1024 * 1024;
        std::uint32_t guests = 256;
    } limits;

    struct Data {
        std::uint16_t threads = 1;
        std::vector<std::uint16_t> cores;  // to pin them to; empty: not pinned
        // Looking on after the last frame before going to sleep, at most; empty: by what a wake-up takes on this
        // machine.
        std::optional<std::uint32_t> poll_us;
        bool gro = true;
    } data;

    struct Paths {
        std::string api_socket = "/run/librettos/control.sock";
        std::string api_group;  // may use the API besides root; empty: root only
        std::string stats = "/run/librettos/stats";
    } paths;

    struct Log {
        std::string level = "info";  // trace .. critical
    } log;
};

// what() is "file:line:column: text", ready to print.
class ConfigError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// A file's content and what it means.
struct LoadedConfig {
    Config config;
    std::string text;
};

// `name` stands for the file in messages.
Config parse_config(std::string_view text, std::string_view name);
LoadedConfig load_config(std::string const& path);

}  // namespace librettos
