// SPDX-License-Identifier: BSD-2-Clause
// A machine with Xen below the C libraries: fake_xenstore.cpp, fake_gnttab.cpp and fake_evtchn.cpp define the functions
// of libxenstore, libxengnttab and libxenevtchn on it, as they behave in a domain, and count what is still open.
#pragma once

#include <xenstore_lib.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace librettos::test {

inline constexpr std::uint32_t open_for_all = 0xffff;

struct StoreNode {
    std::string value;
    std::vector<xs_permissions> rights;
};
using StoreNodes = std::map<std::string, StoreNode, std::less<>>;

struct StoreWatch {
    std::string path;
    std::string token;
    friend auto operator<=>(StoreWatch const&, StoreWatch const&) = default;
};

struct Grant {
    std::size_t page = 0;  // of the guests' memory
    std::uint16_t to = 0;
    bool read_only = false;
    int mapped = 0;
};

struct EventEnd {
    std::uint16_t to = 0;
    int server_port = 0;  // bound; 0: not
    bool open = true;
    std::uint64_t received = 0;
};

class FakeXen {
  public:
    static FakeXen& machine();  // the one that the C functions work on
    void reset(std::uint16_t server = 0);

    // Guests, from their own side and the toolstack's.
    std::uint16_t create_domain(std::string const& name);
    void destroy_domain(std::uint16_t domain);
    void set_node(std::string const& path, std::string const& value);  // with the rights of its directory
    void set_rights(std::string const& path, std::vector<xs_permissions> rights);
    void remove_node(std::string const& path);
    std::string value(std::string const& path) const;  // "" when there is none
    bool has(std::string const& path) const { return store.contains(path); }

    std::size_t allocate_page();
    std::byte* page(std::size_t number);
    std::uint32_t grant(std::uint16_t domain, std::size_t page, bool read_only = false);
    std::uint32_t allocate_event(std::uint16_t domain);
    void notify_server(std::uint16_t domain, std::uint32_t port);

    // Faults. The n-th call of the C libraries fails, or each with a probability.
    void fail_call(std::uint64_t n, int with_errno);
    void fail_sometimes(double probability, std::uint32_t seed);
    void no_faults();
    // True: the call has to fail now; errno is set.
    bool fault(char const* call);

    // What is still open, of all handles.
    struct Open {
        int stores = 0, grant_tables = 0, event_handles = 0, channels = 0, mapped_pages = 0, watches = 0,
            transactions = 0;
        friend bool operator==(Open const&, Open const&) = default;
        friend void PrintTo(Open const& open, std::ostream* out);  // for failed tests
    };
    Open open() const;

    void fire(std::string_view path);
    bool may_read(std::uint16_t domain, std::string_view path) const;
    bool may_write(std::uint16_t domain, std::string_view path) const;

    std::uint16_t server = 0;  // the domain whose libraries these are
    StoreNodes store;
    std::uint64_t store_generation = 0;
    std::map<std::uint16_t, std::string> domains;
    std::map<std::pair<std::uint16_t, std::uint32_t>, Grant> grants;
    std::map<std::pair<std::uint16_t, std::uint32_t>, EventEnd> events;
    std::uint64_t calls = 0;
    std::uint64_t faults = 0;
    bool lost = false;                 // xenstored is gone
    bool hides_domain_events = false;  // xenstored refuses @introduceDomain and @releaseDomain
    int disturbed_transactions = 0;    // so many of the next ones clash with somebody else's change
    int open_watches = 0;
    int open_stores = 0;
    int open_grant_tables = 0;
    int open_event_handles = 0;
    int open_channels = 0;
    int open_transactions = 0;
    int mapped_pages = 0;
    std::size_t largest_batch = 0;  // pages of one mapping
    int memory_fd = -1;

  private:
    std::vector<std::byte*> pages_;
    std::uint16_t next_domain_ = 1;
    std::uint32_t next_grant_ = 8;
    std::uint32_t next_event_ = 3;
    std::uint64_t fail_at_ = 0;
    int fail_with_ = 0;
    double probability_ = 0;
    std::mt19937 random_;
};

}  // namespace librettos::test
