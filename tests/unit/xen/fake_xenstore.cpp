// SPDX-License-Identifier: BSD-2-Clause
// libxenstore on the fake machine: rights by domain, transactions that see one moment and clash with others, watches.
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

extern "C" {  // the headers do not say so
#include <xenstore.h>
}

#include "tests/unit/xen/fake_handles.hpp"
#include "tests/unit/xen/fake_xen.hpp"

using librettos::test::FakeXen;
using librettos::test::StoreWatch;

// One connection. Transactions hold a copy of the store; the one that ends them writes it back.
struct xs_handle final : librettos::test::FakeStoreHandle {
    void changed(FakeXen& xen, std::string_view path) override;

    std::set<StoreWatch> watches;
    std::deque<StoreWatch> events;
    int event_fd = -1;
    struct Transaction {
        librettos::test::StoreNodes nodes;
        std::uint64_t generation = 0;
        std::set<std::string> touched;
    };
    std::map<xs_transaction_t, Transaction> transactions;
    xs_transaction_t last_transaction = 0;
};

namespace librettos::test {

std::set<FakeStoreHandle*>& fake_store_handles() {
    static std::set<FakeStoreHandle*> handles;
    return handles;
}

namespace {

bool at_or_below(std::string_view path, std::string_view top) {
    return path == top || (path.starts_with(top) && (path[top.size()] == '/' || top == "/"));
}

void post(xs_handle& handle, StoreWatch event) {
    handle.events.push_back(std::move(event));
    (void)!eventfd_write(handle.event_fd, 1);
}

bool refuse(int error) {
    errno = error;
    return false;
}

// An absolute path; relative ones start at the domain's home.
std::string absolute(char const* path) {
    return path[0] == '/' ? path : "/local/domain/" + std::to_string(FakeXen::machine().server) + "/" + path;
}

// The store as this request sees it: nodes of its transaction, rights of the machine's idea of them.
class View {
  public:
    View(xs_handle& handle, xs_transaction_t transaction) : xen_(FakeXen::machine()) {
        if (transaction != XBT_NULL)
            own_ = &handle.transactions.at(transaction);
        if (own_ != nullptr)
            std::swap(own_->nodes, xen_.store);
    }
    ~View() {
        if (own_ != nullptr)
            std::swap(own_->nodes, xen_.store);
    }
    View(View const&) = delete;
    View& operator=(View const&) = delete;

    StoreNode* find(std::string const& path) {
        auto const found = xen_.store.find(path);
        return found == xen_.store.end() ? nullptr : &found->second;
    }
    bool readable(std::string const& path) const { return xen_.may_read(xen_.server, path); }
    bool writable(std::string const& path) const { return xen_.may_write(xen_.server, path); }
    void touch(std::string const& path) {
        if (own_ != nullptr)
            own_->touched.insert(path);
        else
            changed(path);
    }
    void changed(std::string const& path) {
        ++xen_.store_generation;
        xen_.fire(path);
    }
    StoreNode& create(std::string const& path) {
        if (auto* const there = find(path))
            return *there;
        auto const slash = path.rfind('/');
        auto const& above = create(slash == 0 ? "/" : path.substr(0, slash));
        StoreNode node{"", above.rights};
        if (xen_.server != 0)
            node.rights.front().id = xen_.server;  // what an unprivileged domain makes is its own
        return xen_.store[path] = node;
    }
    void remove(std::string const& path) {
        auto at = xen_.store.lower_bound(path);
        std::vector<std::string> gone;
        for (; at != xen_.store.end() && at->first.starts_with(path); ++at) {
            if (at_or_below(at->first, path))
                gone.push_back(at->first);
        }
        for (auto const& each : gone)
            touch(each);
        for (auto const& each : gone)
            xen_.store.erase(each);
    }

    StoreNodes& nodes() { return xen_.store; }

  private:
    FakeXen& xen_;
    xs_handle::Transaction* own_ = nullptr;
};

bool begin(char const* call) {
    auto& xen = FakeXen::machine();
    if (xen.fault(call))
        return false;
    return !xen.lost || refuse(EBADF);
}

// Like malloc'ed memory of the library: one block, freed by free().
void* copy(void const* bytes, std::size_t size) {
    void* const memory = std::malloc(size + 1);
    std::memcpy(memory, bytes, size);
    static_cast<char*>(memory)[size] = '\0';
    return memory;
}

char** copy_list(std::vector<std::string> const& names) {
    std::size_t bytes = names.size() * sizeof(char*) + 1;
    for (auto const& name : names)
        bytes += name.size() + 1;
    auto** const list = static_cast<char**>(std::malloc(bytes));
    auto* at = reinterpret_cast<char*>(list + names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
        list[i] = at;
        std::memcpy(at, names[i].c_str(), names[i].size() + 1);
        at += names[i].size() + 1;
    }
    return list;
}

}  // namespace

}  // namespace librettos::test

using namespace librettos::test;

void xs_handle::changed(FakeXen& xen, std::string_view path) {
    for (auto const& watch : watches) {
        bool const special = path.starts_with('@');
        if (at_or_below(path, watch.path) && (special || xen.may_read(xen.server, path)))
            post(*this, {std::string(path), watch.token});
    }
}

extern "C" {

xs_handle* xs_open(unsigned long) {
    if (!begin("xs_open"))
        return nullptr;
    auto handle = std::make_unique<xs_handle>();
    handle->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    FakeXen::machine().open_stores++;
    fake_store_handles().insert(handle.get());
    return handle.release();
}

void xs_close(xs_handle* handle) {
    auto& xen = FakeXen::machine();
    xen.open_stores--;
    xen.open_watches -= static_cast<int>(handle->watches.size());
    xen.open_transactions -= static_cast<int>(handle->transactions.size());
    fake_store_handles().erase(handle);
    close(handle->event_fd);
    delete handle;
}

int xs_fileno(xs_handle* handle) {
    return handle->event_fd;
}

void* xs_read(xs_handle* handle, xs_transaction_t t, char const* path, unsigned* length) {
    if (!begin("xs_read"))
        return nullptr;
    View view(*handle, t);
    auto const where = absolute(path);
    if (!view.readable(where))
        return refuse(EACCES) ? nullptr : nullptr;
    auto const* const node = view.find(where);
    if (node == nullptr)
        return refuse(ENOENT) ? nullptr : nullptr;
    *length = static_cast<unsigned>(node->value.size());
    return copy(node->value.data(), node->value.size());
}

char** xs_directory(xs_handle* handle, xs_transaction_t t, char const* path, unsigned* count) {
    if (!begin("xs_directory"))
        return nullptr;
    View view(*handle, t);
    auto const where = absolute(path);
    if (!view.readable(where) || view.find(where) == nullptr) {
        errno = view.readable(where) ? ENOENT : EACCES;
        return nullptr;
    }
    std::vector<std::string> names;
    auto const prefix = where + "/";
    auto& nodes = view.nodes();
    for (auto at = nodes.lower_bound(prefix); at != nodes.end() && at->first.starts_with(prefix); ++at) {
        if (at->first.find('/', prefix.size()) == std::string::npos)
            names.push_back(at->first.substr(prefix.size()));
    }
    *count = static_cast<unsigned>(names.size());
    return copy_list(names);
}

bool xs_write(xs_handle* handle, xs_transaction_t t, char const* path, void const* data, unsigned length) {
    if (!begin("xs_write"))
        return false;
    View view(*handle, t);
    auto const where = absolute(path);
    if (!view.writable(where))
        return refuse(EACCES);
    view.create(where).value.assign(static_cast<char const*>(data), length);
    view.touch(where);
    return true;
}

bool xs_mkdir(xs_handle* handle, xs_transaction_t t, char const* path) {
    if (!begin("xs_mkdir"))
        return false;
    View view(*handle, t);
    auto const where = absolute(path);
    if (!view.writable(where))
        return refuse(EACCES);
    if (view.find(where) == nullptr) {
        view.create(where);
        view.touch(where);
    }
    return true;
}

bool xs_rm(xs_handle* handle, xs_transaction_t t, char const* path) {
    if (!begin("xs_rm"))
        return false;
    View view(*handle, t);
    auto const where = absolute(path);
    if (!view.writable(where))
        return refuse(EACCES);
    if (view.find(where) == nullptr)
        return refuse(ENOENT);
    view.remove(where);
    return true;
}

bool xs_set_permissions(xs_handle* handle, xs_transaction_t t, char const* path, xs_permissions* rights,
                        unsigned count) {
    if (!begin("xs_set_permissions"))
        return false;
    View view(*handle, t);
    auto const where = absolute(path);
    auto* const node = view.find(where);
    if (node == nullptr)
        return refuse(ENOENT);
    if (FakeXen::machine().server != 0 && node->rights.front().id != FakeXen::machine().server)
        return refuse(EACCES);
    node->rights.assign(rights, rights + count);
    view.touch(where);
    return true;
}

bool xs_watch(xs_handle* handle, char const* path, char const* token) {
    if (!begin("xs_watch"))
        return false;
    if (path[0] == '@' && FakeXen::machine().hides_domain_events)
        return refuse(EACCES);
    if (!handle->watches.insert({path, token}).second)
        return refuse(EEXIST);
    FakeXen::machine().open_watches++;
    post(*handle, {path, token});
    return true;
}

bool xs_unwatch(xs_handle* handle, char const* path, char const* token) {
    if (!begin("xs_unwatch"))
        return false;
    if (handle->watches.erase({path, token}) == 0)
        return refuse(ENOENT);
    FakeXen::machine().open_watches--;
    std::erase_if(handle->events, [&](StoreWatch const& event) { return event.token == token; });
    return true;
}

char** xs_check_watch(xs_handle* handle) {
    if (!begin("xs_check_watch"))
        return nullptr;
    if (handle->events.empty()) {
        eventfd_t count;
        (void)!eventfd_read(handle->event_fd, &count);
        errno = EAGAIN;
        return nullptr;
    }
    auto const event = handle->events.front();
    handle->events.pop_front();
    static_assert(XS_WATCH_PATH == 0 && XS_WATCH_TOKEN == 1);
    return copy_list({event.path, event.token});
}

xs_transaction_t xs_transaction_start(xs_handle* handle) {
    if (!begin("xs_transaction_start"))
        return XBT_NULL;
    auto& xen = FakeXen::machine();
    handle->transactions[++handle->last_transaction] = {xen.store, xen.store_generation, {}};
    xen.open_transactions++;
    return handle->last_transaction;
}

bool xs_transaction_end(xs_handle* handle, xs_transaction_t t, bool abort) {
    auto& xen = FakeXen::machine();
    auto transaction = std::move(handle->transactions.at(t));
    handle->transactions.erase(t);
    xen.open_transactions--;
    if (!begin("xs_transaction_end"))
        return false;
    if (abort)
        return true;
    if (xen.disturbed_transactions > 0) {
        xen.disturbed_transactions--;
        return refuse(EAGAIN);
    }
    if (transaction.generation != xen.store_generation)
        return refuse(EAGAIN);
    xen.store = std::move(transaction.nodes);
    ++xen.store_generation;
    for (auto const& path : transaction.touched)
        xen.fire(path);
    return true;
}

bool xs_is_domain_introduced(xs_handle*, unsigned domain) {
    if (!begin("xs_is_domain_introduced"))
        return false;
    errno = 0;
    auto const& xen = FakeXen::machine();
    return xen.hides_domain_events ||
           xen.domains.contains(static_cast<std::uint16_t>(domain));  // it hears of ends late
}
}
