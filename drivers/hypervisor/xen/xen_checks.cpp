// SPDX-License-Identifier: BSD-2-Clause
// Looking at a Xen domain.
#include "drivers/hypervisor/xen/xen_checks.hpp"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>

#include <librettos/frame_ring.h>

#include "drivers/hypervisor/xen/xen_store.hpp"

namespace librettos {

namespace {

namespace fs = std::filesystem;
using Verdict = StartCheck::Verdict;

// Xen's defaults: 1,024 frames of 256 entries (gnttab_max_maptrack_frames), and the event channels of a domain with
// FIFO events, of which xl gives a domU fewer.
constexpr std::uint64_t default_mappings = 1024 * 256;
constexpr std::uint64_t dom0_channels = 131'071;
constexpr std::uint64_t domu_channels = 1'023;

std::string first_line(fs::path const& path) {
    std::string line;
    std::ifstream file(path);
    std::getline(file, line);
    return line;
}

StartCheck check_role(bool control_domain, fs::path const& root) {
    if (control_domain)
        return {"role", Verdict::good, "dom0: guests are attached by this server", ""};
    if (!fs::exists(root / "proc/xen/capabilities"))
        return {"role", Verdict::warning, "a domU, or a dom0 without /proc/xen",
                "in dom0: mount -t xenfs xenfs /proc/xen"};
    return {"role", Verdict::good, "a driver domain: guests are attached to it from dom0 (librettos-lvif-attach)", ""};
}

StartCheck check_device(std::string const& node, std::string const& module, Verdict without, fs::path const& root) {
    auto const path = root / "dev/xen" / node;
    auto const name = "/dev/xen/" + node;
    if (access(path.c_str(), R_OK | W_OK) == 0)
        return {name, Verdict::good, "can be opened", ""};
    if (fs::exists(path))
        return {name, without, "may not be opened by this user", "run it as root"};
    return {name, without, "is not there", "modprobe " + module};
}

StartCheck check_store() try {
    XenStore store;
    return {"xenstore", Verdict::good, "answers; this is domain " + std::to_string(store.own_domain().value), ""};
} catch (std::exception const& error) {
    return {"xenstore", Verdict::bad, error.what(), "in dom0: service xen start; in a driver domain: modprobe xenfs"};
}

StartCheck check_portmap(bool (*keeps_portmap)()) try {
    return {"portmap", Verdict::good,
            keeps_portmap()
                ? "kept by the hypervisor"
                : "kept by the server, in xenstore: this Xen has no portmap, or none that an HVM or PVH domain "
                  "can use",
            ""};
} catch (std::exception const& error) {
    return {"portmap", Verdict::bad, error.what(),
            "the control domain has to assign the portmap to this domain; see portmap/xen in docs/xen.md"};
}

StartCheck check_batch(std::uint64_t pages, fs::path const& root) {
    auto const text = first_line(root / "sys/module/xen_gntdev/parameters/limit");
    auto const limit = std::strtoull(text.c_str(), nullptr, 10);
    if (text.empty() || limit >= pages)
        return {
            "grants of a ring", Verdict::good,
            std::to_string(pages) + " pages, gntdev maps up to " + (text.empty() ? "its default" : text) + " at once",
            ""};
    return {
        "grants of a ring", Verdict::bad,
        "rings of limits.ring_bytes have " + std::to_string(pages) + " pages, gntdev maps only " + text + " at once",
        "write " + std::to_string(pages) +
            " to /sys/module/xen_gntdev/parameters/limit, or a smaller limits.ring_bytes"};
}

StartCheck check_mappings(std::uint64_t mappings, bool control_domain) {
    auto const all = std::to_string(mappings) + " grants if every guest takes all that [limits] gives it";
    if (mappings <= default_mappings)
        return {"grants of all guests", Verdict::good, all, ""};
    auto const frames = std::to_string((mappings + 255) / 256);
    return {"grants of all guests", Verdict::warning,
            all + "; Xen's default lets a domain map " + std::to_string(default_mappings),
            "smaller limits.guests, limits.queues or limits.ring_bytes; or " +
                (control_domain ? "gnttab_max_maptrack_frames=" + frames + " on Xen's command line"
                                : "max_maptrack_frames=" + frames + " in this domain's xl configuration")};
}

StartCheck check_channels(std::uint64_t channels, bool control_domain) {
    auto const most = control_domain ? dom0_channels : domu_channels;
    auto const all = std::to_string(channels) + " event channels if every guest takes all that [limits] gives it";
    if (channels <= most)
        return {"event channels", Verdict::good, all, ""};
    return {"event channels", Verdict::warning, all + "; the default lets this domain have " + std::to_string(most),
            control_domain ? "smaller limits.guests or limits.queues"
                           : "event_channels=" + std::to_string(channels + 64) + " in this domain's xl configuration"};
}

StartCheck check_watches(std::uint32_t guests) {
    constexpr std::uint32_t quota = 128;
    constexpr std::uint32_t standing = 3;
    auto const all = std::to_string(guests + standing) + " watches for limits.guests guests";
    if (guests + standing <= quota)
        return {"watches", Verdict::good, all, ""};
    return {"watches", Verdict::warning, all + "; xenstored lets a driver domain have " + std::to_string(quota),
            "xenstored --watch-nb=" + std::to_string(guests + standing) +
                " in dom0, or limits.guests = " + std::to_string(quota - standing)};
}

}  // namespace

std::vector<StartCheck> check_xen(XenNeeds const& needs, bool (*keeps_portmap)(), fs::path const& root) {
    if (first_line(root / "sys/hypervisor/type") != "xen")
        return {
            {"Xen", Verdict::bad, "this is no Xen domain (/sys/hypervisor/type)",
             "boot Xen (apt-get install xen-system-amd64, then choose it at boot), or write hypervisor = \"local\""}};
    bool const control_domain = first_line(root / "proc/xen/capabilities").find("control_d") != std::string::npos;
    auto const guest_type = first_line(root / "sys/hypervisor/guest_type");
    std::uint64_t const ring_pages = 1 + needs.ring_bytes / LVIF_PAGE_BYTES;
    std::vector<StartCheck> checks{
        {"Xen", Verdict::good, "a " + (guest_type.empty() ? "Xen" : guest_type) + " domain", ""},
        check_role(control_domain, root),
        check_device("gntdev", "xen-gntdev", Verdict::bad, root),
        check_device("evtchn", "xen-evtchn", Verdict::bad, root),
        check_device("privcmd", "xen-privcmd", Verdict::warning, root),
        check_store(),
        check_portmap(keeps_portmap),
        check_batch(ring_pages, root),
        check_mappings(std::uint64_t{needs.guests} * (2 + 2 * needs.queues * ring_pages), control_domain),
        check_channels(std::uint64_t{needs.guests} * (1 + needs.queues), control_domain)};
    if (!control_domain)
        checks.push_back(check_watches(needs.guests));
    return checks;
}

}  // namespace librettos
