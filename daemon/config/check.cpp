// SPDX-License-Identifier: BSD-2-Clause
// What values mean together: addresses against subnets, buffers against memory, words against their lists.
#include "daemon/config/check.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <initializer_list>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/config/text.hpp"

namespace librettos {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;
constexpr bool xen_is_built = LIBRETTOS_WITH_XEN;

void one_of(SourceMap const& source, std::string const& key, std::string const& value,
            std::initializer_list<std::string_view> allowed) {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) {
        return;
    }
    std::string list;
    for (auto const word : allowed) {
        list += (list.empty() ? "\"" : ", \"") + std::string(word) + "\"";
    }
    source.fail(key, "\"" + value + "\" is not known; write one of " + list);
}

void absolute_path(SourceMap const& source, std::string const& key, std::string const& path, std::size_t longest) {
    if (path.empty() || path.front() != '/') {
        source.fail(key, "\"" + path + "\" is not an absolute path; write one that begins with /");
    }
    if (path.size() > longest) {
        source.fail(key, "is longer than " + std::to_string(longest) + " bytes; write a shorter path");
    }
}

void check_paths(Config const& config, SourceMap const& source) {
    constexpr std::size_t longest_socket = 107;  // sun_path
    constexpr std::size_t process_id = 8;        // ".4194304", while it is made
    constexpr std::size_t longest_file = 1024;
    absolute_path(source, "hypervisor_socket", config.hypervisor_socket, longest_socket);
    absolute_path(source, "paths.api_socket", config.paths.api_socket, longest_socket - process_id);
    absolute_path(source, "paths.stats", config.paths.stats, longest_file);
    if (config.paths.stats == config.paths.api_socket) {
        source.fail("paths.stats", "is paths.api_socket, too; write another path");
    }
}

// The shared address of one family, its prefix and its gateway.
struct Family {
    char const* key;          // "network.ipv4"
    char const* gateway_key;  // "network.gateway4"
    char const* pool_key;     // "dedicated.ipv4"
    std::optional<Subnet> const& subnet;
    std::string const& gateway;
    std::vector<std::string> const& pool;
    std::optional<IpBytes> (*parse)(std::string_view);
    unsigned bits;
    char const* example;
};

bool usable_host(IpBytes const& address) {
    if (address.length == 4) {
        return address.bytes[0] != 0 && address.bytes[0] != 127 && address.bytes[0] < 224;
    }
    bool const loopback_or_unset =
        std::all_of(address.bytes.begin(), address.bytes.end() - 1, [](std::uint8_t byte) { return byte == 0; }) &&
        address.bytes.back() <= 1;
    return address.bytes[0] != 0xff && !loopback_or_unset;
}

bool link_local(IpBytes const& address) {
    return address.length == 16 && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

IpBytes host_address(Family const& family, SourceMap const& source, std::string const& key, std::string const& text) {
    auto const address = family.parse(text);
    if (!address || !usable_host(*address)) {
        source.fail(key, "\"" + text + "\" is not a host's address; write for example \"" + family.example + "\"");
    }
    return *address;
}

// A network's own or its broadcast address cannot be a host's, except in subnets of one or two addresses.
void not_the_subnets_own(Family const& family, SourceMap const& source, std::string const& key, IpBytes const& address,
                         unsigned prefix) {
    bool const broadcast = address.length == 4 && host_bits_are(address, prefix, true);
    if (prefix + 1 < family.bits && (host_bits_are(address, prefix, false) || broadcast)) {
        source.fail(key, "is the network's own or its broadcast address; write an address of a host in it");
    }
}

void check_pool(Family const& family, SourceMap const& source, IpBytes const& shared,
                std::optional<IpBytes> const& gateway) {
    std::set<std::array<std::uint8_t, 16>> seen;
    for (std::size_t i = 0; i < family.pool.size(); ++i) {
        std::string const key = std::string(family.pool_key) + "[" + std::to_string(i) + "]";
        IpBytes const address = host_address(family, source, key, family.pool[i]);
        if (!same_subnet(address, shared, family.subnet->prefix)) {
            source.fail(key, "\"" + family.pool[i] + "\" is outside the subnet of " + family.key + " (" +
                                 family.subnet->address + "/" + std::to_string(family.subnet->prefix) +
                                 "); write an address of that subnet");
        }
        not_the_subnets_own(family, source, key, address, family.subnet->prefix);
        if (address == shared) {
            source.fail(key, "is the shared address of " + std::string(family.key) + "; write another");
        }
        if (gateway && address == *gateway) {
            source.fail(key, "is the gateway's address; write another");
        }
        if (!seen.insert(address.bytes).second) {
            source.fail(key, "\"" + family.pool[i] + "\" is in the list twice; remove one");
        }
    }
}

void check_family(Family const& family, SourceMap const& source) {
    if (!family.subnet) {
        if (!family.gateway.empty()) {
            source.fail(family.gateway_key,
                        "needs " + std::string(family.key) + "; write that too or remove the gateway");
        }
        if (!family.pool.empty()) {
            source.fail(family.pool_key, "needs " + std::string(family.key) + "; write that too or remove the pool");
        }
        return;
    }
    unsigned const prefix = family.subnet->prefix;
    if (prefix < 1 || prefix > family.bits) {
        source.fail(family.key, "a prefix length of " + std::to_string(prefix) + " is out of range; write 1 to " +
                                    std::to_string(family.bits));
    }
    IpBytes const shared = host_address(family, source, family.key, family.subnet->address);
    not_the_subnets_own(family, source, family.key, shared, prefix);
    std::optional<IpBytes> gateway;
    if (!family.gateway.empty()) {
        gateway = host_address(family, source, family.gateway_key, family.gateway);
        if (!same_subnet(*gateway, shared, prefix) && !link_local(*gateway)) {
            source.fail(family.gateway_key, "\"" + family.gateway + "\" is outside the subnet of " + family.key + " (" +
                                                family.subnet->address + "/" + std::to_string(prefix) +
                                                "); write the router's address in that subnet");
        }
        if (*gateway == shared) {
            source.fail(family.gateway_key, "is the shared address itself; write the router's address");
        }
    }
    check_pool(family, source, shared, gateway);
}

void check_network(Config const& config, SourceMap const& source) {
    Config::Network const& network = config.network;
    std::array<std::uint8_t, 6> mac{};
    if (!network.mac.empty()) {
        if (!parse_hex_bytes(network.mac, mac) || (mac[0] & 1) != 0 || mac == std::array<std::uint8_t, 6>{}) {
            source.fail("network.mac",
                        "\"" + network.mac + "\" is not a unicast MAC; write for example \"02:4c:52:00:00:01\"");
        }
    }
    std::array<std::uint8_t, 3> prefix{};
    if (!parse_hex_bytes(config.dedicated.mac_prefix, prefix) || (prefix[0] & 1) != 0) {
        source.fail("dedicated.mac_prefix",
                    "\"" + config.dedicated.mac_prefix +
                        "\" is not the first half of a unicast MAC; write for example \"02:4c:52\"");
    }
    if (!network.ipv4 && !network.ipv6) {
        source.fail("network",
                    "has no address; write ipv4 = \"192.0.2.10/24\" or ipv6 = \"2001:db8::10/64\" under [network]");
    }
    check_family({"network.ipv4", "network.gateway4", "dedicated.ipv4", network.ipv4, network.gateway4,
                  config.dedicated.ipv4, parse_ipv4, 32, "192.0.2.20"},
                 source);
    check_family({"network.ipv6", "network.gateway6", "dedicated.ipv6", network.ipv6, network.gateway6,
                  config.dedicated.ipv6, parse_ipv6, 128, "2001:db8::20"},
                 source);
    one_of(source, "network.unowned_tcp", network.unowned_tcp, {"answer", "silent"});
    one_of(source, "network.unowned_udp", network.unowned_udp, {"answer", "silent"});
}

void check_patterns(std::vector<std::string> const& patterns, std::string const& key, SourceMap const& source) {
    for (std::size_t i = 0; i < patterns.size(); ++i) {
        if (patterns[i].empty() || patterns[i].size() > 255) {
            source.fail(key + "[" + std::to_string(i) + "]",
                        "is empty or longer than 255 bytes; write a shell pattern of domain names such as \"web-*\"");
        }
    }
}

bool is_interface_name(std::string const& name, std::size_t longest) {
    bool const odd =
        std::any_of(name.begin(), name.end(), [](unsigned char c) { return c <= ' ' || c > '~' || c == '/'; });
    return !name.empty() && name.size() <= longest && !odd && name != "." && name != "..";
}

void interface_name(SourceMap const& source, std::string const& key, std::string const& name, std::size_t longest) {
    if (!is_interface_name(name, longest)) {
        source.fail(key, "\"" + name + "\" is no interface's name; write 1 to " + std::to_string(longest) +
                             " characters without blanks and slashes");
    }
}

constexpr std::size_t longest_interface = 15;  // IFNAMSIZ

void check_bridge(Config::Direct const& direct, SourceMap const& source) {
    constexpr std::size_t longest_vf = longest_interface - 1;  // its other end is named after it
    for (auto const& [key, name] :
         {std::pair("direct.bridge", direct.bridge), std::pair("direct.server_port", direct.server_port)}) {
        if (name.empty()) {
            source.fail(key,
                        "is missing; direct.steering = \"bridge\" needs it, for example " +
                            std::string(key == std::string("direct.bridge")
                                            ? "bridge = \"br0\""
                                            : "server_port = \"lvif0b\", the bridge's port that leads to port.device"));
        }
        interface_name(source, key, name, longest_interface);
    }
    std::set<std::string> seen{direct.bridge, direct.server_port};
    for (std::size_t i = 0; i < direct.vfs.size(); ++i) {
        std::string const key = "direct.vfs[" + std::to_string(i) + "]";
        interface_name(source, key, direct.vfs[i], longest_vf);
        if (!seen.insert(direct.vfs[i]).second || !seen.insert(direct.vfs[i] + "b").second) {
            source.fail(key, "\"" + direct.vfs[i] + "\" and its other end \"" + direct.vfs[i] +
                                 "b\" must have names that nothing else has; write another");
        }
    }
}

void check_pci_vfs(Config::Direct const& direct, SourceMap const& source) {
    std::set<std::string> seen;
    for (std::size_t i = 0; i < direct.vfs.size(); ++i) {
        std::string const key = "direct.vfs[" + std::to_string(i) + "]", &vf = direct.vfs[i];
        constexpr std::string_view shape = "hhhh:hh:hh.o";
        bool fits = vf.size() == shape.size();
        for (std::size_t at = 0; fits && at < shape.size(); ++at) {
            fits = shape[at] == 'h'   ? std::isxdigit(static_cast<unsigned char>(vf[at])) != 0
                   : shape[at] == 'o' ? vf[at] >= '0' && vf[at] <= '7'
                                      : vf[at] == shape[at];
        }
        if (!fits || !seen.insert(vf).second) {
            source.fail(key, "\"" + vf + "\" is no PCI address, or there twice; write one as in \"0000:01:10.0\"");
        }
    }
}

void check_kernel(Config::Direct const& direct, SourceMap const& source) {
    if (direct.pf.empty()) {
        source.fail("direct.pf",
                    "is missing; direct.steering = \"kernel\" needs the PF's interface, for example pf = \"eth1\"");
    }
    interface_name(source, "direct.pf", direct.pf, longest_interface);
    check_pci_vfs(direct, source);
}

void check_direct(Config const& config, SourceMap const& source) {
    constexpr std::size_t most_vfs = 64;
    auto const& direct = config.direct;
    if (direct.automatic.demote_mbps >= direct.automatic.promote_mbps) {
        source.fail("direct.auto.demote_mbps",
                    std::to_string(direct.automatic.demote_mbps) + " is not below direct.auto.promote_mbps (" +
                        std::to_string(direct.automatic.promote_mbps) +
                        "), and guests would move to and fro; write less, a fifth of that for example");
    }
    one_of(source, "direct.steering", direct.steering, {"none", "bridge", "ixgbe", "kernel"});
    if (direct.steering == "none") {
        return;
    }
    bool const bridge = direct.steering == "bridge";
    std::string const example = bridge ? "vfs = [\"vf0\", \"vf1\"]" : "vfs = [\"0000:01:10.0\", \"0000:01:10.2\"]";
    if (bridge) {
        check_bridge(direct, source);
    } else if (direct.steering == "kernel") {
        check_kernel(direct, source);
    } else {
        check_pci_vfs(direct, source);
    }
    if (direct.vfs.empty() || direct.vfs.size() > most_vfs) {
        source.fail("direct.vfs", "names " + std::to_string(direct.vfs.size()) + " VFs; write 1 to " +
                                      std::to_string(most_vfs) + ", for example " + example);
    }
}

void check_device(std::string const& device, SourceMap const& source) {
    if (device.empty()) {
        source.fail(
            "port.device",
            "is missing; write a Linux interface, for example device = \"eth1\", or a PCI address under [port]");
    }
    if (device.starts_with("net_af_packet")) {
        // It cannot go on where a process was killed, and puts fragments together that are longer than its frames.
        std::string const interface = "iface=";
        auto const at = device.find(interface);
        std::string const name = at == std::string::npos ? "eth1" : device.substr(at + interface.size());
        source.fail("port.device", "\"" + device +
                                       "\": Linux interfaces are used without that driver of DPDK's; write \"" +
                                       name.substr(0, name.find(',')) + "\"");
    }
    bool const of_dpdk = device.starts_with("net_") || device.find(':') != std::string::npos;
    if (!of_dpdk && (!is_interface_name(device, longest_interface) || device.find(',') != std::string::npos)) {
        source.fail("port.device", "\"" + device +
                                       "\" is neither a Linux interface (\"eth1\", at most 15 characters), nor a PCI "
                                       "address (\"0000:03:00.0\"), nor a device of DPDK's (\"net_...\")");
    }
}

void check_buffers(Config const& config, SourceMap const& source) {
    PortOptions const& port = config.port;
    // Per queue: both descriptor rings full, two bursts in flight and one cache per data thread.
    constexpr std::uint64_t per_thread_extra = 2048;
    std::uint64_t const least_buffers = config.data.threads * (2ULL * port.descriptors + per_thread_extra);
    if (port.buffers < least_buffers) {
        source.fail("port.buffers", std::to_string(port.buffers) + " is too few for " +
                                        std::to_string(config.data.threads) + " data thread(s) with " +
                                        std::to_string(port.descriptors) + " descriptors each; write at least " +
                                        std::to_string(least_buffers));
    }
    constexpr std::uint64_t overhead_bytes = 512;  // mbuf, headroom, headers of the pool
    constexpr std::uint64_t rest_mib = 16;         // rings, queues, the driver's own
    std::uint64_t const need_mib = port.buffers * (port.mtu_bytes + overhead_bytes) / mib + rest_mib;
    if (port.memory_mib < need_mib) {
        source.fail("port.memory_mib", std::to_string(port.memory_mib) + " is too little for " +
                                           std::to_string(port.buffers) + " buffers at an MTU of " +
                                           std::to_string(port.mtu_bytes) + "; write at least " +
                                           std::to_string(need_mib) + " or fewer port.buffers");
    }
}

void check_data(Config const& config, SourceMap const& source) {
    auto const& cores = config.data.cores;
    if (!cores.empty() && cores.size() != config.data.threads) {
        source.fail("data.cores", "names " + std::to_string(cores.size()) + " cores for " +
                                      std::to_string(config.data.threads) +
                                      " data thread(s); write one core for each thread, or none");
    }
    for (std::size_t i = 0; i < cores.size(); ++i) {
        if (std::find(cores.begin(), cores.begin() + static_cast<std::ptrdiff_t>(i), cores[i]) !=
            cores.begin() + static_cast<std::ptrdiff_t>(i)) {
            source.fail("data.cores[" + std::to_string(i) + "]",
                        "core " + std::to_string(cores[i]) + " is in the list twice; write another");
        }
    }
    std::uint32_t const ring = config.limits.ring_bytes;
    if ((ring & (ring - 1)) != 0) {
        source.fail("limits.ring_bytes",
                    std::to_string(ring) + " is not a power of two; write 262144, 524288, 1048576 or the like");
    }
}

}  // namespace

void check_config(Config const& config, SourceMap const& source) {
    one_of(source, "hypervisor", config.hypervisor, {"local", "xen"});
    if (config.hypervisor == "xen" && !xen_is_built) {
        source.fail("hypervisor",
                    "\"xen\" is not in this build; install libxen-dev and build again, or write \"local\"");
    }
    one_of(source, "portmap_authority", config.portmap_authority, {"auto", "server"});
    check_device(config.port.device, source);
    check_paths(config, source);
    check_network(config, source);
    check_patterns(config.attach.names, "attach.names", source);
    check_patterns(config.attach.dedicated, "attach.dedicated", source);
    check_direct(config, source);
    check_buffers(config, source);
    check_data(config, source);
    one_of(source, "log.level", config.log.level, {"trace", "debug", "info", "warning", "error", "critical"});
}

}  // namespace librettos
