// SPDX-License-Identifier: BSD-2-Clause
// The control API: the server's state and its ports.
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include <iterator>
#include <vector>

#include "daemon/engine/control/api_commands.hpp"
#include "daemon/engine/control/api_error.hpp"
#include "daemon/engine/control/strict_text.hpp"
#include "daemon/engine/object/inspect.hpp"
#include "drivers/unique_fd.hpp"

namespace librettos::control {

namespace {

using Json = ApiCommands::Json;

std::size_t count_fds() {
    auto* const directory = opendir("/proc/self/fd");
    if (directory == nullptr)
        return 0;
    std::size_t count = 0;
    while (auto const* const entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1;  // without the directory's own
}

Json text_or_null(std::string const& text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

Json mbufs_json(EngineBoot const& boot) {
    auto const use = count_mbufs(boot.pool);
    std::uint64_t lost = 0;
    for (std::size_t t = 0; boot.stats != nullptr && t < boot.data_threads && t < max_data_threads; ++t)
        lost += boot.stats->thread[t].mbufs_lost.load(std::memory_order_relaxed);
    return {{"total", use.total}, {"in_use", use.in_use}, {"lost", lost}};
}

// What is installed where the holder takes engines from, and how it would come to run.
Json installed_json(EngineBoot::Release const& release) {
    UniqueFd const file(open(release.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file)
        return nullptr;
    try {
        auto const installed = inspect_engine(file.get());
        bool const same = installed.version == release.engine && installed.build == release.build;
        char const* runs = same ? "now" : "after a reload";
        if (!misfit(installed.contract, own_contract()).empty())
            runs = "after a restart";
        else if (!same && installed.build == release.given_up)
            runs = "given up";
        return {{"version", installed.version}, {"build", installed.build}, {"runs", runs}};
    } catch (EngineObjectError const&) {
        return nullptr;
    }
}

Json engine_json(EngineBoot::Release const& release) {
    return {{"version", release.engine},
            {"build", release.build},
            {"path", release.path},
            {"installed", installed_json(release)},
            {"refused", text_or_null(release.refused)}};
}

std::vector<std::uint8_t> protocols_of(Json const& request) {
    auto const protocol = request.value("protocol", Json(nullptr));
    if (protocol.is_null())
        return {IPPROTO_TCP, IPPROTO_UDP};
    if (protocol == "tcp")
        return {IPPROTO_TCP};
    if (protocol == "udp")
        return {IPPROTO_UDP};
    throw ApiError("bad-request", "'protocol' is neither \"tcp\" nor \"udp\"", "leave it out for both");
}

}  // namespace

Json ApiCommands::port_status() const {
    auto const& port = boot_.port;
    auto offloads = Json::array();
    auto const add = [&](bool has, char const* name) {
        if (has)
            offloads.push_back(name);
    };
    add(port.tx_ip_checksum, "tx_ip_checksum");
    add(port.tx_tcp_checksum, "tx_tcp_checksum");
    add(port.tx_tso, "tx_tso");
    add(port.rx_checksum, "rx_checksum");
    add(port.rx_lro, "rx_lro");
    add(port.rx_interrupt, "rx_interrupt");
    return {{"device", port.device},
            {"driver", port.driver},
            {"mac", to_text(MacAddress{port.mac})},
            {"link", link_.up ? "up" : "down"},
            {"speed_mbps", link_.speed_mbps == 0 ? Json() : Json(link_.speed_mbps)},
            {"mtu_bytes", port.mtu_bytes},
            {"queues", port.queues},
            {"offloads", offloads}};
}

Json ApiCommands::network_status() const {
    auto const& network = config_.network;
    auto const subnet = [](std::optional<Subnet> const& value) {
        return value ? Json(value->address + "/" + std::to_string(value->prefix)) : Json(nullptr);
    };
    return {{"ipv4", subnet(network.ipv4)},
            {"ipv6", subnet(network.ipv6)},
            {"gateway4", text_or_null(network.gateway4)},
            {"gateway6", text_or_null(network.gateway6)},
            {"mac", network.mac.empty() ? to_text(MacAddress{boot_.port.mac}) : network.mac},
            {"vlan", network.vlan}};
}

Json ApiCommands::direct_status() const {
    std::size_t in_use = 0;
    std::size_t direct = 0;
    std::size_t automatic = 0;
    Json decision = nullptr;
    if (guests_ != nullptr) {
        for (auto const& vf : guests_->vfs().all())
            in_use += vf.owner.has_value();
        for (auto const& [domain, guest] : guests_->all()) {
            direct += guest->vf_switch().step() == VfSwitch::Step::direct;
            automatic += guest->automatic() && guest->offer().mode == GuestMode::dedicated;
        }
        if (auto const& last = guests_->auto_switch().last())
            decision = {{"guest", last->guest},
                        {"to", last->to_direct ? "direct" : "server"},
                        {"reason", last->reason},
                        {"age_s", std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - last->at).count()}};
    }
    return {{"steering", config_.direct.steering},
            {"vfs", guests_ != nullptr ? guests_->vfs().all().size() : 0},
            {"in_use", in_use},
            {"guests", direct},
            {"auto", {{"guests", automatic}, {"last", decision}}}};
}

Json ApiCommands::status() {
    Json json;
    json["version"] = boot_.release.engine;
    json["holder_version"] = boot_.release.holder;
    json["engine"] = engine_json(boot_.release);
    json["hypervisor"] = hypervisor_ != nullptr ? std::string(hypervisor_->name()) : config_.hypervisor;
    json["hypervisor_connected"] = hypervisor_ != nullptr;
    json["portmap_authority"] =
        hypervisor_ != nullptr ? Json(std::string(hypervisor_->portmap_authority())) : Json(nullptr);
    json["pid"] = getpid();
    json["holder_pid"] = getppid();
    json["uptime_s"] = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_).count();
    json["engine_generation"] = boot_.generation;
    json["port"] = port_status();
    json["network"] = network_status();
    json["data_threads"] = boot_.data_threads;
    json["poll_us"] = poll_limit_us(config_.data.poll_us, boot_.wake_up_ns);
    json["wake_up_us"] = boot_.wake_up_ns / 1000;
    std::size_t connected = 0;
    std::size_t connecting = 0;
    std::size_t detached = 0;
    if (guests_ != nullptr) {
        for (auto const& [domain, guest] : guests_->all()) {
            connected += guest->phase() == Guest::Phase::connected;
            connecting += guest->phase() == Guest::Phase::waiting;
            detached += guest->phase() == Guest::Phase::detached || guest->phase() == Guest::Phase::letting_go;
        }
    }
    json["guests"] = {{"connected", connected},
                      {"connecting", connecting},
                      {"detached", detached},
                      {"breaches", guests_ != nullptr ? guests_->breaches() : 0}};
    auto const ports = hypervisor_ != nullptr ? sum_ports(hypervisor_->portmap()) : PortSums{};
    json["ports"] = {
        {"tcp_bound", ports.tcp_bound}, {"udp_bound", ports.udp_bound}, {"quarantined", ports.quarantined}};
    json["mbufs"] = mbufs_json(boot_);
    json["direct"] = direct_status();
    auto const readopted = guests_ != nullptr ? guests_->readopted() : Readopted{};
    json["readopted"] = {{"guests", readopted.guests}, {"ms", readopted.ms}};
    json["resources"] = {{"fds", count_fds()},
                         {"mappings", guests_ != nullptr ? guests_->mappings() : 0},
                         {"watches", guests_ != nullptr ? Guests::watches : 0}};
    return json;
}

// Guests that are attached by name; the portmap knows more, but one query for each port would be many.
std::string ApiCommands::domain_name(DomId domain) const {
    auto const found = guests_->all().find(domain);
    return found == guests_->all().end() ? std::string() : found->second->name();
}

Json ApiCommands::list_ports(Json const& request) {
    require_hypervisor();
    std::optional<DomId> owner;
    if (request.contains("guest"))
        owner = named_guest(request).domain();
    auto list = Json::array();
    for (auto const protocol : {IPPROTO_TCP, IPPROTO_UDP}) {
        for (auto const& range : port_ranges(hypervisor_->portmap(), static_cast<std::uint8_t>(protocol), owner)) {
            bool const owned = range.state == LVIF_PORT_BOUND || range.state == LVIF_PORT_QUARANTINED;
            auto name = owned ? domain_name(range.owner) : std::string();
            if (owned && name.empty())
                name = hypervisor_->query_port(range.protocol, range.first).owner_name;
            Json json;  // key by key: initializer lists cost several times as much, and there may be 131,072 of these
            json["protocol"] = protocol_text(range.protocol);
            json["first"] = range.first;
            json["last"] = range.last;
            json["state"] = to_text(range.state);
            json["owner"] = text_or_null(name);
            json["domain"] = owned ? Json(range.owner.value) : Json(nullptr);
            json["leased"] = range.leased;
            list.push_back(std::move(json));
        }
    }
    return list;
}

Json ApiCommands::show_port(Json const& request) {
    require_hypervisor();
    auto const port = request.value("port", Json(nullptr));
    if (!port.is_number_unsigned() || port.get<std::uint64_t>() < 1 || port.get<std::uint64_t>() >= LVIF_PORTS)
        throw ApiError("bad-request", "'port' is missing or not a number from 1 to 65535", "librettosctl ports who 80");
    auto list = Json::array();
    for (auto const protocol : protocols_of(request))
        list.push_back(describe_port(protocol, port.get<std::uint16_t>()));
    return list;
}

Json ApiCommands::describe_port(std::uint8_t protocol, std::uint16_t port) {
    auto const info = hypervisor_->query_port(protocol, port);
    auto const state = port_state(info.entry);
    bool const owned = state == LVIF_PORT_BOUND || state == LVIF_PORT_QUARANTINED;
    auto const guest = guests_->all().find(port_owner(info.entry));
    bool const attached =
        state == LVIF_PORT_BOUND && guest != guests_->all().end() && guest->second->phase() == Guest::Phase::connected;
    UnownedAnswers const answers{config_.network.unowned_tcp != "silent", config_.network.unowned_udp != "silent"};
    return {{"protocol", protocol_text(protocol)},
            {"port", port},
            {"state", to_text(state)},
            {"owner", text_or_null(info.owner_name)},
            {"domain", owned ? Json(port_owner(info.entry).value) : Json(nullptr)},
            {"leased", (info.entry & LVIF_PORT_LEASED) != 0},
            {"attached", attached},
            {"age_s", info.age_s},
            {"quarantine_left_s", info.quarantine_left_s},
            {"owner_ports", info.owner_ports},
            {"owner_limit", info.owner_limit},
            {"explanation", explain_port(protocol, port, info, attached, answers)}};
}

}  // namespace librettos::control
