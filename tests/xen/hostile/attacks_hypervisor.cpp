// SPDX-License-Identifier: BSD-2-Clause
// Attacks on Xen and what is kept there: the store, other domains, the portmap's hypercall.
#include <sys/mman.h>

#include <librettos/portmap_hypercall.h>

extern "C" {  // the headers do not say so
#include <xencall.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
}

#include <cerrno>
#include <cstring>
#include <random>

#include "tests/xen/hostile/xen_attacks.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;

// What is another domain's: an honest guest's, and the server's. Each attempt must be refused.
Json others_touched(Rogue& rogue, Setting const& setting) {
    Json refused = Json::object();
    auto* const store = xs_open(0);
    auto const number = std::to_string(victim(setting));
    std::string const home = "/local/domain/" + number;
    std::string const backend = "/local/domain/0/backend/lvif";
    auto const note = [&](char const* what, bool done) { refused[what] = done ? 0 : -errno; };
    auto const read = [&](std::string const& path) {
        unsigned length = 0;
        void* const value = xs_read(store, XBT_NULL, path.c_str(), &length);
        int const error = errno;
        free(value);
        errno = error;
        return value != nullptr;
    };
    auto const write = [&](std::string const& path) { return xs_write(store, XBT_NULL, path.c_str(), "6", 1); };
    note("read", read(home + "/device/lvif/0/state"));
    note("write", write(home + "/device/lvif/0/state"));
    note("remove", xs_rm(store, XBT_NULL, (home + "/device").c_str()));
    note("read another's backend", read(backend + "/" + number + "/0/mac"));
    note("write own backend", write(backend + "/" + std::to_string(rogue.self()) + "/0/state"));
    note("add to own backend", write(backend + "/" + std::to_string(rogue.self()) + "/0/assigned-mode"));
    note("make a backend", write(backend + "/999/0/state"));
    note("write the server's", write("/local/domain/0/librettos"));
    note("rename", write(rogue.home() + "/name"));
    xs_close(store);
    if (auto* const events = xenevtchn_open(nullptr, 0)) {
        for (std::uint32_t port = 1; port < 40; ++port)
            note(("bind " + std::to_string(port)).c_str(),
                 xenevtchn_bind_interdomain(events, victim(setting), port) >= 0);
        xenevtchn_close(events);
    }
    if (auto* const grants = xengnttab_open(nullptr, 0)) {
        for (std::uint32_t reference = 0; reference < 64; ++reference)
            note(("map " + std::to_string(reference)).c_str(),
                 xengnttab_map_grant_ref(grants, victim(setting), reference, PROT_READ) != nullptr);
        xengnttab_close(grants);
    }
    return {{"refused", refused}, {"victim_connected", rogue.is_connected()}};
}

Json store_filled(Rogue& rogue, Setting const&) {
    int nodes = 0;
    int status = 0;
    while (nodes < 100'000 && (status = rogue.write("fill/" + std::to_string(nodes), std::string(1000, 'x'))) == 0)
        ++nodes;
    Json const result{{"nodes", nodes}, {"status", status}, {"overlong", rogue.write("long", std::string(4000, 'x'))}};
    lvif_hv_remove(rogue.hv(), (rogue.frontend() + "/fill").c_str());
    return result;
}

// What is not to be answered with success, or worse: as a table of (operation, argument) and at random.
struct Hypercalls {
    xencall_handle* handle = xencall_open(nullptr, 0);
    int answered = 0;
    Json succeeded = Json::array();

    Hypercalls() = default;
    Hypercalls(Hypercalls const&) = delete;
    Hypercalls& operator=(Hypercalls const&) = delete;
    ~Hypercalls() { xencall_close(handle); }
    bool make(std::uint64_t operation, std::uint64_t argument) {
        ++answered;
        return xencall2(handle, LVIF_PORTMAP_HYPERCALL, operation, argument) >= 0;
    }
    void must_fail(std::string const& what, std::uint64_t operation, std::uint64_t argument) {
        if (make(operation, argument))
            succeeded.push_back(what + " of operation " + std::to_string(operation));
    }
};

// Pointers that lead nowhere, into the hypervisor, into the kernel, over a page's end; and memory that may not be
// written.
void bad_pointers(Hypercalls& calls) {
    auto* const pages = static_cast<std::byte*>(
        mmap(nullptr, 2 * LVIF_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    std::memset(pages, 0, LVIF_PAGE_BYTES);
    munmap(pages + LVIF_PAGE_BYTES, LVIF_PAGE_BYTES);
    auto const over_the_end = reinterpret_cast<std::uint64_t>(pages) + LVIF_PAGE_BYTES - 4;
    for (std::uint64_t const operation : {0U, 1U, 2U, 3U, 16U, 17U, 18U, 19U, 20U, 21U, 32U, 33U})
        for (std::uint64_t const pointer : std::initializer_list<std::uint64_t>{
                 0, 8, ~0ULL, ~7ULL, 0x0000800000000000, 0xffff7fffffffffff, 0xffff800000000000, 0xffff82d040200000,
                 0xffff830000000000, over_the_end})
            calls.must_fail("pointer " + std::to_string(pointer), operation, pointer);
    munmap(pages, LVIF_PAGE_BYTES);
}

void bad_arguments(Hypercalls& calls) {
    auto* const ports =
        static_cast<lvif_portmap_ports*>(xencall_alloc_buffer(calls.handle, sizeof(lvif_portmap_query)));
    std::memset(ports, 0, sizeof(lvif_portmap_query));
    auto const attempt = [&](char const* what, std::uint64_t operation, lvif_portmap_ports const& argument) {
        *ports = argument;
        calls.must_fail(what, operation, reinterpret_cast<std::uint64_t>(ports));
    };
    for (std::uint8_t const protocol : {1, 2, 7, 16, 18, 58, 132, 255})
        attempt("protocol", LVIF_PORTMAP_OP_BIND, {protocol, 0, 8099, 0});
    attempt("flag", LVIF_PORTMAP_OP_BIND, {6, 1, 8099, 0});
    attempt("count", LVIF_PORTMAP_OP_BIND, {6, 0, 8099, 0xffffffff});
    attempt("another's", LVIF_PORTMAP_OP_BIND, {6, 0, 80, 0});
    for (std::uint32_t const count : {0U, 65536U, 65537U, 0x10000U + 1U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
        attempt("count", LVIF_PORTMAP_OP_LEASE, {0, 0, 0, count});
        attempt("count", LVIF_PORTMAP_OP_RELEASE, {6, 0, 1, count});
        attempt("count", LVIF_PORTMAP_OP_RELEASE, {17, 0, 65535, count});
    }
    attempt("another's", LVIF_PORTMAP_OP_RELEASE, {6, 0, 80, 1});
    for (std::uint64_t const operation : {16U, 17U, 18U, 19U, 20U, 21U, 32U, 33U})
        attempt("the control domain's", operation, {});
    for (std::uint64_t operation = 4; operation < 16; ++operation)
        attempt("unknown", operation, {});
    for (std::uint64_t const operation : {34ULL, 4096ULL, 0x80000001ULL, ~0ULL})
        attempt("unknown", operation, {});
    xencall_free_buffer(calls.handle, ports);
}

// -ENOSYS everywhere on a hypervisor without a portmap: then nothing succeeds, too.
Json hypercall_garbage(Rogue& rogue, Setting const& setting) {
    Hypercalls calls;
    bad_pointers(calls);
    bad_arguments(calls);
    std::mt19937_64 random{7};
    auto* const words = static_cast<std::uint64_t*>(xencall_alloc_buffer(calls.handle, 256));
    std::uint64_t taken = 0;
    for (auto const end = in(setting.time); before(end);) {
        for (int i = 0; i < 32; ++i)
            words[i] = random() & random() & random();  // few bits: some of it is nearly right
        if (random() % 2 == 0)
            words[0] = random() % 2 == 0 ? 6 : 17;
        taken += calls.make(random() % 40, reinterpret_cast<std::uint64_t>(words)) ? 1 : 0;
    }
    xencall_free_buffer(calls.handle, words);
    auto result = still_there(rogue);
    result["calls"] = calls.answered;
    result["succeeded"] = calls.succeeded;
    result["at_random"] = taken;
    return result;
}

}  // namespace

std::vector<Attack> hypervisor_attacks() {
    std::vector<Attack> attacks{{"others-touched", true, others_touched},
                                {"store-filled", true, store_filled},
                                {"hypercall-garbage", true, hypercall_garbage}};
    for (auto const& group : {grant_attacks(), event_attacks()})
        attacks.insert(attacks.end(), group.begin(), group.end());
    return attacks;
}

}  // namespace librettos::hostile
