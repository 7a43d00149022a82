// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor as the portmap's authority.
#include "drivers/hypervisor/xen/hypercall_portmap.hpp"

#include <sys/mman.h>
#include <xen/xen.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>
#include <string>
#include <system_error>
#include <vector>

namespace librettos {

namespace {

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error{error, std::system_category(), what};
}

// Only a PV domain can map the table: in others, addresses are not machine frames (EOPNOTSUPP). A kernel that does not
// say what it is has no other kind.
bool domain_is_pv() {
    std::string kind;
    std::getline(std::ifstream{"/sys/hypervisor/guest_type"}, kind);
    return kind.empty() || kind == "PV";
}

std::string uuid_text(std::uint8_t const (&uuid)[LVIF_PORTMAP_UUID_BYTES]) {
    static constexpr char digits[] = "0123456789abcdef";
    if (std::all_of(std::begin(uuid), std::end(uuid), [](std::uint8_t byte) { return byte == 0; }))
        return {};
    std::string text;
    for (std::size_t i = 0; i < LVIF_PORTMAP_UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text += '-';
        text += {digits[uuid[i] >> 4], digits[uuid[i] & 15]};
    }
    return text;
}

}  // namespace

std::unique_ptr<HypercallPortmap> HypercallPortmap::open_if_present() {
    std::unique_ptr<HypercallPortmap> portmap{new HypercallPortmap};
    if (!portmap->present())
        return nullptr;
    portmap->become_server();
    portmap->map();
    return portmap;
}

bool HypercallPortmap::exists() {
    return HypercallPortmap{}.present();
}

HypercallPortmap::~HypercallPortmap() {
    if (table_ != nullptr)
        ::xenforeignmemory_unmap(memory_.get(), const_cast<lvif_portmap*>(table_), frames_);
}

bool HypercallPortmap::present() {
    return domain_is_pv() && calls_.present();
}

// In the control domain. Elsewhere it is that already, or cannot become it: find_table() tells.
void HypercallPortmap::become_server() try {
    calls_.seed();
    calls_.assign(LVIF_PORTMAP_SELF);
} catch (std::system_error const& error) {
    if (error.code() == std::errc::device_or_resource_busy)
        fail(EBUSY, "the portmap's table: another domain still maps it; stop the server there");
    if (error.code() != std::errc::operation_not_permitted)
        throw;
}

lvif_portmap_table HypercallPortmap::find_table() try {
    return calls_.table();
} catch (std::system_error const& error) {
    if (error.code() == std::errc::operation_not_permitted)
        fail(EPERM,
             "the portmap's table: this domain is not its server; in dom0: librettos-portmap assign ID-OF-THIS-DOMAIN");
    throw;
}

void HypercallPortmap::map() {
    lvif_portmap_table const table = find_table();
    if (table.frames != LVIF_PORTMAP_BYTES / 4096)
        fail(EPROTO, "the portmap's table has " + std::to_string(table.frames) + " frames");
    memory_.reset(::xenforeignmemory_open(nullptr, 0));
    if (memory_ == nullptr)
        fail(errno, "opening foreign memory");
    std::vector<xen_pfn_t> frames(table.frames);
    std::vector<int> errors(table.frames);
    std::iota(frames.begin(), frames.end(), table.first_frame);
    void* const mapped =
        ::xenforeignmemory_map(memory_.get(), DOMID_SELF, PROT_READ, frames.size(), frames.data(), errors.data());
    if (mapped == nullptr)
        fail(errno, "mapping the portmap's table");
    table_ = static_cast<lvif_portmap const*>(mapped);
    frames_ = frames.size();
    for (int const error : errors)
        if (error != 0)
            fail(error < 0 ? -error : error, "mapping the portmap's table");
    if (table_->magic != LVIF_PORTMAP_MAGIC || table_->version != LVIF_PORTMAP_VERSION)
        fail(EPROTO, "the portmap's table has another version");
}

PortInfo HypercallPortmap::query(std::uint8_t protocol, std::uint16_t port) {
    lvif_portmap_query const answer = calls_.query(protocol, port);
    PortInfo info;
    info.entry = answer.entry;
    info.age_s = answer.age_s;
    info.quarantine_left_s = answer.quarantine_left_s;
    info.owner_ports = answer.owner_ports;
    info.owner_limit = answer.owner_limit;
    info.owner_name = answer.owner_name[0] != 0
                          ? std::string{answer.owner_name, ::strnlen(answer.owner_name, LVIF_PORTMAP_NAME_MAX)}
                          : uuid_text(answer.owner_uuid);
    return info;
}

void HypercallPortmap::set_limit(DomId domain, std::uint32_t ports) try {
    calls_.set_limit(domain, ports);
} catch (std::system_error const& error) {
    if (error.code() == std::errc::operation_not_permitted)
        fail(EPERM, "the hypervisor takes limits of ports from dom0 alone; there: librettos-portmap limit " +
                        std::to_string(domain.value) + " " + std::to_string(ports));
    throw;
}

}  // namespace librettos
