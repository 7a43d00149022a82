// SPDX-License-Identifier: BSD-2-Clause
// The connection to xenstored.
#include "drivers/hypervisor/xen/xen_store.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <system_error>

namespace librettos {

namespace {

constexpr int transaction_tries = 32;

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
template <typename T>
using Allocated = std::unique_ptr<T, Free>;

// libxenstore closes its connection when that breaks and from then on fails with EBADF.
bool is_lost(int error) {
    return error == EBADF || error == EPIPE || error == ECONNRESET || error == ENOTCONN;
}

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error(is_lost(error) ? ECONNRESET : error, std::generic_category(), "xenstore: " + what);
}

void check(bool succeeded, char const* what, std::string const& path) {
    if (!succeeded)
        fail(errno, what + (" " + path));
}

}  // namespace

std::optional<DomId> parse_domain_id(std::string_view text) {
    std::uint16_t number = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    bool const canonical = error == std::errc{} && end == text.data() + text.size() && std::to_string(number) == text;
    return canonical ? std::optional(DomId{number}) : std::nullopt;
}

XenStore::XenStore() : handle_(xs_open(XS_UNWATCH_FILTER)) {
    if (!handle_)
        throw std::system_error(errno, std::generic_category(),
                                "connecting to xenstored (is this a Xen domain with xenstored or /dev/xen/xenbus?)");
}

std::optional<std::string> XenStore::read(std::string const& path) {
    unsigned length = 0;
    Allocated<char> const value(static_cast<char*>(xs_read(handle_.get(), transaction_, path.c_str(), &length)));
    if (value)
        return std::string(value.get(), length);
    if (errno == ENOENT || errno == EACCES)
        return std::nullopt;
    fail(errno, "reading " + path);
}

std::vector<std::string> XenStore::list(std::string const& path) {
    unsigned count = 0;
    Allocated<char*> const names(xs_directory(handle_.get(), transaction_, path.c_str(), &count));
    if (names)
        return {names.get(), names.get() + count};
    if (errno == ENOENT || errno == EACCES)
        return {};
    fail(errno, "listing " + path);
}

void XenStore::write(std::string const& path, std::string const& value) {
    check(xs_write(handle_.get(), transaction_, path.c_str(), value.data(), static_cast<unsigned>(value.size())),
          "writing", path);
}

void XenStore::remove(std::string const& path) {
    bool const removed = xs_rm(handle_.get(), transaction_, path.c_str());
    check(removed || errno == ENOENT, "removing", path);
}

void XenStore::permit(std::string const& path, DomId owner, DomId reader) {
    check(xs_mkdir(handle_.get(), transaction_, path.c_str()), "making", path);
    std::array<xs_permissions, 2> rights{};
    rights[0] = {owner.value, XS_PERM_NONE};  // the first names the owner, and what all others may
    rights[1] = {reader.value, XS_PERM_READ};
    check(xs_set_permissions(handle_.get(), transaction_, path.c_str(), rights.data(), rights.size()),
          "setting the rights of", path);
}

bool XenStore::is_introduced(DomId domain) {
    errno = 0;
    if (xs_is_domain_introduced(handle_.get(), domain.value))
        return true;
    if (is_lost(errno))
        fail(errno, "asking for domain " + std::to_string(domain.value));
    return errno == EACCES || errno == EPERM;  // only the control domain is told by every xenstored
}

// Relative paths start in our own home.
DomId XenStore::own_domain() {
    auto const domain = parse_domain_id(read("domid").value_or(""));
    if (!domain)
        throw std::system_error(ENOENT, std::generic_category(),
                                "reading xenstore's key 'domid' (in dom0 xen-init-dom0 writes it: service xen start)");
    return *domain;
}

void XenStore::atomically(std::function<void()> const& steps) {
    for (int tries = 0; tries < transaction_tries; ++tries) {
        transaction_ = xs_transaction_start(handle_.get());
        if (transaction_ == XBT_NULL)
            fail(errno, "starting a transaction");
        try {
            steps();
        } catch (...) {
            xs_transaction_end(handle_.get(), transaction_, true);
            transaction_ = XBT_NULL;
            throw;
        }
        bool const committed = xs_transaction_end(handle_.get(), transaction_, false);
        transaction_ = XBT_NULL;
        if (committed)
            return;
        if (errno != EAGAIN)
            fail(errno, "ending a transaction");
    }
    fail(EAGAIN, "a transaction that others disturbed " + std::to_string(transaction_tries) + " times");
}

void XenStore::watch(std::string const& path, std::string const& token) {
    check(xs_watch(handle_.get(), path.c_str(), token.c_str()), "watching", path);
}

void XenStore::unwatch(std::string const& path, std::string const& token) {
    check(xs_unwatch(handle_.get(), path.c_str(), token.c_str()) || errno == ENOENT, "ending the watch of", path);
}

std::optional<XenStore::Event> XenStore::next_event() {
    Allocated<char*> const event(xs_check_watch(handle_.get()));
    if (event)
        return Event{event.get()[XS_WATCH_PATH], event.get()[XS_WATCH_TOKEN]};
    if (errno == EAGAIN)
        return std::nullopt;
    fail(ECONNRESET, "taking watch events");
}

int XenStore::fd() const {
    return xs_fileno(handle_.get());
}

}  // namespace librettos
