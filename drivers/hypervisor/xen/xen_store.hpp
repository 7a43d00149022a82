// SPDX-License-Identifier: BSD-2-Clause
// A connection to xenstored: values, rights, transactions, watches.
//
// What this domain may not see is not there for it: xenstored answers EACCES, not ENOENT, for what is missing in a
// directory that a driver domain may not read. One thread makes all calls. Failures are thrown as std::system_error;
// ECONNRESET means that xenstored is gone, which no domain survives for long.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

extern "C" {  // the headers do not say so
#include <xenstore.h>
}

#include "portmap/domain_id.hpp"

namespace librettos {

// As xenstore's paths have it: decimal without leading zeros.
std::optional<DomId> parse_domain_id(std::string_view text);

class XenStore {
  public:
    struct Event {
        std::string path;
        std::string token;
    };

    XenStore();

    std::optional<std::string> read(std::string const& path);
    std::vector<std::string> list(std::string const& path);
    void write(std::string const& path, std::string const& value);
    void remove(std::string const& path);
    // Creates the path when needed. The owner reads and writes, `reader` reads, nobody else does anything; so does what
    // is created below from now on.
    void permit(std::string const& path, DomId owner, DomId reader);
    bool is_introduced(DomId domain);
    DomId own_domain();  // throws when the store does not say

    // Others see all of what `steps` does, or nothing of it: it may run several times. EAGAIN when others kept changing
    // the same nodes.
    void atomically(std::function<void()> const& steps);

    // The token comes back with each event of the watch. It fires once at once.
    void watch(std::string const& path, std::string const& token);
    void unwatch(std::string const& path, std::string const& token);
    std::optional<Event> next_event();
    int fd() const;  // readable while there are events

  private:
    struct Close {
        void operator()(xs_handle* handle) const { xs_close(handle); }
    };
    std::unique_ptr<xs_handle, Close> handle_;
    xs_transaction_t transaction_ = XBT_NULL;
};

}  // namespace librettos
