// SPDX-License-Identifier: BSD-2-Clause
// A store that outlives the servers that use it, with the limits of the real ones, and that fails on request.
#pragma once

#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>

#include "drivers/hypervisor/xen/port_store.hpp"

namespace librettos::test {

struct StoreContent {
    std::map<std::string, std::string> values;
    std::size_t writes = 0;                           // changes of any kind
    std::size_t writes_left = ~std::size_t{0};        // then each fails
    std::size_t killed_after = ~std::size_t{0};       // so many more changes are made, none later: the server is dead
    std::size_t values_max = 1000;                    // quota of an unprivileged domain in xenstored
    static constexpr std::size_t value_bytes = 1000;  // less than any store's limit
};

class MemoryStore final : public PortStore {
  public:
    explicit MemoryStore(StoreContent& content) : content_{content} {}

    std::optional<std::string> read(std::string const& path) override {
        auto const found = content_.values.find(path);
        return found == content_.values.end() ? std::nullopt : std::optional{found->second};
    }
    std::vector<std::string> list(std::string const& path) override {
        std::set<std::string> names;
        for (auto at = content_.values.lower_bound(path + "/");
             at != content_.values.end() && at->first.starts_with(path + "/"); ++at) {
            auto const rest = at->first.substr(path.size() + 1);
            names.insert(rest.substr(0, rest.find('/')));
        }
        return {names.begin(), names.end()};
    }
    void write(std::string const& path, std::string const& value) override {
        if (value.size() > StoreContent::value_bytes || path.size() > 255 || value.empty())
            throw std::logic_error{"no store takes " + path};
        if (!changes(path))
            return;
        content_.values[path] = value;
        if (content_.values.size() > content_.values_max)
            throw std::logic_error{"more values than the quota allows"};
    }
    void remove(std::string const& path) override {
        if (changes(path))
            content_.values.erase(path);
    }

  private:
    bool changes(std::string const& path) {
        if (content_.writes_left == 0)
            throw std::system_error{ENOSPC, std::generic_category(), "writing " + path};
        if (content_.writes_left != ~std::size_t{0})
            content_.writes_left--;
        content_.writes++;
        if (content_.killed_after == 0)
            return false;
        if (content_.killed_after != ~std::size_t{0})
            content_.killed_after--;
        return true;
    }
    StoreContent& content_;
};

}  // namespace librettos::test
