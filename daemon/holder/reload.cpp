// SPDX-License-Identifier: BSD-2-Clause
// Re-reads the configuration file.
#include "daemon/holder/reload.hpp"

#include <system_error>

#include <spdlog/spdlog.h>

#include "daemon/api/api_socket.hpp"

namespace librettos {
namespace {

template <typename T>
void keep(T& fresh, T const& running, char const* key) {
    if (fresh != running) {
        spdlog::warn("{} changed in the configuration; that needs: systemctl restart librettos-netserver", key);
        fresh = running;
    }
}

}  // namespace

std::optional<LoadedConfig> reloaded_config(std::string const& path, Config const& running) {
    LoadedConfig loaded;
    try {
        loaded = load_config(path);
    } catch (ConfigError const& error) {
        spdlog::error("{}; going on with the configuration as it was", error.what());
        return std::nullopt;
    }
    Config& fresh = loaded.config;
    keep(fresh.port.device, running.port.device, "port.device");
    keep(fresh.port.eal, running.port.eal, "port.eal");
    keep(fresh.port.huge_pages, running.port.huge_pages, "port.huge_pages");
    keep(fresh.port.memory_mib, running.port.memory_mib, "port.memory_mib");
    keep(fresh.port.mtu_bytes, running.port.mtu_bytes, "port.mtu_bytes");
    keep(fresh.port.buffers, running.port.buffers, "port.buffers");
    keep(fresh.port.descriptors, running.port.descriptors, "port.descriptors");
    keep(fresh.port.promiscuous, running.port.promiscuous, "port.promiscuous");
    keep(fresh.data.threads, running.data.threads, "data.threads");
    keep(fresh.data.cores, running.data.cores, "data.cores");
    keep(fresh.limits.guests, running.limits.guests, "limits.guests");
    keep(fresh.paths.stats, running.paths.stats, "paths.stats");
    keep(fresh.paths.api_socket, running.paths.api_socket, "paths.api_socket");
    keep(fresh.direct.steering, running.direct.steering, "direct.steering");
    keep(fresh.direct.bridge, running.direct.bridge, "direct.bridge");
    keep(fresh.direct.server_port, running.direct.server_port, "direct.server_port");
    keep(fresh.direct.pf, running.direct.pf, "direct.pf");
    keep(fresh.direct.vfs, running.direct.vfs, "direct.vfs");
    keep(fresh.direct.rate_mbps, running.direct.rate_mbps, "direct.rate_mbps");
    try {
        check_api_socket(fresh.paths.api_socket, fresh.paths.api_group);
    } catch (std::system_error const& error) {
        spdlog::error("{}; going on with the configuration as it was", error.what());
        return std::nullopt;
    }
    return loaded;
}

}  // namespace librettos
