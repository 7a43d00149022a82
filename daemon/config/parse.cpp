// SPDX-License-Identifier: BSD-2-Clause
// TOML text to Config: types, ranges and unknown keys. The only file that includes toml++.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <concepts>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <sstream>
#include <system_error>
#include <utility>

#include <toml++/toml.h>

#include "daemon/api/stats_file.hpp"
#include "daemon/config/check.hpp"
#include "daemon/config/config.hpp"
#include "daemon/config/source_map.hpp"
#include "daemon/config/text.hpp"

namespace librettos {
namespace {

constexpr std::size_t max_file_bytes = 1024 * 1024;
constexpr std::size_t max_list_entries = 4096;

std::string_view type_name(toml::node const& node) {
    switch (node.type()) {
        case toml::node_type::table:
            return "a table";
        case toml::node_type::array:
            return "a list";
        case toml::node_type::string:
            return "a string";
        case toml::node_type::integer:
            return "an integer";
        case toml::node_type::floating_point:
            return "a number with a fraction";
        case toml::node_type::boolean:
            return "a boolean";
        default:
            return "a date or time";
    }
}

// Reads one TOML table into fields. Every key asked for is known; finish() refuses the others.
class TableReader {
  public:
    TableReader(toml::table const* table, std::string path, SourceMap& source)
        : table_(table), path_(std::move(path)), source_(source) {}

    void read(std::string_view key, std::string& value) {
        if (auto const* node = find(key)) {
            value = string_of(*node, dotted(key));
        }
    }

    void read(std::string_view key, bool& value) {
        if (auto const* node = find(key)) {
            if (!node->is_boolean()) {
                wrong_type(dotted(key), *node, "true or false");
            }
            value = node->as_boolean()->get();
        }
    }

    template <std::unsigned_integral T>
    void read(std::string_view key, T& value, std::uint64_t least, std::uint64_t most) {
        if (auto const* node = find(key)) {
            value = static_cast<T>(integer_of(*node, dotted(key), least, most));
        }
    }

    template <std::unsigned_integral T>
    void read(std::string_view key, std::optional<T>& value, std::uint64_t least, std::uint64_t most) {
        if (find(key) != nullptr) {
            read(key, value.emplace(), least, most);
        }
    }

    void read(std::string_view key, std::optional<Subnet>& value) {
        std::string text;
        read(key, text);
        if (source_.has(dotted(key))) {
            value = subnet_of(text, key);
        }
    }

    void read(std::string_view key, std::vector<std::string>& values) {
        each(
            key,
            [&, fresh = true](toml::node const& node, std::string const& at) mutable {
                if (std::exchange(fresh, false)) {
                    values.clear();
                }
                values.push_back(string_of(node, at));
            },
            [&] { values.clear(); });
    }

    void read(std::string_view key, std::vector<std::uint16_t>& values, std::uint64_t least, std::uint64_t most) {
        each(
            key,
            [&](toml::node const& node, std::string const& at) {
                values.push_back(static_cast<std::uint16_t>(integer_of(node, at, least, most)));
            },
            [&] { values.clear(); });
    }

    TableReader table(std::string_view key) {
        auto const* node = find(key);
        if (node != nullptr && !node->is_table()) {
            source_.fail(dotted(key),
                         "is " + std::string(type_name(*node)) + "; write it as a table: [" + dotted(key) + "]");
        }
        return {node == nullptr ? nullptr : node->as_table(), dotted(key), source_};
    }

    void finish() const {
        if (table_ == nullptr) {
            return;
        }
        for (auto const& [key, node] : *table_) {
            if (std::find(known_.begin(), known_.end(), key.str()) == known_.end()) {
                unknown(key);
            }
        }
    }

  private:
    std::string dotted(std::string_view key) const {
        return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
    }

    toml::node const* find(std::string_view key) {
        known_.push_back(key);
        auto const* node = table_ == nullptr ? nullptr : table_->get(key);
        if (node != nullptr) {
            source_.note(dotted(key), node->source().begin.line, node->source().begin.column);
        }
        return node;
    }

    [[noreturn]] void wrong_type(std::string const& at, toml::node const& node, std::string const& wanted) const {
        source_.fail(at, "is " + std::string(type_name(node)) + "; write " + wanted);
    }

    std::string string_of(toml::node const& node, std::string const& at) const {
        if (!node.is_string()) {
            wrong_type(at, node, "a string in quotes");
        }
        std::string const& text = node.as_string()->get();
        if (text.find('\0') != std::string::npos) {
            source_.fail(at, "holds a zero byte; write plain text");
        }
        return text;
    }

    std::uint64_t integer_of(toml::node const& node, std::string const& at, std::uint64_t least,
                             std::uint64_t most) const {
        std::string const wanted = "an integer from " + std::to_string(least) + " to " + std::to_string(most);
        if (!node.is_integer()) {
            wrong_type(at, node, wanted);
        }
        std::int64_t const value = node.as_integer()->get();
        if (value < 0 || static_cast<std::uint64_t>(value) < least || static_cast<std::uint64_t>(value) > most) {
            source_.fail(at, std::to_string(value) + " is out of range; write " + wanted);
        }
        return static_cast<std::uint64_t>(value);
    }

    Subnet subnet_of(std::string const& text, std::string_view key) const {
        auto const slash = text.find('/');
        Subnet subnet{text.substr(0, slash), 0};
        std::string const digits = slash == std::string::npos ? "" : text.substr(slash + 1);
        unsigned prefix = 0;
        auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
        if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size() || prefix > 128) {
            source_.fail(dotted(key), "\"" + text + "\" is not an address with its prefix length; write for example " +
                                          (key == "ipv6" ? "\"2001:db8::10/64\"" : "\"192.0.2.10/24\""));
        }
        subnet.prefix = static_cast<std::uint8_t>(prefix);
        return subnet;
    }

    template <typename Element, typename Clear>
    void each(std::string_view key, Element&& element, Clear&& clear) {
        auto const* node = find(key);
        if (node == nullptr) {
            return;
        }
        if (!node->is_array()) {
            wrong_type(dotted(key), *node, "a list in square brackets");
        }
        toml::array const& array = *node->as_array();
        if (array.size() > max_list_entries) {
            source_.fail(dotted(key), "has more than " + std::to_string(max_list_entries) + " entries; write fewer");
        }
        clear();
        for (std::size_t i = 0; i < array.size(); ++i) {
            std::string const at = dotted(key) + "[" + std::to_string(i) + "]";
            source_.note(at, array[i].source().begin.line, array[i].source().begin.column);
            element(array[i], at);
        }
    }

    [[noreturn]] void unknown(toml::key const& key) const {
        std::string text = "unknown key \"" + dotted(key.str()) + "\"; ";
        if (auto const near = nearest_word(key.str(), known_); !near.empty()) {
            text += "write \"" + std::string(near) + "\" if that is meant, or remove it";
        } else {
            text += "remove it (the keys here are:";
            for (auto const word : known_) {
                text += " " + std::string(word);
            }
            text += ")";
        }
        source_.fail_at(key.source().begin.line, key.source().begin.column, text);
    }

    toml::table const* table_;
    std::string path_;
    SourceMap& source_;
    std::vector<std::string_view> known_;
};

void read_port(TableReader table, PortOptions& port) {
    table.read("device", port.device);
    table.read("eal", port.eal);
    table.read("huge_pages", port.huge_pages);
    table.read("memory_mib", port.memory_mib, 32, 1024 * 1024);
    table.read("mtu_bytes", port.mtu_bytes, 1280, 9000);
    table.read("buffers", port.buffers, 1024, 4 * 1024 * 1024);
    table.read("descriptors", port.descriptors, 64, 4096);
    table.read("promiscuous", port.promiscuous);
    table.finish();
}

void read_network(TableReader table, Config::Network& network) {
    table.read("mac", network.mac);
    table.read("ipv4", network.ipv4);
    table.read("ipv6", network.ipv6);
    table.read("gateway4", network.gateway4);
    table.read("gateway6", network.gateway6);
    table.read("vlan", network.vlan, 0, 4094);
    table.read("unowned_tcp", network.unowned_tcp);
    table.read("unowned_udp", network.unowned_udp);
    table.read("replies_per_s", network.replies_per_s, 0, 10'000'000);
    table.finish();
}

void read_direct(TableReader table, Config::Direct& direct) {
    table.read("steering", direct.steering);
    table.read("bridge", direct.bridge);
    table.read("server_port", direct.server_port);
    table.read("pf", direct.pf);
    table.read("vfs", direct.vfs);
    table.read("rate_mbps", direct.rate_mbps, 0, 10'000);
    TableReader automatic = table.table("auto");
    automatic.read("enabled", direct.automatic.enabled);
    automatic.read("promote_mbps", direct.automatic.promote_mbps, 1, 1'000'000);
    automatic.read("demote_mbps", direct.automatic.demote_mbps, 0, 1'000'000);
    automatic.read("takeover_percent", direct.automatic.takeover_percent, 110, 10'000);
    automatic.read("window_s", direct.automatic.window_s, 1, 3600);
    automatic.read("dwell_s", direct.automatic.dwell_s, 1, 86'400);
    automatic.read("back_off_s", direct.automatic.back_off_s, 1, 3600);
    automatic.finish();
    table.finish();
}

void read_guests(TableReader& root, Config& config) {
    TableReader dedicated = root.table("dedicated");
    dedicated.read("ipv4", config.dedicated.ipv4);
    dedicated.read("ipv6", config.dedicated.ipv6);
    dedicated.read("mac_prefix", config.dedicated.mac_prefix);
    dedicated.finish();

    TableReader attach = root.table("attach");
    attach.read("names", config.attach.names);
    attach.read("dedicated", config.attach.dedicated);
    attach.finish();

    constexpr std::uint64_t any_rate = std::numeric_limits<std::int64_t>::max();
    TableReader limits = root.table("limits");
    limits.read("frames_per_s", config.limits.frames_per_s, 0, any_rate);
    limits.read("bits_per_s", config.limits.bits_per_s, 0, any_rate);
    limits.read("ports", config.limits.ports, 0, 131072);
    limits.read("queues", config.limits.queues, 1, 16);
    limits.read("ring_bytes", config.limits.ring_bytes, 64 * 1024, 16 * 1024 * 1024);
    limits.read("guests", config.limits.guests, 1, 1023);
    limits.finish();
}

void read_data(TableReader table, Config::Data& data) {
    table.read("threads", data.threads, 1, max_data_threads);
    table.read("cores", data.cores, 0, 4095);
    table.read("poll_us", data.poll_us, 0, 1'000'000);
    table.read("gro", data.gro);
    table.finish();
}

void read_paths(TableReader table, Config::Paths& paths) {
    table.read("api_socket", paths.api_socket);
    table.read("api_group", paths.api_group);
    table.read("stats", paths.stats);
    table.finish();
}

Config read_root(toml::table const& parsed, SourceMap& source) {
    Config config;
    TableReader root(&parsed, "", source);
    root.read("hypervisor", config.hypervisor);
    root.read("hypervisor_socket", config.hypervisor_socket);
    root.read("portmap_authority", config.portmap_authority);
    if (config.hypervisor == "xen") {
        config.attach.names.clear();  // there are domains of all kinds: only those that are named
    }
    read_port(root.table("port"), config.port);
    read_network(root.table("network"), config.network);
    read_guests(root, config);
    read_direct(root.table("direct"), config.direct);
    read_data(root.table("data"), config.data);
    read_paths(root.table("paths"), config.paths);
    TableReader log = root.table("log");
    log.read("level", config.log.level);
    log.finish();
    root.finish();
    return config;
}

}  // namespace

Config parse_config(std::string_view text, std::string_view name) {
    SourceMap source(name);
    if (text.size() > max_file_bytes) {
        source.fail_at(1, 1, "the file is larger than 1 MiB; is it the right one?");
    }
    toml::table parsed;
    try {
        parsed = toml::parse(text, name);
    } catch (toml::parse_error const& error) {
        auto const& at = error.source().begin;
        source.fail_at(at.line, at.column, std::string(error.description()));
    }
    Config config = read_root(parsed, source);
    check_config(config, source);
    return config;
}

LoadedConfig load_config(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream content;
    // An empty file makes the extraction fail without an error of its own: it is reported by what it lacks.
    if (!file || (file.peek() != std::ifstream::traits_type::eof() && !(content << file.rdbuf())) || file.bad()) {
        int const error = errno;
        throw ConfigError(path + ": cannot be read: " + std::generic_category().message(error) +
                          "; write a configuration there or name another with --config");
    }
    std::string text = content.str();
    Config config = parse_config(text, path);
    return {std::move(config), std::move(text)};
}

}  // namespace librettos
