// SPDX-License-Identifier: BSD-2-Clause
// The control API: guests between the server and their VFs.
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <limits>
#include <system_error>

#include "daemon/engine/control/api_commands.hpp"
#include "daemon/engine/control/api_error.hpp"
#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

namespace {

using Json = ApiCommands::Json;
using Step = VfSwitch::Step;
using std::chrono::milliseconds;

constexpr std::array there{Step::giving, Step::preparing, Step::steering, Step::draining, Step::committing};
constexpr std::array back{Step::returning, Step::steering_back, Step::releasing, Step::taking};
constexpr std::uint64_t longest_timeout_ms = 60'000;

template <std::size_t count>
Json step_names(std::array<Step, count> const& steps) {
    auto list = Json::array();
    for (auto const step : steps)
        list.push_back(to_text(step));
    return list;
}

std::uint64_t number_of(Json const& request, char const* key, std::uint64_t otherwise, std::uint64_t most) {
    auto const value = request.value(key, Json(otherwise));
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most)
        throw ApiError("bad-request", std::string("'") + key + "' is not a number from 0 to " + std::to_string(most),
                       "");
    return value.get<std::uint64_t>();
}

// Whether it can be moved at all.
void require_switchable(Guest const& guest, VfTable const& vfs) {
    auto const& name = guest.name();
    if (vfs.all().empty())
        throw ApiError("failed", "the server has no VFs", "direct.steering in librettos-netserver.toml(5)");
    if (guest.offer().mode != GuestMode::dedicated)
        throw ApiError("failed", name + " has the shared address: only a guest with an address of its own has a VF",
                       "librettosctl attach " + name + " --dedicated");
    if (guest.phase() != Guest::Phase::connected)
        throw ApiError("failed", name + " is " + to_text(guest.phase()), "librettosctl guest " + name);
    if (guest.vf_switch().can_switch() == false)
        throw ApiError("failed", name + " says that it cannot use a VF",
                       "librettos-guest can; a rump kernel needs the interface of this release");
}

std::uint16_t chosen_vf(Json const& request, VfTable const& vfs,
                        std::map<DomId, std::unique_ptr<Guest>> const& guests) {
    auto const owner_of = [&](Vf const& vf) {
        auto const owner = vf.owner ? guests.find(*vf.owner) : guests.end();
        return owner == guests.end() ? std::string("another guest") : owner->second->name();
    };
    if (!request.contains("vf")) {
        if (auto const vf = vfs.choose())
            return *vf;
        throw ApiError("busy", "no VF is free",
                       "librettosctl vf shows whose they are; librettosctl switch GUEST server frees one");
    }
    auto const number = number_of(request, "vf", 0, std::numeric_limits<std::uint16_t>::max());
    auto const* const vf = vfs.find(static_cast<std::uint16_t>(number));
    if (vf == nullptr)
        throw ApiError("not-found", "there is no VF " + std::to_string(number), "librettosctl vf lists them");
    if (vf->owner)
        throw ApiError("busy", vf->name + " is " + owner_of(*vf) + "'s",
                       "librettosctl vf shows which are free; librettosctl switch GUEST server frees one");
    if (!vf->present)
        throw ApiError("failed", vf->name + " is not there", "librettosctl vf");
    return static_cast<std::uint16_t>(number);
}

// Microseconds since 1970.
std::int64_t unix_us(TimePoint then) {
    auto const at = std::chrono::system_clock::now() - (Clock::now() - then);
    return std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
}

Json report_json(GuestSwitch const& vf_switch) {
    auto const& report = vf_switch.report();
    if (report.serial == 0)
        return nullptr;
    auto steps = Json::array();
    for (auto const& [step, took] : report.steps)
        steps.push_back({{"step", to_text(step)}, {"took_us", took.count()}});
    return {{"serial", report.serial},        {"to", report.to_direct ? "direct" : "server"},
            {"reached", report.reached},      {"reason", report.reason.empty() ? Json(nullptr) : Json(report.reason)},
            {"took_us", report.took.count()}, {"ended_unix_us", unix_us(report.ended)},
            {"steps", std::move(steps)},      {"frames_drained", vf_switch.frames_drained()}};
}

Json why_json(Guest const& guest, AutoSwitch const& by_load) {
    return guest.automatic() ? Json(by_load.explain(guest, Clock::now())) : Json(nullptr);
}

Json traffic_json(Vf const& vf) {
    if (!vf.traffic)
        return nullptr;
    return {{"received_frames", vf.traffic->received_frames},
            {"received_bytes", vf.traffic->received_bytes},
            {"sent_frames", vf.traffic->sent_frames},
            {"sent_bytes", vf.traffic->sent_bytes}};
}

}  // namespace

Json switch_json(Guest const& guest, AutoSwitch const& by_load) {
    auto const& vf_switch = guest.vf_switch();
    return {{"way", guest.way()},
            {"load_bits_per_s", static_cast<std::uint64_t>(by_load.bits_per_s(guest))},
            {"why", why_json(guest, by_load)},
            {"step", to_text(vf_switch.step())},
            {"vf", vf_switch.vf() ? Json(*vf_switch.vf()) : Json(nullptr)},
            {"serial", vf_switch.serial()},
            {"last", report_json(vf_switch)}};
}

Json ApiCommands::switch_guest(Json const& request) {
    auto& guest = named_guest(request);
    auto const to = request.value("to", Json(nullptr));
    auto const dry_run = request.value("dry_run", Json(false));
    if ((to != "direct" && to != "server" && to != "auto") || !dry_run.is_boolean())
        throw ApiError("bad-request", "'to' is none of \"direct\", \"server\", \"auto\", or 'dry_run' no boolean",
                       R"({"schema": 1, "command": "switch", "guest": "web", "to": "direct"})");
    milliseconds const timeout(number_of(request, "timeout_ms", Guests::switch_patience.count(), longest_timeout_ms));
    require_switchable(guest, guests_->vfs());
    auto const& vf_switch = guest.vf_switch();
    Json answer{{"guest", guest.name()}, {"to", to}, {"already", false}, {"vf", nullptr}, {"serial", nullptr}};
    if (to == "auto") {
        answer["already"] = guest.automatic();
        answer["steps"] = Json::array();
        if (dry_run == false)
            guests_->set_automatic(guest, true);
        return answer;
    }
    if (!vf_switch.idle())
        throw ApiError("busy", guest.name() + " is being switched: " + to_text(vf_switch.step()),
                       "librettosctl guest " + guest.name());
    if (vf_switch.at_rings() == (to == "server")) {
        answer["already"] = true;
        if (dry_run == false)
            guests_->set_automatic(guest, false);
        answer["vf"] = vf_switch.vf() ? Json(*vf_switch.vf()) : Json(nullptr);
        return answer;
    }
    auto const vf = to == "direct" ? chosen_vf(request, guests_->vfs(), guests_->all()) : vf_switch.vf().value();
    answer["vf"] = vf;
    answer["steps"] = to == "direct" ? step_names(there) : step_names(back);
    if (dry_run == true)
        return answer;
    guests_->switch_guest(guest, to == "direct" ? std::optional(vf) : std::nullopt, timeout, Clock::now());
    answer["serial"] = vf_switch.serial();
    return answer;
}

Json ApiCommands::list_vfs(Json const&) {
    require_hypervisor();
    auto list = Json::array();
    std::uint16_t number = 0;
    for (auto const& vf : guests_->vfs().all()) {
        auto const owner = vf.owner ? guests_->all().find(*vf.owner) : guests_->all().end();
        auto const* const guest = owner != guests_->all().end() ? owner->second.get() : nullptr;
        list.push_back({{"vf", number++},
                        {"interface", vf.name},
                        {"present", vf.present},
                        {"link", vf.link_up ? "up" : "down"},
                        {"guest", guest ? Json(guest->name()) : Json(nullptr)},
                        {"mac", guest ? Json(to_text(guest->offer().mac)) : Json(nullptr)},
                        {"step", guest ? Json(to_text(guest->vf_switch().step())) : Json(nullptr)},
                        {"traffic", traffic_json(vf)},
                        {"way", guest ? Json(guest->way()) : Json(nullptr)},
                        {"why", guest ? why_json(*guest, guests_->auto_switch()) : Json(nullptr)}});
    }
    return list;
}

}  // namespace librettos::control
