// SPDX-License-Identifier: BSD-2-Clause
// The machine: domains, their rights in the store, their memory, faults.
#include "tests/unit/xen/fake_xen.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>

#include "tests/unit/xen/fake_handles.hpp"

namespace librettos::test {

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t most_pages = 16384;

std::string parent_of(std::string_view path) {
    auto const slash = path.rfind('/');
    return slash == 0 || slash == std::string_view::npos ? "/" : std::string(path.substr(0, slash));
}

}  // namespace

FakeXen& FakeXen::machine() {
    static FakeXen xen;
    return xen;
}

void FakeXen::reset(std::uint16_t server_domain) {
    if (memory_fd >= 0)
        close(memory_fd);
    for (auto* const old : pages_)
        munmap(old, page_bytes);
    *this = FakeXen{};
    memory_fd = memfd_create("guests", MFD_CLOEXEC);
    if (memory_fd < 0 || ftruncate(memory_fd, most_pages * page_bytes) != 0)
        throw std::runtime_error("memfd");
    server = server_domain;
    store["/"].rights = {{0, XS_PERM_NONE}};
    set_node("/local/domain", "");
    for (std::uint16_t const domain : {std::uint16_t{0}, server_domain}) {
        auto const home = "/local/domain/" + std::to_string(domain);
        set_node(home, "");
        set_rights(home, {{0, XS_PERM_NONE}, {domain, XS_PERM_READ}});
        set_node(home + "/domid", std::to_string(domain));
        set_node(home + "/name", domain == 0 ? "Domain-0" : "driver");
        domains[domain] = domain == 0 ? "Domain-0" : "driver";
        set_node(home + "/backend", "");
        set_rights(home + "/backend", {{domain, XS_PERM_NONE}});
    }
    next_domain_ = static_cast<std::uint16_t>(server_domain + 1);
    store_generation = 0;
}

std::uint16_t FakeXen::create_domain(std::string const& name) {
    auto const domain = next_domain_++;
    auto const home = "/local/domain/" + std::to_string(domain);
    set_node(home, "");
    set_rights(home, {{0, XS_PERM_NONE}, {domain, XS_PERM_READ}});
    set_node(home + "/name", name);
    set_node(home + "/device", "");
    set_node(home + "/data", "");
    set_rights(home + "/data", {{domain, XS_PERM_NONE}});
    domains[domain] = name;
    fire("@introduceDomain");
    return domain;
}

// Xen's order: the domain goes, then the toolstack cleans the store. What is mapped stays until it is unmapped.
void FakeXen::destroy_domain(std::uint16_t domain) {
    domains.erase(domain);
    for (auto& [at, end] : events) {
        if (at.first == domain)
            end.open = false;
    }
    fire("@releaseDomain");
    remove_node("/local/domain/" + std::to_string(domain));
}

void FakeXen::set_node(std::string const& path, std::string const& value) {
    if (!store.contains(path)) {
        auto const above = parent_of(path);
        if (!store.contains(above))
            set_node(above, "");
        store[path].rights = store.at(above).rights;
    }
    store[path].value = value;
    ++store_generation;
    fire(path);
}

void FakeXen::set_rights(std::string const& path, std::vector<xs_permissions> rights) {
    store.at(path).rights = std::move(rights);
    ++store_generation;
    fire(path);
}

void FakeXen::remove_node(std::string const& path) {
    if (!store.contains(path))
        return;
    std::vector<std::string> gone;
    for (auto at = store.lower_bound(path); at != store.end() && at->first.starts_with(path); ++at) {
        if (at->first == path || at->first[path.size()] == '/')
            gone.push_back(at->first);
    }
    for (auto const& each : gone)
        fire(each);  // while the rights to see it are there
    for (auto const& each : gone)
        store.erase(each);
    ++store_generation;
}

std::string FakeXen::value(std::string const& path) const {
    auto const found = store.find(path);
    return found == store.end() ? "" : found->second.value;
}

namespace {

bool may(StoreNodes const& store, std::uint16_t domain, std::string_view path, unsigned right) {
    if (domain == 0)
        return true;
    auto found = store.find(path);
    for (std::string at(path); found == store.end(); found = store.find(at))
        at = parent_of(at);
    auto const& rights = found->second.rights;
    if (rights.front().id == domain)
        return true;
    for (std::size_t i = 1; i < rights.size(); ++i) {
        if (rights[i].id == domain)
            return (static_cast<unsigned>(rights[i].perms) & right) != 0;
    }
    return (static_cast<unsigned>(rights.front().perms) & right) != 0;
}

}  // namespace

bool FakeXen::may_read(std::uint16_t domain, std::string_view path) const {
    return may(store, domain, path, XS_PERM_READ);
}

bool FakeXen::may_write(std::uint16_t domain, std::string_view path) const {
    return may(store, domain, path, XS_PERM_WRITE);
}

void FakeXen::fire(std::string_view path) {
    for (auto* const handle : fake_store_handles())
        handle->changed(*this, path);
}

std::size_t FakeXen::allocate_page() {
    void* const address = mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd,
                               static_cast<off_t>(pages_.size() * page_bytes));
    if (address == MAP_FAILED || pages_.size() >= most_pages)
        throw std::runtime_error("guests' memory");
    pages_.push_back(static_cast<std::byte*>(address));
    return pages_.size() - 1;
}

std::byte* FakeXen::page(std::size_t number) {
    return pages_.at(number);
}

std::uint32_t FakeXen::grant(std::uint16_t domain, std::size_t page_number, bool read_only) {
    auto const reference = next_grant_++;
    grants[{domain, reference}] = {page_number, server, read_only, 0};
    return reference;
}

std::uint32_t FakeXen::allocate_event(std::uint16_t domain) {
    auto const port = next_event_++;
    events[{domain, port}].to = server;
    return port;
}

void FakeXen::notify_server(std::uint16_t domain, std::uint32_t port) {
    fake_event_arrived(events.at({domain, port}).server_port);
}

void FakeXen::fail_call(std::uint64_t n, int with_errno) {
    fail_at_ = calls + n;
    fail_with_ = with_errno;
}

void FakeXen::fail_sometimes(double probability, std::uint32_t seed) {
    probability_ = probability;
    random_.seed(seed);
}

void FakeXen::no_faults() {
    fail_at_ = 0;
    probability_ = 0;
}

bool FakeXen::fault(char const*) {
    ++calls;
    bool const now = calls == fail_at_ || (probability_ > 0 && std::bernoulli_distribution(probability_)(random_));
    if (!now)
        return false;
    ++faults;
    constexpr std::array errors{EIO, ENOMEM, ENOSPC, EINVAL, EPERM, ENODEV, EBUSY};
    errno = calls == fail_at_ ? fail_with_ : errors[random_() % errors.size()];
    return true;
}

FakeXen::Open FakeXen::open() const {
    return {open_stores,  open_grant_tables, open_event_handles, open_channels,
            mapped_pages, open_watches,      open_transactions};
}

void PrintTo(FakeXen::Open const& open, std::ostream* out) {
    *out << "stores " << open.stores << ", grant tables " << open.grant_tables << ", event handles "
         << open.event_handles << ", channels " << open.channels << ", mapped pages " << open.mapped_pages
         << ", watches " << open.watches << ", transactions " << open.transactions;
}

}  // namespace librettos::test
