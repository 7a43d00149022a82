// SPDX-License-Identifier: BSD-2-Clause
// The addresses for dedicated guests. A name gets the same address and MAC again as long as they are free: the
// pool remembers each entry's last holder, and starts the search for a new name at a place drawn from the name.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/engine/datapath/addresses.hpp"

namespace librettos::control {

struct DedicatedAddress {
    std::size_t index = 0;
    Ipv4Address ipv4;  // not set: none
    Ipv6Address ipv6;
    MacAddress mac;
};

class AddressPool {
  public:
    // `taken` is a MAC that no guest may get: the shared one.
    AddressPool(Config::Dedicated const& pool, MacAddress taken);

    // `ipv4`, when it is set: this one or none.
    std::optional<DedicatedAddress> take(std::string_view name, Ipv4Address ipv4 = {});
    // Marks addresses found in use (a recovered guest's). Null when they are not one entry of the pool, or taken.
    std::optional<std::size_t> claim(std::string_view name, Ipv4Address ipv4, Ipv6Address const& ipv6,
                                     MacAddress const& mac);
    void give_back(std::size_t index);

    std::size_t size() const { return entries_.size(); }
    std::size_t in_use() const;

  private:
    struct Entry {
        Ipv4Address ipv4;
        Ipv6Address ipv6;
        MacAddress mac;
        std::string last_holder;
        bool used = false;
    };
    std::optional<std::size_t> choose(std::string_view name, Ipv4Address ipv4) const;
    MacAddress mac_for(std::string_view name) const;

    std::vector<Entry> entries_;
    MacAddress prefix_;
    MacAddress taken_;
};

}  // namespace librettos::control
