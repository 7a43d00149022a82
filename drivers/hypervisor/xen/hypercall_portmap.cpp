// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor as the portmap's authority.
#include "drivers/hypervisor/xen/hypercall_portmap.hpp"

#include <sys/mman.h>
#include <sys/random.h>
#include <xen/xen.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>
#include <system_error>
#include <vector>

namespace librettos {

namespace {

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error{error, std::system_category(), what};
}

void check(int status, char const* what) {
    if (status != 0)
        fail(-status, std::string{"portmap hypercall: "} + what);
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
    portmap->map();
    portmap->seed();
    return portmap;
}

bool HypercallPortmap::exists() {
    return HypercallPortmap{}.present();
}

HypercallPortmap::HypercallPortmap() : calls_{::xencall_open(nullptr, 0)} {
    if (calls_ == nullptr)
        fail(errno, "/dev/xen/privcmd (modprobe xen-privcmd)");
    buffer_ = ::xencall_alloc_buffer(calls_.get(), sizeof(lvif_portmap_query));
    if (buffer_ == nullptr)
        fail(errno, "a buffer for hypercalls");
}

HypercallPortmap::~HypercallPortmap() {
    if (table_ != nullptr)
        ::xenforeignmemory_unmap(memory_.get(), const_cast<lvif_portmap*>(table_), frames_);
    if (buffer_ != nullptr)
        ::xencall_free_buffer(calls_.get(), buffer_);
}

int HypercallPortmap::call(lvif_portmap_operation operation, void* structure, std::size_t bytes) {
    std::memcpy(buffer_, structure, bytes);
    int const status =
        ::xencall2(calls_.get(), LVIF_PORTMAP_HYPERCALL, operation, reinterpret_cast<std::uintptr_t>(buffer_));
    if (status < 0)
        return -errno;
    std::memcpy(structure, buffer_, bytes);
    return 0;
}

bool HypercallPortmap::present() {
    if (!domain_is_pv())
        return false;
    lvif_portmap_features features{};
    switch (int const status = call(LVIF_PORTMAP_OP_FEATURES, features); status) {
        case 0:
            return features.magic == LVIF_PORTMAP_ABI_MAGIC && features.abi == LVIF_PORTMAP_ABI;
        case -ENOSYS:
        case -EPERM:  // from this kernel; the hypervisor answers everybody
            return false;
        default:
            fail(-status, "asking the hypervisor for its portmap");
    }
}

lvif_portmap_table HypercallPortmap::find_table() {
    lvif_portmap_table table{};
    int status = call(LVIF_PORTMAP_OP_TABLE, table);
    if (status == -EPERM) {
        lvif_portmap_domain self{};
        self.domain = LVIF_PORTMAP_SELF;
        status = call(LVIF_PORTMAP_OP_ASSIGN_SERVER, self);
        if (status == -EPERM)
            fail(EPERM, "the portmap's table: this domain is not its server; let the control domain assign it");
        if (status == -EBUSY)
            fail(EBUSY, "the portmap's table: another domain still maps it; stop the server there");
        check(status, "becoming the server");
        status = call(LVIF_PORTMAP_OP_TABLE, table);
    }
    check(status, "table");
    return table;
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

// The hypervisor may be without a source of random numbers; this kernel has one. Only the control domain may.
void HypercallPortmap::seed() {
    lvif_portmap_seed seed{};
    if (::getrandom(seed.bytes, sizeof(seed.bytes), 0) != sizeof(seed.bytes))
        fail(errno, "getrandom");
    int const status = call(LVIF_PORTMAP_OP_SEED, seed);
    if (status != -EPERM)
        check(status, "seed");
}

PortInfo HypercallPortmap::query(std::uint8_t protocol, std::uint16_t port) {
    lvif_portmap_query answer{};
    answer.protocol = protocol;
    answer.port = port;
    check(call(LVIF_PORTMAP_OP_QUERY, answer), "query");
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

void HypercallPortmap::set_limit(DomId domain, std::uint32_t ports) {
    lvif_portmap_domain limit{};
    limit.domain = domain.value;
    limit.value = ports;
    check(call(LVIF_PORTMAP_OP_SET_LIMIT, limit), "set limit");
}

void HypercallPortmap::reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) {
    lvif_portmap_ports ports{};
    ports.protocol = protocol;
    ports.on = reserve ? 1 : 0;
    ports.port = first;
    ports.count = count;
    check(call(LVIF_PORTMAP_OP_RESERVE, ports), "reserve");
}

void HypercallPortmap::set_name(DomId domain, std::string_view name) {
    lvif_portmap_name named{};
    named.domain = domain.value;
    name.copy(named.name, LVIF_PORTMAP_NAME_MAX);
    check(call(LVIF_PORTMAP_OP_SET_NAME, named), "set name");
}

}  // namespace librettos
