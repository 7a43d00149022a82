// SPDX-License-Identifier: BSD-2-Clause
// The commands of the control API, schema 1 (daemon/api/api.md), as they are answered from the engine's state.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/engine/boot.hpp"
#include "daemon/engine/control/api_server.hpp"
#include "daemon/engine/control/guests.hpp"
#include "daemon/engine/control/port_table.hpp"
#include "daemon/engine/datapath/mbuf_use.hpp"

namespace librettos::control {

class ApiCommands final : public RequestAnswerer {
  public:
    using Json = nlohmann::ordered_json;

    // Both outlive this object.
    ApiCommands(EngineBoot const& boot, Config const& config);

    // Until then `status` says that the hypervisor is waited for, and the other commands are answered `busy`.
    void connected(Hypervisor& hypervisor, Guests& guests);
    void set_link(LinkState link) { link_ = link; }

    std::string answer(std::string_view request) override;

  private:
    Json dispatch(Json const& request);
    Json status();
    Json port_status() const;
    Json network_status() const;
    Json direct_status() const;
    Json list_guests();
    Json show_guest(Json const& request);
    Json list_ports(Json const& request);
    Json show_port(Json const& request);
    Json limit(Json const& request);
    Json detach(Json const& request);
    Json attach(Json const& request);
    Json switch_guest(Json const& request);
    Json list_vfs(Json const& request);

    void require_hypervisor() const;
    std::string guest_text(Json const& request) const;
    Guest& named_guest(Json const& request);
    Json describe(Guest const& guest, std::vector<std::uint32_t> const& owned) const;
    Json describe_port(std::uint8_t protocol, std::uint16_t port);
    std::string domain_name(DomId domain) const;

    EngineBoot const& boot_;
    Config const& config_;
    Hypervisor* hypervisor_ = nullptr;
    Guests* guests_ = nullptr;
    LinkState link_;
    TimePoint started_ = Clock::now();
};

// How far a guest is on the way to a VF or back, and how the last switch went: api.md, "switch".
ApiCommands::Json switch_json(Guest const& guest, AutoSwitch const& by_load);

}  // namespace librettos::control
